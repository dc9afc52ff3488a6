"""The rows of a chunk, and the lines of a COPY, as plugins see and change them.

Source: PostgreSQL 18 documentation, 54.7, DataRow and CopyData.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gatepost.batch import CellBatch, CellRow, numbers
from gatepost.errors import UpstreamFault
from gatepost.values import Kind, Scalar
from gatepost_postgres import messages, types
from gatepost_postgres.columns import COPY_LINE, Description
from gatepost_postgres.containers import COPY_HEADER, COPY_TRAILER

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADER: Final = 5  # a message's type and length
_NULL: Final = 0xFFFFFFFF
_length = struct.Struct("!i")
_unsigned_length = struct.Struct("!I")
_count = struct.Struct("!h")
_LENGTH: Final = _length.size
_LARGE: Final = 1 << 24
_OF_DIGITS: Final = frozenset((Kind.TEXT, Kind.INTEGER))


class _Described(CellBatch):
    """What DataRows and CopyData have in common: the types that a description names."""

    def __init__(self, description: Description, buffer: bytes, starts: Sequence[int] | NDArray[Any]) -> None:
        super().__init__(description.columns, buffer, starts)
        self._description = description

    def decode(self, column: int, data: bytes) -> tuple[Scalar, ...]:
        try:
            return types.scalars(self._description.oids[column], self._description.formats[column], data)
        except types.Malformed as error:
            raise _malformed_cell(error, column) from error

    def encode(self, column: int, data: bytes, texts: Sequence[str | None]) -> bytes | None:
        try:
            return types.encode(self._description.oids[column], self._description.formats[column], data, texts)
        except types.Malformed as error:
            raise _malformed_cell(error, column) from error

    def whole(self, column: int, text: str) -> bytes | None:
        return types.whole(self._description.oids[column], self._description.formats[column], text)

    def _end(self, start: int) -> int:
        return start + 1 + int(_unsigned_length.unpack_from(self.data, start + 1)[0])

    def _ends(self, starts: NDArray[Any], data: NDArray[Any]) -> NDArray[Any]:
        ends: NDArray[Any] = starts + 1 + numbers(data, ">u4", starts + 1)
        if len(starts) and (ends[-1] > len(data) or (ends[:-1] > starts[1:]).any()):
            raise UpstreamFault("a row does not end where its length says")
        return ends


def _malformed_cell(error: types.Malformed, column: int) -> UpstreamFault:
    return UpstreamFault(f"the server sent a malformed value in column {column + 1}: {error}")


class Batch(_Described):
    """DataRows, each beginning at one of `starts` in `buffer`.

    Args:
        description: the columns.
        buffer: whole messages; bytes between rows leave as they are.
        starts: where each row's message begins, ascending.
    """

    def places(self, lengths: range) -> Iterable[tuple[Kind, int, Sequence[int]]]:
        """By the cells' lengths, which three zeros begin.

        Text holds no NUL, no row has as many as 256 columns, and none is as long as `_LARGE` bytes: where digits are
        right behind such a length, it is no other number and no part of one, unless a fourth zero is right before it.
        """
        data, kinds = self.buffer, self._description.digits
        if not kinds or kinds.isdisjoint(_OF_DIGITS) or len(data) >= _LARGE:
            return
        for length in lengths:
            if length not in data:
                continue
            packed, at = _length.pack(length), 0
            begins = [at := at + len(part) + _LENGTH for part in data.split(packed)[:-1]]
            if data.find(b"\0" + packed) >= 0:
                begins = [begin for begin in begins if data[begin - _LENGTH - 1]]
            if len(kinds) == 1:
                if begins:
                    (kind,) = kinds
                    yield kind, length, begins
                continue
            by_kind: dict[Kind, list[int]] = {}
            for begin in begins:
                if data[begin : begin + length].isdigit():
                    by_kind.setdefault(self._kind_at(begin), []).append(begin)
            for kind, some in by_kind.items():
                if kind in _OF_DIGITS:
                    yield kind, length, some

    def _kind_at(self, begin: int) -> Kind:
        """The kind of the column whose cell begins there."""
        index = bisect_right(self._starts, begin) - 1
        column = self._cells(int(self._starts[index]))[0].index(begin)
        return self.columns[column].kind

    def frame(self, cells: Sequence[bytes | None]) -> bytes:
        return messages.message(messages.DATA_ROW, _counted(cells))

    def _cells(self, start: int, skipped: int = _HEADER) -> tuple[list[int], list[int]]:
        data, number = self.data, _unsigned_length.unpack_from
        begins, ends = [], []
        try:
            count, at = _count.unpack_from(data, start + skipped)[0], start + skipped + 2
            if count != len(self.columns):
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

    def _locate(self, starts: NDArray[Any], data: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        columns, ends = len(self.columns), self._ends(starts, data)
        counts = self._counts(starts)
        if (numbers(data, ">i2", counts) != columns).any():
            raise UpstreamFault("a row has another number of columns than its description")
        offsets = np.empty((columns, len(starts)), dtype=np.int64)
        lengths = np.empty((columns, len(starts)), dtype=np.int64)
        at = counts + _count.size
        for column in range(columns):
            # A length that lies leads out of the row, which is noticed at the end; until then, stay in the buffer.
            lengths[column] = numbers(data, ">i4", at)
            np.add(at, _length.size, out=offsets[column])
            at = offsets[column] + np.maximum(lengths[column], 0)
        if (at != ends).any() or (lengths < -1).any():
            raise UpstreamFault("a row does not end where its length says")
        return offsets, lengths

    def _counts(self, starts: NDArray[Any]) -> NDArray[Any]:
        """Where the number of columns stands in each row."""
        counts: NDArray[Any] = starts + _HEADER
        return counts


def _counted(cells: Sequence[bytes | None]) -> bytes:
    """How many cells there are, and each of them behind its length."""
    parts = [_count.pack(len(cells))]
    for cell in cells:
        parts.append(b"\xff\xff\xff\xff" if cell is None else _length.pack(len(cell)) + cell)
    return b"".join(parts)


class _Tuple(CellRow):
    """A tuple of COPY, whose message may begin with the header of them all."""

    __slots__ = ()

    def framed(self) -> bytes:
        assert isinstance(self._batch, TupleBatch)
        cells = [self.raw(column) for column in range(len(self))]
        return messages.message(messages.COPY_DATA, self._batch.header(self._index) + _counted(cells))


class TupleBatch(Batch):
    """CopyData messages of a COPY TO STDOUT in binary format whose columns are known, each of them one row.

    The server sends the header ahead of the first row, in its message, and the trailer, which is no row, behind the
    last one by itself; without rows, both in one message.

    Source: PostgreSQL 18 documentation, 54.2.6, and COPY, "Binary Format".
    """

    row_type = _Tuple

    def __init__(self, description: Description, buffer: bytes, starts: Sequence[int] | NDArray[Any]) -> None:
        last = int(starts[-1])
        if buffer[last + _HEADER :].removeprefix(COPY_HEADER) == COPY_TRAILER:
            starts = starts[:-1]
        super().__init__(description, buffer, starts)

    def header(self, index: int) -> bytes:
        """What is ahead of a row in its message."""
        return COPY_HEADER if self._has_header(self._start(index)) else b""

    def _cells(self, start: int, skipped: int = _HEADER) -> tuple[list[int], list[int]]:
        return super()._cells(start, skipped + len(COPY_HEADER) if self._has_header(start) else skipped)

    def _counts(self, starts: NDArray[Any]) -> NDArray[Any]:
        counts = super()._counts(starts)
        if len(starts) and self._has_header(int(starts[0])):
            counts[0] += len(COPY_HEADER)
        return counts

    def _has_header(self, start: int) -> bool:
        return self.data.startswith(COPY_HEADER, start + _HEADER)


class _Line(CellRow):
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


class CopyBatch(_Described):
    """CopyData messages of a COPY TO STDOUT, each one row of one column; see `Batch` for the arguments.

    Args:
        description: `COPY_LINE`, or `COPY_BINARY` where the COPY is in binary format and its columns are not known.
    """

    def __init__(self, description: Description, buffer: bytes, starts: Sequence[int] | NDArray[Any]) -> None:
        super().__init__(description, buffer, starts)
        self.row_type = _Line if description is COPY_LINE else CellRow

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

    def _locate(self, starts: NDArray[Any], data: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        offsets = starts + _HEADER
        lengths = self._ends(starts, data) - offsets
        if (lengths < 0).any():
            raise UpstreamFault("a row does not end where its length says")
        return offsets[np.newaxis], lengths[np.newaxis]
