"""A few cells, in plain Python: see `gatepost_mask.arrays` for the same of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatepost import Kind, RowBatch
from gatepost_mask import prefilter
from gatepost_mask.cells import mask_digits
from gatepost_mask.display import Display
from gatepost_mask.ranges import LONGEST, SHORTEST

_DIGITS_ALONE: Final = frozenset((Kind.TEXT, Kind.INTEGER))


def mask_texts(
    batch: RowBatch, stretches: Sequence[tuple[int, int]], columns: Sequence[tuple[int, Kind]], display: Display
) -> list[tuple[int, list[int]]]:
    """Mask cells that are card numbers; returns by column the rows of those that need a closer look."""
    data = batch.buffer
    kinds = dict(columns)
    left: dict[int, dict[int, None]] = {}
    for row, column, start, end in batch.locate(stretches):
        kind = kinds.get(column)
        if kind is None or end - start < SHORTEST:
            continue
        cell = data[start:end]
        if end - start <= LONGEST and kind in _DIGITS_ALONE and cell.isdigit():
            masked = mask_digits(cell.decode(), kind, display)
            if masked is not None:
                batch.overwrite(start, masked.encode())
        elif prefilter.maybe(cell):
            left.setdefault(column, {})[row] = None
    return [(column, list(rows)) for column, rows in left.items()]
