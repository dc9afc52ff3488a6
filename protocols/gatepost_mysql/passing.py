"""The serving phase where no plugin looks at anything: what can matter to this session alone passes as it came.

The rest (several statements in a text, a KILL, a setting, a command that is refused) goes through the phase that
judges, command by command. An answer passes as its bytes come: its rows are never held.

Source: MySQL internals manual, "Text Resultset", "COM_STMT_PREPARE Response" and "Multi-Resultset".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from gatepost.adapter import CLIENT, Action, Environment, SendClient, SendUpstream, Side
from gatepost.errors import ClientFault, FaultCode, UpstreamFault
from gatepost.partial import Partial
from gatepost.values import Statement, Verdict
from gatepost_mysql import messages
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.chunks import rows
from gatepost_mysql.frames import HEADER_BYTES, LONGEST, Inbox, Reader, frame, header, packets_of
from gatepost_mysql.results import head
from gatepost_mysql.serving import ServingPhase
from gatepost_mysql.texts import eof_status

# A statement that changes neither how later texts are read nor other sessions, if it is the only one.
_PLAIN: Final = re.compile(rb"\s*(?:select|insert|update|delete|replace|show)\b", re.IGNORECASE)
# What may begin a comment that the server executes.
_COMMENT: Final = b"/*"
_EOF_BYTES: Final = 5
_PREPARED_BYTES: Final = 12
# How much of a session's latest answer is kept to know the next one by.
_LONGEST_HEAD: Final = 4 * 1024
_LONGEST_END: Final = 64
_TEXTS: Final = frozenset((messages.QUERY, messages.STMT_PREPARE))


# With MariaDB, the statement that was prepared last, whatever its number is.
_LATEST: Final = 0xFFFFFFFF


class _State:
    """What the server's next message is."""

    NOTHING: Final = 0
    FIRST: Final = 1
    COLUMNS: Final = 2
    COLUMNS_EOF: Final = 3
    ROWS: Final = 4
    PREPARED: Final = 5
    DEFINITIONS: Final = 6
    SIMPLE: Final = 7
    STATISTICS: Final = 8


# By command, how its answer begins.
_ANSWERS: Final[Mapping[int, int]] = {
    messages.QUERY: _State.FIRST,
    messages.STMT_PREPARE: _State.PREPARED,
    messages.STMT_EXECUTE: _State.FIRST,
    messages.STMT_FETCH: _State.ROWS,
    messages.STMT_SEND_LONG_DATA: _State.NOTHING,
    messages.STMT_CLOSE: _State.NOTHING,
    messages.STMT_RESET: _State.SIMPLE,
    messages.PING: _State.SIMPLE,
    messages.STATISTICS: _State.STATISTICS,
}
# States that are reached when an answer's first message, or its columns, are over.
_BEHIND_BEGIN: Final = frozenset((_State.NOTHING, _State.FIRST, _State.ROWS))
# Commands that name a prepared statement by its number.
_BY_NUMBER: Final = frozenset(
    (
        messages.STMT_EXECUTE,
        messages.STMT_FETCH,
        messages.STMT_SEND_LONG_DATA,
        messages.STMT_CLOSE,
        messages.STMT_RESET,
    )
)


class PassingPhase:
    """Both sides' bytes, as they come.

    Args:
        judging: the phase for commands that do not just pass. It knows the statements that it has prepared itself.
    """

    def __init__(self, environment: Environment, capabilities: Capability, judging: ServingPhase) -> None:
        self._message_bytes = environment.limits.message_bytes
        self._has_eof = not capabilities & Capability.DEPRECATE_EOF
        self._has_attributes = bool(capabilities & Capability.QUERY_ATTRIBUTES)
        self._may_skip = bool(capabilities & Capability.CACHE_METADATA)
        self._has_progress = bool(capabilities & Capability.PROGRESS)
        self._judging = judging
        self._inbox = Inbox(self._message_bytes, ClientFault)
        self._partial = Partial()
        self._state = _State.NOTHING
        self._is_judging = False
        self._status = judging.status
        self._number = 1
        # Of the packet that is passing: how much is still to come; and whether the next one continues the same row.
        self._rest = 0
        self._is_amid_row = False
        # Column definitions that are still to come.
        self._left = 0
        # Of the latest answer: its bytes ahead of its rows, the number of the packet behind them, and the message that
        # has ended the rows, with its status. The same bytes in the same place lead to the same state.
        self._head = self._end = b""
        self._head_number = self._end_status = 0

    @property
    def is_over(self) -> bool:
        """The client has said that it leaves."""
        return self._judging.is_over

    @property
    def is_idle(self) -> bool:
        is_waiting = self._state == _State.NOTHING and not self._inbox.data
        return is_waiting and self._judging.is_idle and not self._status & messages.IN_TRANSACTION

    @property
    def is_amid_message(self) -> bool:
        """A part of one of the server's messages has left for the client."""
        return self._rest > 0 or self._is_amid_row or self._judging.is_amid_message

    @property
    def next_number(self) -> int:
        """Of a packet that the client would take now."""
        return self._number if self._state else self._judging.next_number

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if side is CLIENT:
            return self._from_client(data)
        if self._is_judging:
            return self._judged(self._judging.receive(side, data))
        actions = self._from_server(data)
        return actions if self._state or not self._inbox.data else actions + self._advance()

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        return self._judged(self._judging.resolve(statement, verdict))

    def restate(self, statement: Statement, text: str) -> Statement:
        return self._judging.restate(statement, text)

    def renew(self, statement: Statement) -> Statement:
        return self._judging.renew(statement)

    def abort(self) -> list[Action]:
        return self._judging.abort()

    def cancelled(self, found: bool) -> list[Action]:
        return self._judged(self._judging.cancelled(found))

    def _judged(self, actions: list[Action]) -> list[Action]:
        if self._judging.is_uploading and self._inbox.data:
            actions += self._judging.receive(CLIENT, self._inbox.drain())
        if not self._judging.is_uploading and (rest := self._judging.drain()):
            # It was given what stood behind a file.
            self._inbox.feed(rest + self._inbox.drain())
        self._is_judging, self._status = self._judging.is_busy, self._judging.status
        return actions if self._is_judging else actions + self._advance()

    # The client's half.

    def _from_client(self, data: bytes) -> list[Action]:
        if self._judging.is_over:
            return []
        if not (self._state or self._is_judging) and self._inbox.may_skip(data):
            return self._take(data[HEADER_BYTES:], data)
        if self._judging.is_uploading:
            return self._judged(self._judging.receive(CLIENT, data))
        self._inbox.feed(data)
        return self._advance()

    def _advance(self) -> list[Action]:
        """Take one command after the other, until one is under way or is not whole."""
        actions: list[Action] = []
        while not (self._state or self._is_judging or self.is_over):
            message = self._inbox.message(0)
            if message is None:
                return actions
            actions += self._take(message, frame(message, 0))
        if len(self._inbox.data) > self._message_bytes:
            raise ClientFault("too much was sent ahead of the database's answers", code=FaultCode.TOO_LARGE)
        return actions

    def _take(self, message: bytes, data: bytes) -> list[Action]:
        """A command, and the packets that it came in."""
        state = _ANSWERS.get(message[0]) if message else None
        if state is None or self._is_to_be_judged(message):
            actions = self._judging.receive(CLIENT, data)
            self._is_judging, self._status = self._judging.is_busy, self._judging.status
            return actions
        self._state = state
        self._number = packets_of(len(message))
        return [SendUpstream(data)]

    def _is_to_be_judged(self, message: bytes) -> bool:
        kind = message[0]
        if kind in _TEXTS:
            at = 1
            if self._has_attributes and kind == messages.QUERY:
                at += len(messages.NO_ATTRIBUTES)
                if message[1:at] != messages.NO_ATTRIBUTES:
                    return True
            return _COMMENT in message or _PLAIN.match(message, at) is None or _has_several(message)
        if kind not in _BY_NUMBER:
            return False
        number = int.from_bytes(message[1:5], "little")
        return number in self._judging.prepared or number == _LATEST

    # The server's half.

    def _from_server(self, data: bytes) -> list[Action]:
        is_begin = self._state == _State.FIRST and self._number == 1
        if is_begin and self._head and self._end and not self._partial.data and self._is_like_latest(data):
            return [SendClient(data)]
        if self._partial.data:
            joined = self._partial.join(data)
            if joined is None:
                return []
            data = joined
        at, end = self._rest, len(data)
        while end - at >= HEADER_BYTES:
            if self._state == _State.ROWS and not self._is_amid_row:
                starts, at = rows(data, at, self._number)
                self._number += len(starts)
                if end - at < HEADER_BYTES:
                    continue
            (word,) = header(data, at)
            length = word & LONGEST
            stop = at + HEADER_BYTES + length
            if not self._state:
                raise UpstreamFault("the server sent a message that it does not owe")
            if word >> 24 != self._number & 0xFF:
                raise UpstreamFault("the server's packets are out of order")
            if self._state != _State.ROWS or not self._is_row(data, at, length):
                if length == LONGEST or length > self._message_bytes:
                    raise UpstreamFault("the server sent a message that is too long", code=FaultCode.TOO_LARGE)
                if stop > end:
                    break
                if not length:
                    raise UpstreamFault("the server sent an empty message")
                self._state = self._HANDLERS[self._state](self, data[at + HEADER_BYTES : stop])
                if is_begin and self._state in _BEHIND_BEGIN:
                    is_begin = False
                    self._note_head(data, stop)
            elif end - at == HEADER_BYTES and length:
                stop = at + HEADER_BYTES + 1
                break
            else:
                self._is_amid_row = length == LONGEST
            self._number += 1
            at = stop
        else:
            stop = at + HEADER_BYTES
        self._rest = max(at - end, 0)
        if at < end:
            self._partial.keep(data[at:], stop - at)
            data = data[:at]
        return [SendClient(data)] if data else []

    def _is_like_latest(self, data: bytes) -> bool:
        """Take an answer that is all there if it has the latest one's begin and end. If not, nothing is taken."""
        end = self._end
        if not (data.startswith(self._head) and data.endswith(end)):
            return False
        starts, at = rows(data, len(self._head), self._head_number)
        number = self._head_number + len(starts)
        if len(data) - at != HEADER_BYTES + len(end) or header(data, at)[0] != len(end) | (number & 0xFF) << 24:
            return False
        self._state, self._status = _State.NOTHING, self._end_status
        return True

    def _note_head(self, data: bytes, stop: int) -> None:
        """Keep how an answer has begun that is whole up to its rows, which begin at `stop`."""
        if self._state == _State.ROWS and stop <= _LONGEST_HEAD:
            self._head, self._head_number = data[:stop], self._number + 1

    def _is_row(self, data: bytes, at: int, length: int) -> bool:
        """Whether a packet among rows is one, or a part of one; one whose first byte has not come may be."""
        at += HEADER_BYTES
        if self._is_amid_row or not length:
            return self._is_amid_row
        return length == LONGEST or at == len(data) or data[at] < messages.EOF

    # Each handler takes a whole message, and says what the next one is.

    def _first(self, message: bytes) -> int:
        kind = message[0]
        if kind == messages.ERROR:
            return _State.FIRST if self._is_progress(message) else _State.NOTHING
        if kind == messages.OK:
            return self._result_is_over(_ok_status(message))
        if kind == messages.LOCAL_FILE:
            raise UpstreamFault("the server asks for a file that nobody has allowed it to read")
        self._left, follow = head(message, may_skip=self._may_skip)
        return _State.COLUMNS if follow else self._behind_columns()

    def _behind_columns(self) -> int:
        return _State.COLUMNS_EOF if self._has_eof else _State.ROWS

    def _column(self, message: bytes) -> int:
        self._left -= 1
        return _State.COLUMNS if self._left else self._behind_columns()

    def _columns_end(self, message: bytes) -> int:
        status = eof_status(message)
        return self._result_is_over(status) if status & messages.CURSOR_EXISTS else _State.ROWS

    def _rows_end(self, message: bytes) -> int:
        if message[0] == messages.ERROR:
            return _State.ROWS if self._is_progress(message) else _State.NOTHING
        status = eof_status(message) if self._has_eof else _ok_status(message)
        if not status & messages.MORE_RESULTS and len(message) <= _LONGEST_END:
            self._end, self._end_status = message, status
        return self._result_is_over(status)

    def _is_progress(self, message: bytes) -> bool:
        """Whether an error is none, but MariaDB's word of how far a long statement is."""
        return self._has_progress and message.startswith(messages.PROGRESS)

    def _failed(self, message: bytes) -> int:
        if self._is_progress(message):
            raise UpstreamFault("the server sent a message that it does not owe")
        return _State.NOTHING

    def _result_is_over(self, status: int) -> int:
        self._status = status
        return _State.FIRST if status & messages.MORE_RESULTS else _State.NOTHING

    def _prepared(self, message: bytes) -> int:
        if message[0] == messages.ERROR:
            return self._failed(message)
        if message[0] != messages.OK or len(message) < _PREPARED_BYTES:
            raise UpstreamFault("the server broke the protocol in its answer to a preparation")
        counts = int.from_bytes(message[5:7], "little"), int.from_bytes(message[7:9], "little")
        self._left = sum(count + self._has_eof for count in counts if count)
        return _State.DEFINITIONS if self._left else _State.NOTHING

    def _definition(self, message: bytes) -> int:
        self._left -= 1
        return _State.DEFINITIONS if self._left else _State.NOTHING

    def _simple(self, message: bytes) -> int:
        if message[0] == messages.ERROR:
            return self._failed(message)
        is_eof = message[0] == messages.EOF and len(message) == _EOF_BYTES
        self._status = eof_status(message) if is_eof else _ok_status(message)
        return _State.NOTHING

    def _statistics(self, message: bytes) -> int:
        return _State.NOTHING

    _HANDLERS: ClassVar[Mapping[int, Callable[[PassingPhase, bytes], int]]] = {
        _State.FIRST: _first,
        _State.COLUMNS: _column,
        _State.COLUMNS_EOF: _columns_end,
        _State.ROWS: _rows_end,
        _State.PREPARED: _prepared,
        _State.DEFINITIONS: _definition,
        _State.SIMPLE: _simple,
        _State.STATISTICS: _statistics,
    }


def _has_several(text: bytes) -> bool:
    """Whether there may be more than one statement: something stands behind a semicolon."""
    at = text.find(b";")
    return at >= 0 and at + 1 != len(text) and not text[at + 1 :].isspace()


def _ok_status(message: bytes) -> int:
    if message[0] not in (messages.OK, messages.EOF):
        raise UpstreamFault("the server sent a message that it does not owe")
    reader = Reader(message[1:])
    reader.counted_number()
    reader.counted_number()
    return reader.number(2)
