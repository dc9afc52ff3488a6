"""What sessions of all protocols have in common, for adapters to build on.

A client is greeted, proves who it is and is logged in to the database, and only then come statements: each is a phase
that knows its protocol. How a session ends, and how a second connection cancels what it runs, is alike everywhere.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from gatepost.adapter import CLIENT, Action, Close, Environment, ProtocolSession, SendClient, Side
from gatepost.errors import Fault, PluginFault, UpstreamFault
from gatepost.values import (
    Deny,
    EndCode,
    Identity,
    Reason,
    Statement,
    UpstreamCredentials,
    Verdict,
    Verifier,
)


class StatementPhase(Protocol):
    """The last phase, from the database's readiness to the end."""

    @property
    def is_idle(self) -> bool:
        """Nothing is under way, and no transaction is open."""

    @property
    def is_over(self) -> bool:
        """The client has said goodbye: the database may close first."""

    @property
    def is_amid_message(self) -> bool:
        """A part of one of the server's messages has left for the client, who would take an error for its rest."""

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]: ...

    def restate(self, statement: Statement, text: str) -> Statement: ...

    def renew(self, statement: Statement) -> Statement: ...

    def abort(self) -> list[Action]:
        """The session is over: what is under way ends incomplete."""


Phase = TypeVar("Phase", bound=StatementPhase)


class PhasedSession(ProtocolSession, Generic[Phase]):
    """A session that goes through its phases in order, and ends in one way whatever phase it is in."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._serving: Phase | None = None
        self._unsent: list[Action] = []

    @property
    def is_idle(self) -> bool:
        return self._serving is not None and self._serving.is_idle

    def begin(self) -> list[Action]:
        return []

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        assert self._serving is not None
        return self._serving.resolve(statement, verdict)

    def restate(self, statement: Statement, text: str) -> Statement:
        assert self._serving is not None
        return self._serving.restate(statement, text)

    def renew(self, statement: Statement) -> Statement:
        assert self._serving is not None
        return self._serving.renew(statement)

    def eof(self, side: Side) -> list[Action]:
        if side is CLIENT or (self._serving is not None and self._serving.is_over):
            return [*self._abort(), Close(self._departure())]
        fault = UpstreamFault(
            "the database closed the connection", hint="Connect again; if it happens again, see the database's log."
        )
        return self.fault(fault, EndCode.SERVER_CLOSED if self._serving else EndCode.UPSTREAM_FAULT)

    def fault(self, fault: Fault, code: EndCode) -> list[Action]:
        actions = self._abort()
        if not (self._serving is not None and self._serving.is_amid_message):
            actions += self._told(fault)
        return [*actions, Close(Reason(code=code, text=fault.message))]

    @abstractmethod
    def _told(self, fault: Fault) -> list[SendClient]:
        """The fault as this protocol tells it, or nothing where the client could not read it yet."""

    def _departure(self) -> Reason:
        """What it is if the client leaves now."""
        return Reason(code=EndCode.CLIENT_LEFT)

    def _collect(self, steps: Iterable[Action]) -> list[Action]:
        """Take the steps. What came before one that raises is kept, for `fault` to do it first."""
        for action in steps:
            self._unsent.append(action)
        actions, self._unsent = self._unsent, []
        return actions

    def _abort(self) -> list[Action]:
        """What is left to do before a Close. Once statements may come, nothing leaves that plugins have not seen."""
        actions, self._unsent = self._unsent, []
        return self._serving.abort() if self._serving else actions


class CancelSession(ProtocolSession):
    """A second connection to the database, which cancels what the first one runs.

    It has an upstream side alone: `connected` starts it; the relay neither reads a client nor asks plugins for it.
    """

    @property
    def is_idle(self) -> bool:
        return False

    def begin(self) -> list[Action]:
        return []

    def eof(self, side: Side) -> list[Action]:
        text = "the database closed the connection before it took the cancel"
        return [Close(Reason(code=EndCode.UPSTREAM_FAULT, text=text))]

    def fault(self, fault: Fault, code: EndCode) -> list[Action]:
        return [Close(Reason(code=code, text=fault.message))]

    def authenticated(self, answer: Identity | Verifier | Deny | None) -> list[Action]:
        return []

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        return []

    def restate(self, statement: Statement, text: str) -> Statement:
        return statement

    def owns(self, secret: bytes) -> bool:
        return False

    def cancel_upstream(self) -> ProtocolSession | None:
        return None


def check(credentials: UpstreamCredentials) -> None:
    """Raises PluginFault for credentials that hold a NUL, which ends a text in every protocol's login."""
    password = credentials.password.reveal() if credentials.password else ""
    if "\0" in credentials.user + credentials.database + password:
        raise PluginFault("a plugin gave credentials for the database that hold a NUL")
