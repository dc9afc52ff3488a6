"""A small, strict MySQL client that shares nothing with the product: packets, results, cells to text.

What it cannot read strictly raises `WireError`, so a test that uses it also tests the framing of what it was sent.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Self

from tests import mysql_wire as wire
from tests.wire import PATIENCE, WireError

WHOLE: Final = 0xFFFFFF
MORE_RESULTS: Final = 0x0008
CURSOR_OPEN: Final = 0x0040
LAST_ROW: Final = 0x0080
READ_ONLY_CURSOR: Final = 1
EOF_BYTES: Final = 5
TEXT_PARAMETER: Final = 253

_, TINY, SHORT, LONG, FLOAT, DOUBLE, _, TIMESTAMP, LONGLONG, INT24 = range(10)
DATE, TIME, DATETIME, YEAR, BIT = 10, 11, 12, 13, 16
INTEGERS: Final = {TINY: 1, SHORT: 2, YEAR: 2, LONG: 4, INT24: 4, LONGLONG: 8}
UNSIGNED: Final = 32

_EXTENSIONS: Final = ~0xFFFFFFFF


class Column(NamedTuple):
    """A column definition: schema, table, its own table, name, own name; and what its cells are.

    `more` is what MariaDB says of its type: the name by 0, the format by 1.
    """

    names: tuple[str, ...]
    kind: int
    flags: int
    more: Mapping[int, str] = {}

    @property
    def name(self) -> str:
        return self.names[3]


class Result(NamedTuple):
    """One result of a statement.

    Attributes:
        rows: the cells as they came; integers of the binary protocol are told in digits.
        end: the OK, EOF or ERR packet that ends it.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[bytes | None]]
    end: bytes

    @property
    def error(self) -> tuple[int, str, str] | None:
        """Code, SQLSTATE and text of the error that ends it."""
        if self.end[0] != 0xFF:
            return None
        if self.end[3:4] != b"#":
            raise WireError("an ERR has no SQLSTATE")
        return int.from_bytes(self.end[1:3], "little"), self.end[4:9].decode(), self.end[9:].decode()

    @property
    def status(self) -> int:
        if self.end[0] == 0xFE and len(self.end) == EOF_BYTES:
            return int.from_bytes(self.end[3:5], "little")
        reader = _Reader(self.end[1:])
        reader.count()
        reader.count()
        return int.from_bytes(reader.take(2), "little")


class Prepared(NamedTuple):
    number: int
    parameters: int
    columns: Sequence[Column]


class Progress(NamedTuple):
    """How far a statement is: in thousandths of a percent of one of its stages."""

    stage: int
    stages: int
    done: int
    text: str


class MySqlWire:
    """A connection. It reads results with DEPRECATE_EOF, and proves itself by mysql_native_password.

    Attributes:
        number: the connection's.
        offered: the server's capabilities.
        progress: what was told of it.
        skipped: how many results have come without their columns.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1", capabilities: int = wire.CAPABILITIES) -> None:
        self.socket: socket.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self._capabilities = capabilities
        self._buffer = b""
        self._next = 0
        self.number = 0
        self.offered = 0
        self.progress: list[Progress] = []
        self.skipped = 0
        self._columns: dict[int, Sequence[Column]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def log_in(self, user: str, password: str, database: str = "shop") -> Self:
        greeting = self.read()
        if greeting[:1] != b"\x0a":
            raise WireError(f"not a greeting: {greeting!r}")
        version = greeting.index(b"\0", 1) + 1
        self.number = int.from_bytes(greeting[version : version + 4], "little")
        self.offered = _capabilities(greeting[version + 13 :])
        self._capabilities &= self.offered | ~_EXTENSIONS
        nonce = greeting[version + 4 : version + 12] + greeting[version + 31 : version + 43]
        self.socket.sendall(
            wire.login(
                user,
                proof=wire.native_proof(password, nonce),
                plugin="mysql_native_password",
                database=database,
                capabilities=self._capabilities,
                attributes=b"",
            )
        )
        self._next = 2
        answer = self.read()
        if answer[0] == 0xFE:
            plugin, nonce, _ = answer[1:].split(b"\0", 2) if answer.count(b"\0") > 1 else (b"", b"", b"")
            if plugin != b"mysql_native_password":
                raise WireError(f"an authentication that this client does not know: {plugin!r}")
            self.socket.sendall(wire.packet(self._next, wire.native_proof(password, nonce)))
            self._next += 1
            answer = self.read()
        if answer[0] != 0:
            raise WireError(answer[3:].decode("utf-8", "replace"))
        return self

    # Statements.

    def query(self, text: str) -> list[Result]:
        """All results of a text."""
        self.send(wire.QUERY, text.encode())
        return self.results()

    def prepare(self, text: str) -> Prepared | Result:
        """A prepared statement, or the error in its place."""
        self.send(wire.PREPARE, text.encode())
        answer = self.read()
        if answer[0] != 0:
            return Result([], [], answer)
        number, columns, parameters = struct.unpack_from("<IHH", answer, 1)
        for _ in range(parameters):
            self._column()
        self._columns[number] = [self._column() for _ in range(columns)]
        return Prepared(number, parameters, self._columns[number])

    def execute(self, prepared: Prepared, values: Sequence[bytes | None] = (), *, flags: int = 0) -> list[Result]:
        """All results of an execution, whose values are texts."""
        body = struct.pack("<IBI", prepared.number, flags, 1)
        if values:
            nulls = sum(1 << index for index, value in enumerate(values) if value is None)
            body += nulls.to_bytes((len(values) + 7) // 8, "little") + b"\1"
            body += struct.pack("<H", TEXT_PARAMETER) * len(values)
            body += b"".join(wire.counted(value) for value in values if value is not None)
        self.send(wire.EXECUTE, body)
        return self.results(prepared)

    def bind(self, prepared: Prepared, types: bytes, values: bytes = b"") -> list[Result]:
        """All results of an execution with values, none of them NULL, in whatever form: types behind a flag."""
        nulls = bytes((prepared.parameters + 7) // 8)
        self.send(wire.EXECUTE, struct.pack("<IBI", prepared.number, 0, 1) + nulls + types + values)
        return self.results(prepared)

    def fetch(self, prepared: Prepared, columns: Sequence[Column], rows: int) -> Result:
        """The next rows of an open cursor."""
        self.send(wire.FETCH, struct.pack("<II", prepared.number, rows))
        return self._rows(columns, is_binary=True)

    def fields(self, table: str, pattern: str = "") -> Result:
        """A table's columns and, as their one row, what their defaults are."""
        self.send(wire.FIELD_LIST, table.encode() + b"\0" + pattern.encode())
        columns, defaults = [], []
        message = self.read()
        while message[0] not in (0xFE, 0xFF):
            reader = _Reader(message)
            columns.append(_definition(reader, is_extended=self._is_extended))
            defaults.append(reader.cell())
            reader.end()
            message = self.read()
        return Result(columns, [defaults], message)

    def load(self, text: str, file: bytes) -> Result:
        """A LOAD DATA LOCAL, whose file is sent in packets as long as can be."""
        self.send(wire.QUERY, text.encode())
        asked = self.read()
        if asked[0] != 0xFB:
            return Result([], [], asked)
        pieces = [file[at : at + WHOLE] for at in range(0, len(file), WHOLE)]
        if pieces and len(pieces[-1]) == WHOLE:
            pieces.append(b"")
        for piece in (*pieces, b""):
            self.socket.sendall(wire.packet(self._next, piece))
            self._next += 1
        return Result([], [], self.read())

    def command(self, kind: int, body: bytes = b"") -> Result:
        """A command whose answer is one OK or ERR."""
        self.send(kind, body)
        return Result([], [], self.read())

    # Packets.

    def send(self, kind: int, body: bytes = b"") -> None:
        message, number = bytes((kind,)) + body, 0
        while len(message) >= WHOLE:
            self.socket.sendall(wire.packet(number, message[:WHOLE]))
            message, number = message[WHOLE:], number + 1
        self.socket.sendall(wire.packet(number, message))
        self._next = number + 1

    def read(self) -> bytes:
        """The next message, of one packet or more. Raises EOFError at the end of the stream."""
        parts = [self._packet(at_start=True)]
        while len(parts[-1]) == WHOLE:
            parts.append(self._packet())
        message = b"".join(parts)
        if not message:
            raise WireError("an empty message")
        if self._capabilities & wire.PROGRESS and message.startswith(b"\xff\xff\xff"):
            self.progress.append(_progress(message[3:]))
            return self.read()
        return message

    def results(self, executed: Prepared | None = None) -> list[Result]:
        """All results of what was sent; of an execution, what of."""
        found = [self._result(executed)]
        while found[-1].error is None and found[-1].status & MORE_RESULTS:
            found.append(self._result(executed))
        return found

    def _result(self, executed: Prepared | None) -> Result:
        head = self.read()
        if head[0] in (0, 0xFF):
            return Result([], [], head)
        if head[0] == 0xFB:
            raise WireError("the server asks for a file of the client's")
        reader = _Reader(head)
        count = reader.count()
        is_complete = not self._capabilities & wire.CACHE_METADATA or reader.take(1) == b"\1"
        reader.end()
        if not is_complete:
            self.skipped += 1
            if executed is None or len(self._columns[executed.number]) != count:
                raise WireError("columns are left out that are not known")
        columns = [self._column() for _ in range(count)] if is_complete else self._columns[executed.number]  # type: ignore[union-attr]
        if executed is None:
            return self._rows(columns, is_binary=False)
        self._columns[executed.number] = columns
        first = self.read()
        if first[0] == 0xFE and Result([], [], first).status & CURSOR_OPEN:
            return Result(columns, [], first)
        return self._rows(columns, is_binary=True, first=first)

    def _rows(self, columns: Sequence[Column], *, is_binary: bool, first: bytes | None = None) -> Result:
        rows = []
        message = self.read() if first is None else first
        while not (message[0] == 0xFF or (message[0] == 0xFE and len(message) < WHOLE)):
            rows.append(_binary_row(message, columns) if is_binary else _text_row(message, columns))
            message = self.read()
        return Result(columns, rows, message)

    def _column(self) -> Column:
        return _column(self.read(), is_extended=self._is_extended)

    @property
    def _is_extended(self) -> bool:
        return bool(self._capabilities & wire.EXTENDED_METADATA)

    def _packet(self, *, at_start: bool = False) -> bytes:
        head = self._take(4, at_start=at_start)
        if head[3] != self._next & 0xFF:
            raise WireError(f"packet {head[3]} where {self._next & 0xFF} is due")
        self._next += 1
        return self._take(int.from_bytes(head[:3], "little"))

    def _take(self, count: int, *, at_start: bool = False) -> bytes:
        if len(self._buffer) < count:
            parts, size = [self._buffer], len(self._buffer)
            while size < count:
                chunk = self.socket.recv(1 << 18)
                if not chunk:
                    if at_start and not size:
                        raise EOFError
                    raise WireError("the stream ends within a message")
                parts.append(chunk)
                size += len(chunk)
            self._buffer = b"".join(parts)
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._place

    def take(self, count: int) -> bytes:
        if self._place + count > len(self._data):
            raise WireError("a field is longer than its message")
        self._place += count
        return self._data[self._place - count : self._place]

    def count(self) -> int:
        first = self.take(1)[0]
        if first < 0xFB:
            return first
        if first in (0xFB, 0xFF):
            raise WireError("no length")
        return int.from_bytes(self.take({0xFC: 2, 0xFD: 3, 0xFE: 8}[first]), "little")

    def counted(self) -> bytes:
        return self.take(self.count())

    def cell(self) -> bytes | None:
        if self._data[self._place : self._place + 1] == wire.NULL:
            self._place += 1
            return None
        return self.counted()

    def end(self) -> None:
        if self._place != len(self._data):
            raise WireError("bytes after the last field")


def _capabilities(greeting: bytes) -> int:
    """Those in a greeting, of which this is what stands behind the nonce's first half."""
    low, high, extended = struct.unpack_from("<H3xH7xI", greeting)
    found: int = low | high << 16
    return found if found & wire.IS_MYSQL else found | extended << 32


def _progress(message: bytes) -> Progress:
    strings, stage, stages, *done = message[:6]
    if strings != 1:
        raise WireError("progress is told in another form")
    reader = _Reader(message[6:])
    text = reader.counted().decode()
    reader.end()
    return Progress(stage, stages, int.from_bytes(bytes(done), "little"), text)


def _column(message: bytes, *, is_extended: bool) -> Column:
    reader = _Reader(message)
    column = _definition(reader, is_extended=is_extended)
    reader.end()
    return column


def _definition(reader: _Reader, *, is_extended: bool) -> Column:
    if reader.counted() != b"def":
        raise WireError("not a column definition")
    names = tuple(reader.counted().decode() for _ in range(5))
    more = {}
    if is_extended:
        extension = _Reader(reader.counted())
        while extension.left:
            number = extension.take(1)[0]
            more[number] = extension.counted().decode()
    _, _, _, kind, flags, _ = struct.unpack("<BHIBHB", reader.take(11))
    if reader.take(2) != b"\0\0":
        raise WireError("a column definition's end is not empty")
    return Column(names, kind, flags, more)


def _text_row(message: bytes, columns: Sequence[Column]) -> list[bytes | None]:
    reader = _Reader(message)
    cells = [reader.cell() for _ in columns]
    reader.end()
    return cells


def _binary_row(message: bytes, columns: Sequence[Column]) -> list[bytes | None]:
    reader = _Reader(message)
    if reader.take(1) != b"\0":
        raise WireError("not a binary row")
    nulls = int.from_bytes(reader.take((len(columns) + 9) // 8), "little") >> 2
    cells = [None if nulls >> index & 1 else _binary_cell(reader, column) for index, column in enumerate(columns)]
    reader.end()
    return cells


def _binary_cell(reader: _Reader, column: Column) -> bytes:
    if size := INTEGERS.get(column.kind):
        return str(int.from_bytes(reader.take(size), "little", signed=not column.flags & UNSIGNED)).encode()
    match column.kind:
        case 4:
            return repr(struct.unpack("<f", reader.take(4))[0]).encode()
        case 5:
            return repr(struct.unpack("<d", reader.take(8))[0]).encode()
        case 7 | 10 | 11 | 12:
            return reader.take(reader.take(1)[0])
    return reader.counted()


def texts(cell: bytes | None, column: Column) -> list[str]:
    """What can be read out of a cell: its text in the usual encodings, or the number that it is."""
    if cell is None:
        return []
    found = [cell.decode("latin-1")]
    if column.kind == BIT or len(cell) == 8:
        found += [str(int.from_bytes(cell, order)) for order in ("big", "little")]
    if column.kind in (FLOAT, DOUBLE):
        found.append(f"{float(cell):.0f}")
    found += [cell.decode(encoding, "ignore") for encoding in ("utf-16-be", "utf-16-le", "utf-32-be")]
    return found
