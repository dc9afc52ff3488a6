"""The serving phase: from the login's OK on.

A client's command is taken when the one before it is answered, so there is one answer under way at most, and a denial
is an ERR in an answer's place. What becomes of commands is in `commands`, the server's half in `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from gatepost.adapter import UPSTREAM, Action, Ask, Ended, Environment, Side
from gatepost.errors import ClientFault, Fault, FaultCode, PluginFault
from gatepost.values import Identity, Statement, Verdict
from gatepost_mysql import messages
from gatepost_mysql.answers import Answers
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.commands import Commands
from gatepost_mysql.frames import HEADER_BYTES, Inbox
from gatepost_mysql.login import LoggedIn
from gatepost_mysql.runs import Prepared
from gatepost_mysql.understanding import Understanding

_QUIT: Final = bytes((messages.QUIT,))


class ServingPhase:
    """Commands and their answers.

    Attributes:
        is_over: the client has said that it leaves, or the session was aborted.
    """

    def __init__(
        self,
        environment: Environment,
        capabilities: Capability,
        login: LoggedIn,
        identity: Identity,
        *,
        read_only: bool,
    ) -> None:
        self._message_bytes = environment.limits.message_bytes
        self._inbox = Inbox(self._message_bytes, ClientFault)
        self._understanding = Understanding(environment, login.database)
        self._answers = Answers(environment, capabilities, login.status, self._understanding, read_only=read_only)
        self._commands = Commands(
            environment, capabilities, self._answers, self._understanding, identity, read_only=read_only
        )
        self.is_over = False

    @property
    def is_busy(self) -> bool:
        """A command is asked about, or an answer is under way."""
        return self._answers.is_busy or self._commands.is_asking

    @property
    def is_uploading(self) -> bool:
        """What the client sends is a file that the server has asked for."""
        return self._answers.is_uploading

    @property
    def status(self) -> int:
        """The status flags that the server has told last."""
        return self._answers.status

    @property
    def prepared(self) -> Mapping[int, Prepared]:
        """Prepared statements, by the server's numbers."""
        return self._answers.prepared

    @property
    def is_idle(self) -> bool:
        return self._answers.is_idle and not self.is_busy and not self._inbox.data

    @property
    def is_amid_message(self) -> bool:
        """A part of one of the server's messages has left for the client."""
        return self._answers.is_amid_message

    @property
    def next_number(self) -> int:
        """Of a packet that the client would take now."""
        return self._answers.next_number

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if side is UPSTREAM:
            actions = self._answers.receive(data)
            return self._behind(actions) if self._inbox.data or self._answers.is_uploading else actions
        if self.is_over:
            return []
        if self._inbox.may_skip(data) and not self.is_busy:
            return self._take(data[HEADER_BYTES:], data)
        self._inbox.feed(data)
        return self._advance()

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        actions = self._commands.resolve(statement, verdict)
        return self._behind(actions) if self._inbox.data else actions

    def restate(self, statement: Statement, text: str) -> Statement:
        if "\0" in text:
            raise PluginFault("a plugin rewrote a statement to a text with a NUL in it")
        original = statement.text if statement.original is None else statement.original
        return replace(statement, text=text, facts=self._understanding.facts(text), original=original)

    def renew(self, statement: Statement) -> Statement:
        return self._commands.renew(statement)

    def cancelled(self, found: bool) -> list[Action]:
        return self._behind(self._commands.cancelled(found))

    def drain(self) -> bytes:
        """What the client has sent and no command has taken."""
        return self._inbox.drain()

    def abort(self) -> list[Action]:
        self.is_over = True
        return self._answers.abort() + self._commands.abort()

    def _behind(self, actions: list[Action]) -> list[Action]:
        """Go on with the client's commands behind these actions. What has ended is told even where that raises."""
        try:
            return actions + self._advance()
        except Fault:
            self._answers.ended += [action for action in actions if isinstance(action, Ended)]
            raise

    def _advance(self) -> list[Action]:
        """Take one command after the other, until one is asked about, is under way, or is not whole."""
        actions = self._answers.upload(self._inbox) if self._answers.is_uploading else []
        while not (self.is_busy or self.is_over):
            message = self._inbox.message(0)
            if message is None:
                return actions
            actions += self._take(message)
        if len(self._inbox.data) > self._message_bytes:
            raise ClientFault("too much was sent ahead of the database's answers", code=FaultCode.TOO_LARGE)
        return actions

    def _take(self, message: bytes, packet: bytes = b"") -> list[Action]:
        """Take a command, and the one packet that it came in if it is at hand."""
        if message == _QUIT:
            self.is_over = True
            return []
        step = self._commands.take(message, packet)
        return [Ask(step)] if isinstance(step, Statement) else step
