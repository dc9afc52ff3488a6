"""Recorded output of a session, decoded for a person to read.

What a message is follows from those before it in the same answer, for neither the commands nor the capabilities are
recorded with it. Rows whose columns MariaDB has left out, since the client knew them, are told in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Final

from gatepost.errors import Fault
from gatepost.partial import Partial
from gatepost.values import Kind, Shown
from gatepost_mysql import frames, messages, types
from gatepost_mysql.columns import Definition, define, define_field, describe
from gatepost_mysql.frames import HEADER_BYTES, LONGEST, Reader, header
from gatepost_mysql.rows import Batch

_PREPARED_BYTES: Final = 12
_EOF_BYTES: Final = 5
_IS_DEFINITION: Final = b"\x03def"


class _State(Enum):
    FIRST = auto()
    COLUMNS = auto()
    ROWS = auto()
    PREPARED = auto()
    FIELDS = auto()


# While these last, number 1 is that of a 256th packet and one more.
_LONG: Final = frozenset((_State.COLUMNS, _State.PREPARED, _State.FIELDS))


def shown(output: Iterable[bytes]) -> Iterator[Shown]:
    """What the client was shown, message by message, in order.

    The chunks are those of `on_output`. A message that the recording ends in is left out; at bytes that are no
    message of a server, as where a recording starts amid one, the reading ends.
    """
    reader = _Reader()
    partial = Partial()
    for chunk in output:
        data = partial.join(chunk)
        if data is None:
            continue
        position = 0
        while position < len(data):
            stop = _end(data, position)
            if stop > len(data):
                partial.keep(data[position:], stop - position)
                break
            try:
                yield from reader.take(data[position + 3], frames.payload(data[position:stop]))
            except (Fault, ValueError, IndexError):
                return
            position = stop


def _end(data: bytes, position: int) -> int:
    """Where the message ends that begins here, or how much must be there to tell more."""
    stop = position
    while True:
        if len(data) - stop < HEADER_BYTES:
            return stop + HEADER_BYTES
        length = int(header(data, stop)[0]) & LONGEST
        stop += HEADER_BYTES + length
        if length < LONGEST or stop > len(data):
            return stop


class _Reader:
    """One reading of a recording."""

    def __init__(self) -> None:
        self._state = _State.FIRST
        self._left = 0
        self._definitions: list[Definition] = []

    def take(self, number: int, message: bytes) -> Iterator[Shown]:
        if not message:
            raise ValueError("a message is empty")
        if message.startswith(messages.PROGRESS):
            yield self._progress(message)
            return
        is_definition = message.startswith(_IS_DEFINITION) and self._state is not _State.ROWS
        is_amid = self._state is _State.ROWS and message[0] != messages.ERROR
        # With this number an answer begins, or its 256th packet and one more has come.
        if number == 1 and not is_amid and not (is_definition and self._state in _LONG):
            self._begin()
            self._state = _State.FIELDS if is_definition else _State.FIRST
        if message.startswith(b"\xff"):
            self._begin()
            yield self._error(message)
        elif is_definition:
            yield from self._column(message)
        elif message[0] == messages.EOF and len(message) < LONGEST:
            yield from self._end_of_part(message)
        elif self._state is _State.ROWS:
            yield Shown(kind="row", cells=self._row(message))
        else:
            yield from self._first(message)

    def _begin(self) -> None:
        self._state = _State.FIRST
        self._left = 0
        self._definitions = []

    def _first(self, message: bytes) -> Iterator[Shown]:
        if message[0] == messages.OK:
            if len(message) == _PREPARED_BYTES and message[9] == 0 and (message[5:9] != bytes(4)):
                self._left = int.from_bytes(message[5:7], "little") + int.from_bytes(message[7:9], "little")
                self._state = _State.PREPARED
                return
            yield self._ok(message)
            return
        if message[0] == messages.LOCAL_FILE:
            return
        reader = Reader(message)
        self._left = reader.counted_number()
        follow = reader.number(1) if reader.left == 1 else 1
        if reader.left or not self._left or follow > 1:
            yield Shown(kind="tag", cells=(message.decode("utf-8", "replace"),))
            return
        self._definitions = []
        self._state = _State.COLUMNS
        if not follow:
            self._left = 0
            self._state = _State.ROWS

    def _column(self, message: bytes) -> Iterator[Shown]:
        if self._state is _State.FIELDS:
            definition, default = _define_field(message)
            cells = (definition.names[4], default)
            texts = (None if cell is None else cell.decode("utf-8", "replace") for cell in cells)
            yield Shown(kind="row", cells=tuple(texts))
        self._left -= 1
        if self._state is _State.COLUMNS:
            self._definitions.append(_define(message))
        elif self._state is _State.PREPARED and not self._left:
            self._begin()
        if self._state is _State.COLUMNS and not self._left:
            names = tuple(definition.names[4].decode("utf-8", "replace") for definition in self._definitions)
            self._state = _State.ROWS
            yield Shown(kind="columns", cells=names)

    def _end_of_part(self, message: bytes) -> Iterator[Shown]:
        if len(message) == _EOF_BYTES:
            is_after_columns = self._state is _State.ROWS and self._left == 0
            self._left = -1
            if is_after_columns:
                return
            yield Shown(kind="tag", cells=("",))
        else:
            yield self._ok(message)
        self._begin()

    def _row(self, message: bytes) -> tuple[str | None, ...]:
        if not self._definitions:
            return ("\\x" + message.hex(),)
        for is_binary in (False, True) if message[0] or not self._looks_binary(message) else (True, False):
            description = describe(self._definitions, is_binary=is_binary)
            batch = Batch(description, message, (0,), is_joined=True)
            try:
                row = batch.row(0)
                return tuple(self._cell(row.raw(column), column, is_binary) for column in range(len(row)))
            except Fault:
                continue
        raise ValueError("a row is not what its columns say")

    def _looks_binary(self, message: bytes) -> bool:
        """Where a row could be both: bits behind the last column's are never set."""
        return len(message) > len(self._definitions)

    def _cell(self, data: bytes | None, column: int, is_binary: bool) -> str | None:
        if data is None:
            return None
        type_ = self._definitions[column].type
        text = types.scalar(type_, data, is_binary=is_binary).text
        return "\\x" + text if type_.kind is Kind.BYTES else text

    def _ok(self, message: bytes) -> Shown:
        reader = Reader(message[1:])
        return Shown(kind="tag", cells=(f"{reader.counted_number()} rows affected",))

    def _progress(self, message: bytes) -> Shown:
        stage, stages = message[4:6]
        text = Reader(message[9:]).counted().decode("utf-8", "replace")
        return Shown(kind="notice", cells=(f"stage {stage} of {stages}", text))

    def _error(self, message: bytes) -> Shown:
        code = str(int.from_bytes(message[1:3], "little"))
        text = message[9:] if message[3:4] == b"#" else message[3:]
        return Shown(kind="error", cells=("ERROR", code, text.decode("utf-8", "replace")))


def _define(message: bytes) -> Definition:
    """A column definition, in whichever of its two forms: no message is of both."""
    try:
        return define(message)
    except Fault:
        return define(message, is_extended=True)


def _define_field(message: bytes) -> tuple[Definition, bytes | None]:
    try:
        return define_field(message)
    except Fault:
        return define_field(message, is_extended=True)
