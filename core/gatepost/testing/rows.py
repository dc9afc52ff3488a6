"""Rows without a database: `gatepost.Row` and `gatepost.RowBatch` in plain Python and a framing of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from gatepost.testing.values import make_columns
from gatepost.values import Column, Kind, Scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A cell is a text, NULL, or the values of an array or a record.
Cell: TypeAlias = str | Sequence[str | None] | None

_ROW_START: Final = b"<"
_ROW_END: Final = b">"
_CELL_END: Final = b"|"
_INNER_END: Final = b"\x1e"
_NULL: Final = b"\x00"
_OF_DIGITS: Final = frozenset((Kind.TEXT, Kind.INTEGER))
_CONTAINERS: Final = (Kind.ARRAY, Kind.RECORD)


class PlainRow:
    """A row of a `PlainBatch`."""

    def __init__(self, batch: PlainBatch, index: int) -> None:
        self._batch = batch
        self._index = index

    @property
    def columns(self) -> Sequence[Column]:
        return self._batch.columns

    def __len__(self) -> int:
        return len(self._batch.columns)

    def raw(self, column: int) -> bytes | None:
        return self._batch.cell(self._index, column)

    def scalars(self, column: int) -> tuple[Scalar, ...]:
        data = self.raw(column)
        if data is None:
            return ()
        about = self.columns[column]
        data = data if about.is_text else _hide(data)
        if about.kind in _CONTAINERS:
            kind = about.element or Kind.TEXT
            return tuple(Scalar(kind, part.decode()) for part in data.split(_INNER_END)[:-1] if part != _NULL)
        return (Scalar(about.kind, data.decode(), 8 if about.kind is Kind.INTEGER else 0),)

    def replace(self, column: int, texts: Sequence[str | None]) -> None:
        if len(texts) != len(self.scalars(column)):
            raise ValueError("one text for each scalar was expected")
        about = self.columns[column]
        if about.kind is Kind.INTEGER:
            for text in texts:
                int(text or "0")
        if about.kind in _CONTAINERS:
            data = self.raw(column) or b""
            given = iter(texts)
            old = (data if about.is_text else _hide(data)).split(_INNER_END)[:-1]
            self._batch.put(self._index, column, [None if part == _NULL else next(given) for part in old])
        elif texts:
            self._batch.put(self._index, column, texts[0])

    def redact(self, column: int, text: str) -> None:
        self._batch.put(self._index, column, text if self.columns[column].kind is Kind.TEXT else None)

    def drop(self) -> None:
        self._batch.drop(self._index)


class PlainBatch:
    """Rows in a framing of its own: a `gatepost.RowBatch` without a database.

    Cells of a column that `is_text` are their UTF-8 bytes. Those of any other column are bytes that only `Row.scalars`
    understands, as a binary bigint's would be.

    Attributes:
        masked: how many cells were changed.
    """

    def __init__(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
        self._columns = tuple(columns)
        self._cells = [[_encode(cell, about) for cell, about in zip(row, columns, strict=True)] for row in rows]
        self._dropped: set[int] = set()
        self.masked = 0
        self._frame()

    @property
    def columns(self) -> Sequence[Column]:
        return self._columns

    @property
    def buffer(self) -> bytes:
        return bytes(self._buffer)

    @property
    def values(self) -> list[tuple[Cell, ...]]:
        """The rows that leave, as texts."""
        left = (row for index, row in enumerate(self._current()) if index not in self._dropped)
        return [tuple(_decode(cell, about) for cell, about in zip(row, self._columns, strict=True)) for row in left]

    def __len__(self) -> int:
        return len(self._cells)

    def offsets(self, column: int) -> NDArray[Any]:
        return self._offsets[:, column]

    def lengths(self, column: int) -> NDArray[Any]:
        return self._lengths[:, column]

    def patch(self, positions: NDArray[Any], values: NDArray[Any] | int, cells: int) -> None:
        np.frombuffer(self._buffer, dtype=np.uint8)[positions] = values
        self.masked += cells

    def locate(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int, int, int, int]]:
        for start, end in spans:
            ends = self._offsets + self._lengths
            for row, column in np.argwhere((self._offsets < end) & (ends > start)).tolist():
                first, last = int(self._offsets[row, column]), int(ends[row, column])
                yield row, column, first, last, max(first, start), min(last, end)

    def places(self, lengths: range) -> Iterable[tuple[Kind, int, Sequence[int]]]:
        for column, about in enumerate(self.columns):
            if about.is_text and about.kind in _OF_DIGITS:
                for length in lengths:
                    begins = self._offsets[self._lengths[:, column] == length, column]
                    if len(begins):
                        yield about.kind, length, begins.tolist()

    def rewrite(self, buffer: bytes, cells: int) -> None:
        self._buffer = bytearray(buffer)
        self.masked += cells

    def overwrite(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        for offset, data in pieces:
            self._buffer[offset : offset + len(data)] = data
        self.masked += len(pieces)

    def row(self, index: int) -> PlainRow:
        if not 0 <= index < len(self):
            raise IndexError("no such row in this batch")
        return PlainRow(self, index)

    def drop(self, index: int) -> None:
        self._dropped.add(index)

    def settle(self) -> None:
        self._cells = self._current()
        self._frame()

    def cell(self, index: int, column: int) -> bytes | None:
        """A cell as it travels."""
        if (index, column) in self._resized:
            return self._resized[index, column]
        length = int(self._lengths[index, column])
        offset = int(self._offsets[index, column])
        return None if length < 0 else bytes(self._buffer[offset : offset + length])

    def put(self, index: int, column: int, cell: Cell) -> None:
        """Change a cell."""
        data = _encode(cell, self._columns[column])
        if data != self.cell(index, column):
            self._resized[index, column] = data
            self.masked += 1

    def _current(self) -> list[list[bytes | None]]:
        return [[self.cell(index, column) for column in range(len(self._columns))] for index in range(len(self))]

    def _frame(self) -> None:
        shape = (len(self._cells), len(self._columns))
        self._offsets = np.zeros(shape, dtype=np.int64)
        self._lengths = np.full(shape, -1, dtype=np.int64)
        self._resized: dict[tuple[int, int], bytes | None] = {}
        self._buffer = bytearray()
        for index, row in enumerate(self._cells):
            self._buffer += _ROW_START
            for column, data in enumerate(row):
                self._offsets[index, column] = len(self._buffer)
                if data is not None:
                    self._lengths[index, column] = len(data)
                self._buffer += (_NULL if data is None else data) + _CELL_END
            self._buffer += _ROW_END


def _hide(data: bytes) -> bytes:
    """Text as bytes that are no text, and back."""
    return bytes(255 - byte for byte in data)


def _encode(cell: Cell, about: Column) -> bytes | None:
    if cell is None:
        return None
    if isinstance(cell, str):
        data = cell.encode()
    else:
        data = b"".join((_NULL if part is None else part.encode()) + _INNER_END for part in cell)
    return data if about.is_text else _hide(data)


def _decode(data: bytes | None, about: Column) -> Cell:
    if data is None:
        return None
    data = data if about.is_text else _hide(data)
    if about.kind in _CONTAINERS:
        return tuple(None if part == _NULL else part.decode() for part in data.split(_INNER_END)[:-1])
    return data.decode()


def make_batch(columns: Sequence[str | Column], *rows: Sequence[Cell]) -> PlainBatch:
    """A batch of rows."""
    return PlainBatch(make_columns(*columns), rows)


def make_row(columns: Sequence[str | Column], *cells: Cell) -> PlainRow:
    """One row, in a batch of its own."""
    return make_batch(columns, cells).row(0)
