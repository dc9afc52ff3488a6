"""The rows of a chunk, in text and in binary.

Source: MySQL internals manual, "ProtocolText::ResultsetRow" and "Binary Protocol Resultset Row".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import add
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gatepost.batch import CellBatch, numbers
from gatepost.errors import UpstreamFault
from gatepost.values import Kind, Scalar
from gatepost_mysql import types
from gatepost_mysql.columns import Description
from gatepost_mysql.frames import HEADER_BYTES, LONGEST, counted, frame, header, renumber
from gatepost_mysql.types import COUNTED, TEMPORAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NULL: Final = 0xFB
_COUNTS: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}
# By a cell's first byte, how far behind it the next cell is: the first byte is a length, or stands for NULL.
_STEPS: Final = bytes(1 if first == _NULL else min(first + 1, 0xFF) for first in range(256))
# Bits of a binary row's NULL bitmap that mean no column.
_SKIPPED_BITS: Final = 2


class Batch(CellBatch):
    """Rows, each beginning at one of `starts` in `buffer`.

    Args:
        description: the columns.
        buffer: whole packets.
        starts: where each row's packet begins, ascending.
        is_joined: the buffer is one row without its packets' headers, as it had several.
    """

    def __init__(
        self,
        description: Description,
        buffer: bytes,
        starts: Sequence[int] | NDArray[Any],
        *,
        is_joined: bool = False,
    ) -> None:
        super().__init__(description.columns, buffer, starts)
        self._types = description.types
        self._digits = description.digits
        self._is_binary = description.is_binary
        self._header = 0 if is_joined else HEADER_BYTES
        self._is_framed_anew = False

    def decode(self, column: int, data: bytes) -> tuple[Scalar, ...]:
        try:
            return (types.scalar(self._types[column], data, is_binary=self._is_binary),)
        except types.Malformed as error:
            raise _malformed_cell(error, column) from error

    def encode(self, column: int, data: bytes, texts: Sequence[str | None]) -> bytes | None:
        try:
            return types.encode(self._types[column], data, texts, is_binary=self._is_binary)
        except types.Malformed as error:
            raise _malformed_cell(error, column) from error

    def whole(self, column: int, text: str) -> bytes | None:
        return types.whole(self._types[column], text, is_binary=self._is_binary)

    def places(self, lengths: range) -> Iterable[tuple[Kind, int, Sequence[int]]]:
        """Of text rows, a column at a time; none where a row is not what its framing says, for others to find out."""
        data, found = self.data, []
        if self._is_binary or not self._header:
            return ()
        starts = self._starts if isinstance(self._starts, list) else [int(start) for start in self._starts]
        at = [start + HEADER_BYTES for start in starts]
        try:
            for kind in self._digits:
                counts = bytes([data[begin] for begin in at])
                if kind is not None:
                    for length in {*counts}.intersection(lengths):
                        begins = [begin + 1 for begin, n in zip(at, counts, strict=True) if n == length]
                        found.append((kind, length, begins))
                if max(counts, default=0) <= _NULL:
                    at = list(map(add, at, counts.translate(_STEPS)))
                else:
                    at = [
                        sum(self._count(begin, n)) if n > _NULL else begin + _STEPS[n]
                        for begin, n in zip(at, counts, strict=True)
                    ]
        except (IndexError, UpstreamFault):
            return ()
        return found if at == [*starts[1:], len(data)] else ()

    def settle(self) -> None:
        self._is_framed_anew |= bool(self.resized)
        super().settle()

    def packets(self, number: int) -> bytes:
        """What leaves, numbered from `number` on."""
        data = self.output()
        if not self._header:
            return frame(data, number) if not self._dropped else b""
        is_anew = self._is_framed_anew or self.resized or self._dropped
        return renumber(data, number) if is_anew or data[HEADER_BYTES - 1] != number & 0xFF else data

    def frame(self, cells: Sequence[bytes | None]) -> bytes:
        row = self._binary_row(cells) if self._is_binary else self._text_row(cells)
        return frame(row, 0) if self._header else row

    def _text_row(self, cells: Sequence[bytes | None]) -> bytes:
        return b"".join(b"\xfb" if cell is None else counted(cell) for cell in cells)

    def _binary_row(self, cells: Sequence[bytes | None]) -> bytes:
        nulls = 0
        parts = []
        for column, (cell, type_) in enumerate(zip(cells, self._types, strict=True)):
            if cell is None:
                nulls |= 1 << column + _SKIPPED_BITS
            elif type_.width == COUNTED:
                parts.append(counted(cell))
            elif type_.width == TEMPORAL:
                parts.append(bytes((len(cell),)) + cell)
            else:
                parts.append(cell)
        return b"\0" + nulls.to_bytes(self._bitmap_bytes, "little") + b"".join(parts)

    @property
    def _bitmap_bytes(self) -> int:
        return (len(self._types) + 7 + _SKIPPED_BITS) // 8

    def _end(self, start: int) -> int:
        if not self._header:
            return len(self.data)
        return start + HEADER_BYTES + int(header(self.data, start)[0] & LONGEST)

    def _cells(self, start: int) -> tuple[list[int], list[int]]:
        end = self._end(start)
        try:
            at, begins, ends = (self._binary_cells if self._is_binary else self._text_cells)(start + self._header)
        except IndexError:
            raise _untrue() from None
        if at != end or end > len(self.data):
            raise _untrue()
        return begins, ends

    def _text_cells(self, at: int) -> tuple[int, list[int], list[int]]:
        data = self.data
        begins, ends = [], []
        for _ in self._types:
            length = data[at]
            at += 1
            if length == _NULL:
                begins.append(at)
                ends.append(at - 1)
                continue
            if length > _NULL:
                at, length = self._count(at - 1, length)
            begins.append(at)
            at += length
            ends.append(at)
        return at, begins, ends

    def _binary_cells(self, at: int) -> tuple[int, list[int], list[int]]:
        data = self.data
        if data[at]:
            raise _untrue()
        nulls = int.from_bytes(data[at + 1 : at + 1 + self._bitmap_bytes], "little") >> _SKIPPED_BITS
        at += 1 + self._bitmap_bytes
        begins, ends = [], []
        for type_ in self._types:
            length = -1 if nulls & 1 else type_.width
            if length == COUNTED and not nulls & 1:
                at, length = self._count(at, data[at])
            elif length == TEMPORAL and not nulls & 1:
                at, length = at + 1, data[at]
            begins.append(at)
            ends.append(at + length)
            at += max(length, 0)
            nulls >>= 1
        return at, begins, ends

    def _count(self, at: int, first: int) -> tuple[int, int]:
        """Where the cell begins whose length is at `at`, and that length."""
        if first < _NULL:
            return at + 1, first
        size = _COUNTS.get(first)
        if size is None:
            raise _untrue()
        return at + 1 + size, int.from_bytes(self.data[at + 1 : at + 1 + size], "little")

    def _locate(self, starts: NDArray[Any], data: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        if self._header:
            ends = starts + HEADER_BYTES + (numbers(data, "<u4", starts) & LONGEST).astype(np.int64)
        else:
            ends = np.full(len(starts), len(data), dtype=np.int64)
        columns = len(self._types)
        offsets = np.empty((columns, len(starts)), dtype=np.int64)
        lengths = np.empty((columns, len(starts)), dtype=np.int64)
        at = starts + self._header
        nulls = at + 1
        if self._is_binary:
            if (numbers(data, "u1", at) != 0).any():
                raise _untrue()
            at = nulls + self._bitmap_bytes
        # A length that lies leads out of the row, which is noticed at the end; until then, stay in the buffer.
        for column, type_ in enumerate(self._types):
            if not self._is_binary:
                offsets[column], lengths[column] = _counts(data, at)
            else:
                bit = column + _SKIPPED_BITS
                there = numbers(data, "u1", nulls + bit // 8) >> (bit % 8) & 1 == 0
                offsets[column], lengths[column] = at, -1
                offsets[column][there], lengths[column][there] = _places(data, at[there], type_.width)
            at = offsets[column] + np.maximum(lengths[column], 0)
        if (at != ends).any() or (len(ends) and ends[-1] > len(data)):
            raise _untrue()
        return offsets, lengths


def _places(data: NDArray[Any], at: NDArray[Any], width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the binary values begin that are at `at`, and how long they are."""
    if width == COUNTED:
        return _counts(data, at)
    if width == TEMPORAL:
        return at + 1, numbers(data, "u1", at)
    return at, np.full(len(at), width, dtype=np.int64)


def _counts(data: NDArray[Any], at: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the cells begin whose lengths are at `at`, and those lengths; -1 for NULL."""
    first = numbers(data, "u1", at)
    lengths = first.astype(np.int64)
    offsets = at + 1
    if (first < _NULL).all():
        return offsets, lengths
    lengths[first == _NULL] = -1
    for mark, size in _COUNTS.items():
        some = np.flatnonzero(first == mark)
        if len(some):
            value = numbers(data, "<u8" if size == 8 else "<u2", at[some] + 1).astype(np.int64)
            if size == 3:
                value |= numbers(data, "u1", at[some] + 3).astype(np.int64) << 16
            lengths[some] = np.where((value < 0) | (value > len(data)), len(data), value)
            offsets[some] += size
    if (first == 0xFF).any():
        raise _untrue()
    return offsets, lengths


def _untrue() -> UpstreamFault:
    return UpstreamFault("a row does not end where its length says")


def _malformed_cell(error: types.Malformed, column: int) -> UpstreamFault:
    return UpstreamFault(f"the server sent a malformed value in column {column + 1}: {error}")
