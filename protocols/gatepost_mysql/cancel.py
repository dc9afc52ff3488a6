"""A second connection to the database, which kills what the first one runs, and not the first one itself.

Source: MySQL 9 manual, "KILL Statement".
"""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.adapter import CLIENT, Action, Close, Environment, ProtocolSession, SendUpstream, Side, TlsInfo
from gatepost.errors import Fault, UpstreamFault
from gatepost.values import (
    Deny,
    EndCode,
    Identity,
    Reason,
    Restriction,
    Statement,
    UpstreamCredentials,
    Verdict,
    Verifier,
)
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.dialogue import Dialogue
from gatepost_mysql.login import LoggedIn, Login, Wish


class CancelUpstream(ProtocolSession):
    """Has an upstream side alone: `connected` starts it; the relay neither reads a client nor asks plugins for it.

    Args:
        credentials: those of the session whose statement is cancelled.
        number: that session's, at the database.
    """

    def __init__(self, environment: Environment, credentials: UpstreamCredentials, number: int) -> None:
        self._environment = environment
        self._credentials = credentials
        self._number = number
        self._dialogue = Dialogue(environment.limits.startup_bytes, UpstreamFault, SendUpstream)
        self._login: Login | None = None
        self._has_asked = False

    @property
    def is_idle(self) -> bool:
        return False

    def begin(self) -> list[Action]:
        return []

    def connected(self, credentials: UpstreamCredentials, restriction: Restriction) -> list[Action]:
        wish = Wish(capabilities=Capability(0))
        self._login = Login(self._environment, self._dialogue, wish, self._credentials, self._kill)
        return list(self._login.begin())

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if side is CLIENT:
            return []
        self._dialogue.inbox.feed(data)
        if not self._has_asked:
            return list(self._login.receive()) if self._login else []
        if self._dialogue.hear() is None:
            return []
        # An ERR says that nothing runs there any more, which is as good.
        return [Close(Reason(code=EndCode.CANCEL_REQUEST))]

    def tls_started(self, side: Side, info: TlsInfo) -> list[Action]:
        return list(self._login.tls_started(info)) if self._login else []

    def eof(self, side: Side) -> list[Action]:
        return [
            Close(
                Reason(code=EndCode.UPSTREAM_FAULT, text="the database closed the connection before it took the cancel")
            )
        ]

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

    def _kill(self, login: LoggedIn) -> Iterator[Action]:
        self._has_asked = True
        self._dialogue.number = 0
        yield self._dialogue.say(f"\x03KILL QUERY {self._number}".encode())
