"""The rows of a chunk, and the lines of a COPY, as plugins see and change them.

Nothing is looked at before a plugin asks. All cells of a column are found at once with numpy; a row that is asked for
by itself is read by itself. Bytes are patched in one copy of the chunk, and only rows whose cells changed in length
are framed anew.

Source: PostgreSQL 18 documentation, 54.7, DataRow and CopyData.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from gatepost.errors import UpstreamFault
from gatepost.values import Column, Kind, Scalar
from gatepost_postgres import messages, types
from gatepost_postgres.columns import COPY_LINE, Description

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where a cell begins and ends; None for NULL.
Span: TypeAlias = tuple[int, int] | None

_HEADER: Final = 5  # a message's type and length
_NULL: Final = 0xFFFFFFFF
_length = struct.Struct("!i")
_unsigned_length = struct.Struct("!I")
_count = struct.Struct("!h")
_LARGE: Final = 1 << 24
_OF_DIGITS: Final = frozenset((Kind.TEXT, Kind.INTEGER))
_FIRST: Final = _HEADER + _count.size  # where the first cell's length stands in a row


class _Row:
    """A row of a batch; `_spans` are its cells' places in the batch's data."""

    __slots__ = ("_batch", "_index", "_new", "_spans", "_touched")

    def __init__(self, batch: _Batch, index: int, spans: list[Span]) -> None:
        self._batch = batch
        self._index = index
        self._spans = spans
        self._new: dict[int, bytes | None] = {}
        self._touched: set[int] = set()

    @property
    def columns(self) -> Sequence[Column]:
        return self._batch.columns

    def __len__(self) -> int:
        return len(self._spans)

    def raw(self, column: int) -> bytes | None:
        if column in self._new:
            return self._new[column]
        span = self._spans[column]
        if span is None:
            return None
        cell = self._batch.data[span[0] : span[1]]
        return cell if type(cell) is bytes else bytes(cell)

    def scalars(self, column: int) -> tuple[Scalar, ...]:
        data = self.raw(column)
        if data is None:
            return ()
        description = self._batch.description
        try:
            return types.scalars(description.oids[column], description.formats[column], data)
        except types.Malformed as error:
            raise _malformed_cell(error, column) from error

    def replace(self, column: int, texts: Sequence[str | None]) -> None:
        data = self.raw(column)
        if data is None:
            if texts:
                raise ValueError("a NULL has no values to replace")
            return
        description = self._batch.description
        try:
            self._put(column, types.encode(description.oids[column], description.formats[column], data, texts))
        except types.Malformed as error:
            raise _malformed_cell(error, column) from error

    def redact(self, column: int, text: str) -> None:
        if self.raw(column) is not None:
            description = self._batch.description
            self._put(column, types.whole(description.oids[column], description.formats[column], text))

    def drop(self) -> None:
        self._batch.drop(self._index)

    def framed(self) -> bytes:
        """The row as a message."""
        return self._batch.frame([self.raw(column) for column in range(len(self._spans))])

    def _put(self, column: int, cell: bytes | None) -> None:
        before = self.raw(column)
        if cell == before:
            return
        span = self._spans[column]
        if cell is not None and span is not None and len(cell) == span[1] - span[0] and column not in self._new:
            self._batch.write(span[0], cell)
        else:
            self._new[column] = cell
            self._batch.resized.add(self._index)
        if column not in self._touched:
            self._touched.add(column)
            self._batch.masked += 1


def _malformed_cell(error: types.Malformed, column: int) -> UpstreamFault:
    return UpstreamFault(f"the server sent a malformed value in column {column + 1}: {error}")


class _Batch:
    """What DataRows and CopyData have in common: messages in a buffer, each with cells.

    Attributes:
        masked: how many cells were changed.
        resized: rows with a cell that has another length now.
    """

    def __init__(self, description: Description, buffer: bytes, starts: Sequence[int] | NDArray[Any]) -> None:
        self.description = description
        self.masked = 0
        self.resized: set[int] = set()
        self._starts = starts
        self._original = buffer
        self._patched: bytearray | None = None
        self._snapshot: bytes | None = None
        self._rows: dict[int, _Row] = {}
        self._dropped: set[int] = set()
        self._row_type: type[_Row] = _Row
        self._places: tuple[NDArray[Any], NDArray[Any]] | None = None

    @property
    def columns(self) -> Sequence[Column]:
        return self.description.columns

    @property
    def data(self) -> bytes | bytearray:
        """The bytes as they are now, but for rows changed at length."""
        return self._original if self._patched is None else self._patched

    @property
    def buffer(self) -> bytes:
        if self._patched is None:
            return self._original
        if self._snapshot is None:
            self._snapshot = bytes(self._patched)
        return self._snapshot

    @property
    def changed(self) -> bool:
        return self._patched is not None or bool(self.resized) or bool(self._dropped)

    @property
    def dropped(self) -> int:
        return len(self._dropped)

    def __len__(self) -> int:
        return len(self._starts)

    def offsets(self, column: int) -> NDArray[Any]:
        offsets: NDArray[Any] = self._located()[0][column]
        return offsets

    def lengths(self, column: int) -> NDArray[Any]:
        lengths: NDArray[Any] = self._located()[1][column]
        return lengths

    def patch(self, positions: NDArray[Any], values: NDArray[Any] | int, cells: int) -> None:
        np.frombuffer(self._writable(), dtype=np.uint8)[positions] = values
        self.masked += cells

    def locate(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int, int, int, int]]:
        starts = self._starts
        index = next_row = 0
        begins: list[int] = []
        ends: list[int] = []
        for start, end in spans if len(starts) else ():
            if start >= next_row:
                index = max(bisect_right(starts, start, index) - 1, 0)
                begins, ends = self._cells(int(starts[index]))
                next_row = self._next(index)
            while True:
                column = bisect_right(ends, start)
                while column < len(ends) and (begin := begins[column]) < end:
                    stop = ends[column]
                    if begin < stop:
                        yield index, column, begin, stop, max(begin, start), min(stop, end)
                    column += 1
                if end <= next_row or index + 1 == len(starts):
                    break
                index += 1
                begins, ends = self._cells(int(starts[index]))
                next_row = self._next(index)

    def digits(self, shortest: int, longest: int) -> Iterator[tuple[Kind, int, int]]:
        return iter(())

    def overwrite(self, offset: int, data: bytes) -> None:
        if self._patched is None:
            self._patched = bytearray(self._original)
        self._patched[offset : offset + len(data)] = data
        self._snapshot = None
        self.masked += 1

    def row(self, index: int) -> _Row:
        row = self._rows.get(index)
        if row is None:
            row = self._rows[index] = self._row_type(self, index, self._spans(self._start(index)))
        return row

    def drop(self, index: int) -> None:
        self._start(index)
        self._dropped.add(index)

    def write(self, offset: int, data: bytes) -> None:
        self._writable()[offset : offset + len(data)] = data

    def settle(self) -> None:
        """Let `buffer`, `offsets` and `lengths` show rows that were changed at length; rows taken before are void.

        Called between two plugins, never while one still holds positions in the buffer.
        """
        if not self.resized:
            return
        pieces: list[bytes | bytearray] = []
        starts = np.array(self._starts, dtype=np.int64)
        moved = np.zeros(len(starts) + 1, dtype=np.int64)
        at = 0
        for index in sorted(self.resized):
            start, end = self._extent(index)
            framed = self._rows[index].framed()
            pieces += (self.data[at:start], framed)
            moved[index + 1] = len(framed) - (end - start)
            at = end
        pieces.append(self.data[at:])
        self._patched = bytearray().join(pieces)
        self._starts = starts + np.cumsum(moved)[:-1]
        self._snapshot = None
        self._places = None
        self.resized.clear()
        self._rows.clear()

    def output(self) -> bytes:
        """The bytes that leave: what nobody changed is what came, rows that were dropped are not there."""
        if not self.resized and not self._dropped:
            return self.buffer
        pieces: list[bytes | bytearray] = []
        at = 0
        for index in sorted(self.resized | self._dropped):
            start, end = self._extent(index)
            pieces.append(self.data[at:start])
            if index not in self._dropped:
                pieces.append(self._rows[index].framed())
            at = end
        pieces.append(self.data[at:])
        return b"".join(pieces)

    def frame(self, cells: Sequence[bytes | None]) -> bytes:
        raise NotImplementedError

    def _cells(self, start: int) -> tuple[list[int], list[int]]:
        """Where the cells of the message at `start` begin, and where they end; a NULL ends right before it begins."""
        raise NotImplementedError

    def _spans(self, start: int) -> list[Span]:
        """The cells' places in the message that begins at `start`."""
        return [None if end < begin else (begin, end) for begin, end in zip(*self._cells(start), strict=True)]

    def _locate(
        self, starts: NDArray[Any], ends: NDArray[Any], data: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The cells' offsets and lengths in the messages between `starts` and `ends`, a row of each for a column."""
        raise NotImplementedError

    def _located(self) -> tuple[NDArray[Any], NDArray[Any]]:
        if self._places is None:
            starts = np.asarray(self._starts, dtype=np.int64)
            data = np.frombuffer(self.data, dtype=np.uint8)
            ends = starts + 1 + _numbers(data, ">u4", starts + 1)
            if len(starts) and (ends[-1] > len(data) or (ends[:-1] > starts[1:]).any()):
                raise UpstreamFault("a row does not end where its length says")
            self._places = self._locate(starts, ends, data)
        return self._places

    def _writable(self) -> bytearray:
        if self._patched is None:
            self._patched = bytearray(self._original)
        self._snapshot = None
        return self._patched

    def _start(self, index: int) -> int:
        if not 0 <= index < len(self._starts):
            raise IndexError("no such row in this batch")
        return int(self._starts[index])

    def _next(self, index: int) -> int:
        """Where the next row begins, or where the rows end."""
        return int(self._starts[index + 1]) if index + 1 < len(self._starts) else len(self.data)

    def _extent(self, index: int) -> tuple[int, int]:
        start = self._start(index)
        return start, start + 1 + int(_unsigned_length.unpack_from(self.data, start + 1)[0])


def _numbers(data: NDArray[Any], dtype: str, at: NDArray[Any]) -> NDArray[Any]:
    """The big-endian numbers that begin at these positions; at a position out of `data`, that at its last."""
    last = len(data) - np.dtype(dtype).itemsize
    if last < 0 and len(at):
        raise UpstreamFault("a row does not end where its length says")
    overlapping: NDArray[Any] = np.ndarray((max(last + 1, 0),), dtype, data.data, 0, (1,))
    numbers: NDArray[Any] = overlapping[np.minimum(at, last)]
    return numbers


@cache
def _digit_cells(shortest: int, longest: int) -> re.Pattern[bytes]:
    """A length, and as many digits.

    It matches nothing but a whole cell: text holds no NUL, no row has as many as 256 columns, and none is as long as
    `_LARGE` bytes, so three zeros before a small number begin a length.
    """
    cells = (re.escape(_length.pack(length)) + b"[0-9]{%d}" % length for length in range(shortest, longest + 1))
    return re.compile(b"|".join(cells))


class Batch(_Batch):
    """DataRows, each beginning at one of `starts` in `buffer`; bytes between them leave as they are.

    Args:
        description: the columns.
        buffer: whole messages.
        starts: where each row's message begins, ascending.
    """

    def digits(self, shortest: int, longest: int) -> Iterator[tuple[Kind, int, int]]:
        data, kinds = self.buffer, self.description.digits
        if kinds is None or len(data) >= _LARGE:
            return
        (only,) = kinds if len(kinds) == 1 else (None,)
        for match in _digit_cells(shortest, longest).finditer(data):
            start, end = match.span()
            start += _length.size
            kind = only or self._kind_at(start)
            if kind in _OF_DIGITS:
                yield kind, start, end

    def _kind_at(self, begin: int) -> Kind:
        """The kind of the column whose cell begins there."""
        index = bisect_right(self._starts, begin) - 1
        column = self._cells(int(self._starts[index]))[0].index(begin)
        return self.columns[column].kind

    def frame(self, cells: Sequence[bytes | None]) -> bytes:
        parts = [_count.pack(len(cells))]
        for cell in cells:
            parts.append(b"\xff\xff\xff\xff" if cell is None else _length.pack(len(cell)) + cell)
        return messages.message(messages.DATA_ROW, b"".join(parts))

    def _cells(self, start: int) -> tuple[list[int], list[int]]:
        data, number = self.data, _unsigned_length.unpack_from
        begins, ends = [], []
        try:
            count, at = _count.unpack_from(data, start + _HEADER)[0], start + _FIRST
            if count != len(self.description.columns):
                raise UpstreamFault("a row has another number of columns than its description")
            for _ in range(count):
                (length,) = number(data, at)
                at += 4
                begins.append(at)
                if length == _NULL:
                    ends.append(at - 1)
                else:
                    at += length
                    ends.append(at)
            end = start + 1 + number(data, start + 1)[0]
        except struct.error:
            raise UpstreamFault("a row does not end where its length says") from None
        if at != end or end > len(data):
            raise UpstreamFault("a row does not end where its length says")
        return begins, ends

    def _locate(
        self, starts: NDArray[Any], ends: NDArray[Any], data: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        columns = len(self.columns)
        if (_numbers(data, ">i2", starts + _HEADER) != columns).any():
            raise UpstreamFault("a row has another number of columns than its description")
        offsets = np.empty((columns, len(starts)), dtype=np.int64)
        lengths = np.empty((columns, len(starts)), dtype=np.int64)
        at = starts + (_HEADER + _count.size)
        for column in range(columns):
            # A length that lies leads out of the row, which is noticed at the end; until then, stay in the buffer.
            lengths[column] = _numbers(data, ">i4", at)
            np.add(at, _length.size, out=offsets[column])
            at = offsets[column] + np.maximum(lengths[column], 0)
        if (at != ends).any() or (lengths < -1).any():
            raise UpstreamFault("a row does not end where its length says")
        return offsets, lengths


class _Line(_Row):
    """A line of COPY. Its end is part of the cell, but of no value in it: it stays whatever becomes of the line."""

    __slots__ = ()

    def scalars(self, column: int) -> tuple[Scalar, ...]:
        try:
            return types.scalars(types.TEXT_OID, types.TEXT_FORMAT, self._line_and_end()[0])
        except types.Malformed as error:
            raise UpstreamFault("the server sent a line of COPY that is not UTF-8") from error

    def replace(self, column: int, texts: Sequence[str | None]) -> None:
        (text,) = texts
        if text is None:
            raise ValueError("a line of COPY cannot be NULL")
        self.redact(column, text)

    def redact(self, column: int, text: str) -> None:
        self._put(column, text.encode() + self._line_and_end()[1])

    def _line_and_end(self) -> tuple[bytes, bytes]:
        data = self.raw(0) or b""
        line = data.removesuffix(b"\n").removesuffix(b"\r")
        return line, data[len(line) :]


class CopyBatch(_Batch):
    """CopyData messages of a COPY TO STDOUT, each one row of one column; see `Batch` for the arguments.

    Args:
        description: `COPY_LINE`, or `COPY_BINARY` where the COPY is in binary format.
    """

    def __init__(self, description: Description, buffer: bytes, starts: Sequence[int] | NDArray[Any]) -> None:
        super().__init__(description, buffer, starts)
        self._row_type = _Line if description is COPY_LINE else _Row

    def frame(self, cells: Sequence[bytes | None]) -> bytes:
        return messages.message(messages.COPY_DATA, cells[0] or b"")

    def _cells(self, start: int) -> tuple[list[int], list[int]]:
        try:
            (length,) = _unsigned_length.unpack_from(self.data, start + 1)
        except struct.error:
            raise UpstreamFault("a row does not end where its length says") from None
        if length < _length.size or start + 1 + length > len(self.data):
            raise UpstreamFault("a row does not end where its length says")
        return [start + _HEADER], [start + 1 + length]

    def _locate(
        self, starts: NDArray[Any], ends: NDArray[Any], data: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        offsets = starts + _HEADER
        lengths = ends - offsets
        if (lengths < 0).any():
            raise UpstreamFault("a row does not end where its length says")
        return offsets[np.newaxis], lengths[np.newaxis]
