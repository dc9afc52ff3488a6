"""The serving phase: from the first ReadyForQuery on.

The client's bytes are taken here, message by message: `judging` says what becomes of each. The server's half is in
`answers`, and what both have to know in `ledger`.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from gatepost.adapter import UPSTREAM, Action, Ask, Ended, Environment, Redefined, SendUpstream, Side
from gatepost.errors import ClientFault, Fault, FaultCode, PluginFault
from gatepost.partial import Partial
from gatepost.values import Statement, Verdict
from gatepost_postgres import denial, messages
from gatepost_postgres.answers import Answers
from gatepost_postgres.frames import HEADER_BYTES, LONGEST, header
from gatepost_postgres.judging import RUN_UNNAMED, Judging, Pause
from gatepost_postgres.ledger import Ledger, Mode
from gatepost_postgres.login import LoggedIn
from gatepost_postgres.settings import Demands
from gatepost_postgres.understanding import Understanding

# The server's own bound for messages that hold no more than a name.
_SMALL_BYTES: Final = 10_000
_LARGE: Final = frozenset((messages.QUERY, messages.PARSE, messages.BIND, messages.FUNCTION_CALL, messages.COPY_FAIL))

_BEHIND_LIMITED: Final = frozenset((messages.COPY_DONE, messages.COPY_FAIL, messages.FLUSH, messages.TERMINATE))

_DURING: Final = {
    Mode.SKIPPING: frozenset((messages.SYNC, messages.TERMINATE)),
    Mode.COPYING_IN: frozenset(
        (messages.COPY_DONE, messages.COPY_FAIL, messages.FLUSH, messages.SYNC, messages.TERMINATE)
    ),
    Mode.LIMITED: _BEHIND_LIMITED | {messages.SYNC},
    Mode.HELD: _BEHIND_LIMITED,
}


class ServingPhase:
    """Statements, their answers, and what else the two sides say once handshakes are over.

    Attributes:
        is_over: the client has said that it leaves.
    """

    def __init__(self, environment: Environment, demands: Demands, login: LoggedIn) -> None:
        self._limits = environment.limits
        self._ledger = Ledger()
        self._understanding = Understanding(environment, self._ledger, login)
        self._answers = Answers(environment, self._ledger, demands, self._understanding)
        self._judging = Judging(environment, self._ledger, demands, self._understanding)
        # Bytes taken from the client: those before `_sent` have gone on, those before `_position` are judged, and
        # the message that is asked about ends at `_stop`.
        self._data = b""
        self._sent = self._position = self._stop = 0
        # What goes upstream next.
        self._pieces: list[bytes] = []
        self._partial = Partial()
        # What came while a question was open, or while the server had to answer first.
        self._backlog = bytearray()
        self._is_stalled = False
        self.is_over = False
        # The rest of a CopyData of which the begin has passed, or was dropped.
        self._passing = 0
        self._drops_rest = False

    @property
    def is_idle(self) -> bool:
        return self._ledger.is_idle and not (
            self._judging.is_asking or self._passing or self._partial.data or self._backlog
        )

    @property
    def is_amid_message(self) -> bool:
        """A part of one of the server's messages has left for the client."""
        return self._answers.is_amid_message

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if side is UPSTREAM:
            actions = self._answers.receive(data)
            if self._is_stalled:
                try:
                    actions += self._resume()
                except Fault:
                    self._ledger.ended += [action for action in actions if isinstance(action, Ended | Redefined)]
                    raise
            return actions
        if self.is_over:
            return []
        if self._is_stalled or self._judging.is_asking:
            self._backlog += data
            if len(self._backlog) > self._limits.message_bytes:
                raise ClientFault("too much was sent ahead of the database's answers", code=FaultCode.TOO_LARGE)
            return []
        if self._partial.data:
            joined = self._partial.join(data)
            if joined is None:
                return []
            data = joined
        self._data = data
        if self._passing:
            self._pass_rest()
        return self._advance()

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        change = self._judging.resolve(statement, verdict)
        self._position = self._stop
        if change is not None:
            self._pieces.append(change)
            self._sent = self._stop
        if self._data.startswith(RUN_UNNAMED, self._stop) and self._judging.run_unnamed():
            self._position += len(RUN_UNNAMED)
        if self._position == len(self._data) and not (self._sent or self._pieces or self._backlog):
            data, self._data, self._position = self._data, b"", 0
            return [SendUpstream(data)]
        return self._advance()

    def restate(self, statement: Statement, text: str) -> Statement:
        if "\0" in text:
            raise PluginFault("a plugin rewrote a statement to a text with a NUL in it")
        original = statement.text if statement.original is None else statement.original
        return replace(statement, text=text, facts=self._understanding.facts(text), original=original)

    def renew(self, statement: Statement) -> Statement:
        return replace(statement, facts=self._understanding.facts(statement.text))

    def abort(self) -> list[Action]:
        return self._ledger.abort()

    def _pass_rest(self) -> None:
        self._position = min(self._passing, len(self._data))
        self._passing -= self._position
        if self._drops_rest:
            self._sent = self._position

    def _resume(self) -> list[Action]:
        """Go on with the client's messages if the server has answered all that it was sent."""
        if self._ledger.mode == Mode.COPYING_IN:
            raise ClientFault("a message was sent where the database waits for COPY data")
        if self._ledger.owed:
            return []
        self._is_stalled = False
        return self._advance()

    def _advance(self) -> list[Action]:
        """Judge one message after the other, until one has to wait or the next is not whole."""
        if self._backlog:
            self._data = self._data[self._sent :] + bytes(self._backlog)
            self._backlog.clear()
            self._position -= self._sent
            self._sent = 0
        data, position, end = self._data, self._position, len(self._data)
        judging, ledger, pipeline = self._judging, self._ledger, self._limits.pipeline
        handlers, owed = judging.handlers, ledger.owed
        while end - position >= HEADER_BYTES:
            kind, length = header(data, position)
            if length < 4 or length > _SMALL_BYTES:
                self._check(kind, length)
            stop = position + 1 + length
            handler = handlers.get(kind)
            if handler is None:
                stop, change = self._copy_data(kind, length, stop, end)
            elif stop > end:
                break
            elif ledger.mode and kind not in _DURING[ledger.mode]:
                if ledger.mode == Mode.COPYING_IN:
                    raise ClientFault("a message was sent where the database waits for COPY data")
                if ledger.mode >= Mode.LIMITED:
                    if owed:
                        return self._stall(position)
                    ledger.mode = Mode.NORMAL
                    continue
                change = b""
            elif len(owed) >= pipeline:
                return self._stall(position)
            else:
                step = handler(judging, data[position + HEADER_BYTES : stop])
                if isinstance(step, Statement):
                    self._stop = stop
                    return [*self._outgoing(position), Ask(step)]
                if step is Pause.STALL:
                    return self._stall(position)
                if step is Pause.LEFT:
                    self.is_over = True
                    return self._outgoing(stop)
                change = step
            if change is not None:
                self._outgoing_until(position)
                self._pieces.append(change)
                self._sent = stop
            position = stop
        if position == end and not self._sent and not self._pieces:
            actions: list[Action] = [SendUpstream(data)] if end else []
        else:
            actions = self._outgoing(position)
        if position < end:
            needed = HEADER_BYTES if end - position < HEADER_BYTES else 1 + length
            self._partial.keep(data[position:], needed)
        self._data = b""
        self._sent = self._position = 0
        return actions

    def _check(self, kind: int, length: int) -> None:
        """See whether a message may be so long. CopyData may: it is not held."""
        if length < 4:
            raise ClientFault("the client sent a message with an impossible length")
        longest = self._limits.message_bytes if kind in _LARGE else _SMALL_BYTES
        if length > (LONGEST if kind == messages.COPY_DATA else longest):
            raise ClientFault("the client sent a message that is too long", code=FaultCode.TOO_LARGE)

    def _copy_data(self, kind: int, length: int, stop: int, end: int) -> tuple[int, bytes | None]:
        """CopyData passes in pieces: it is not held until it is whole."""
        if kind != messages.COPY_DATA:
            raise ClientFault("the client sent a message that is not allowed here")
        change = self._judging.copy_data(length)
        if stop > end:
            self._passing = stop - end
            self._drops_rest = change is not None
        return min(stop, end), change

    def _stall(self, position: int) -> list[Action]:
        """Wait until the server has answered everything; see to it that it does."""
        self._is_stalled = True
        actions = self._outgoing(position)
        if self._ledger.batch_is_open:
            actions.append(SendUpstream(denial.FLUSH))
        return actions

    def _outgoing(self, position: int) -> list[Action]:
        """Send what was judged: all before `position`."""
        self._position = position
        if position > self._sent:
            self._outgoing_until(position)
        pieces = self._pieces
        if not pieces:
            return []
        out = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return [SendUpstream(out)] if out else []

    def _outgoing_until(self, position: int) -> None:
        if position > self._sent:
            whole = position - self._sent == len(self._data)
            self._pieces.append(self._data if whole else self._data[self._sent : position])
            self._sent = position
