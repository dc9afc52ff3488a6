"""The rows of a chunk as plugins see and change them, whatever the protocol.

Nothing is looked at before a plugin asks. All cells of a column are found at once with numpy; a row that is asked for
by itself is read by itself. Bytes are patched in one copy of the chunk, and only rows whose cells changed in length
are framed anew.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gatepost.errors import UpstreamFault
from gatepost.values import Column, Kind, Scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where a cell begins and ends; None for NULL.
Span: TypeAlias = tuple[int, int] | None


class CellRow:
    """A row of a batch; `_spans` are its cells' places in the batch's data."""

    __slots__ = ("_batch", "_index", "_new", "_spans", "_touched")

    def __init__(self, batch: CellBatch, index: int, spans: list[Span]) -> None:
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
        return self._batch.decode(column, data)

    def replace(self, column: int, texts: Sequence[str | None]) -> None:
        data = self.raw(column)
        if data is None:
            if texts:
                raise ValueError("a NULL has no values to replace")
            return
        self._put(column, self._batch.encode(column, data, texts))

    def redact(self, column: int, text: str) -> None:
        self._put(column, self._batch.whole(column, text))

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


class CellBatch(ABC):
    """Messages in a buffer, each a row with cells. A protocol says where they are and what their bytes mean.

    Args:
        columns: as plugins see them.
        buffer: whole messages.
        starts: where each row's message begins, ascending; bytes between them leave as they are.

    Attributes:
        masked: how many cells were changed.
        resized: rows with a cell that has another length now.
        row_type: what its rows are.
    """

    row_type: type[CellRow] = CellRow

    def __init__(self, columns: Sequence[Column], buffer: bytes, starts: Sequence[int] | NDArray[Any]) -> None:
        self.columns = columns
        self.masked = 0
        self.resized: set[int] = set()
        self._starts = starts
        self._original = buffer
        self._is_rewritten = False
        self._patched: bytearray | None = None
        self._snapshot: bytes | None = None
        self._rows: dict[int, CellRow] = {}
        self._dropped: set[int] = set()
        self._places: tuple[NDArray[Any], NDArray[Any]] | None = None

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
        return self._patched is not None or self._is_rewritten or bool(self.resized) or bool(self._dropped)

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
        if isinstance(self._starts, np.ndarray):
            # One at a time, numbers are quicker had from a list.
            self._starts = self._starts.tolist()
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

    def places(self, lengths: range) -> Iterable[tuple[Kind, int, Sequence[int]]]:
        return ()

    def rewrite(self, buffer: bytes, cells: int) -> None:
        self._original, self._patched, self._snapshot = buffer, None, None
        self._is_rewritten = True
        self.masked += cells

    def overwrite(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        if not pieces:
            return
        data = self._writable()
        for offset, piece in pieces:
            place = slice(offset, offset + len(piece))
            # A mask may be what stands there already.
            self.masked += data[place] != piece
            data[place] = piece

    def row(self, index: int) -> CellRow:
        row = self._rows.get(index)
        if row is None:
            row = self._rows[index] = self.row_type(self, index, self._spans(self._start(index)))
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
            # A row holds its batch: without this, the buffer would stay until cycles are looked for.
            self._rows.clear()
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

    @abstractmethod
    def frame(self, cells: Sequence[bytes | None]) -> bytes:
        """A row as a message."""

    @abstractmethod
    def decode(self, column: int, data: bytes) -> tuple[Scalar, ...]:
        """A cell's values. Raises UpstreamFault where the bytes are not of the column's type."""

    @abstractmethod
    def encode(self, column: int, data: bytes, texts: Sequence[str | None]) -> bytes | None:
        """A cell with other texts for its values; see `Row.replace`."""

    @abstractmethod
    def whole(self, column: int, text: str) -> bytes | None:
        """A cell that is this text, or None where its type cannot hold it."""

    @abstractmethod
    def _cells(self, start: int) -> tuple[list[int], list[int]]:
        """Where the cells of the message at `start` begin, and where they end; a NULL ends right before it begins."""

    @abstractmethod
    def _locate(self, starts: NDArray[Any], data: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The cells' offsets and lengths in the messages that begin at `starts`, a row of each for a column."""

    @abstractmethod
    def _end(self, start: int) -> int:
        """Where the message that begins at `start` ends."""

    def _spans(self, start: int) -> list[Span]:
        return [None if end < begin else (begin, end) for begin, end in zip(*self._cells(start), strict=True)]

    def _located(self) -> tuple[NDArray[Any], NDArray[Any]]:
        if self._places is None:
            starts = np.asarray(self._starts, dtype=np.int64)
            data = np.frombuffer(self.data, dtype=np.uint8)
            self._places = self._locate(starts, data)
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
        return start, self._end(start)


def numbers(data: NDArray[Any], dtype: str, at: NDArray[Any]) -> NDArray[Any]:
    """The numbers that begin at these positions; at a position out of `data`, that at its last."""
    last = len(data) - np.dtype(dtype).itemsize
    if last < 0 and len(at):
        raise UpstreamFault("a row does not end where its length says")
    overlapping: NDArray[Any] = np.ndarray((max(last + 1, 0),), dtype, data.data, 0, (1,))
    found: NDArray[Any] = overlapping[np.minimum(at, last)]
    return found
