"""Masking the rows of a batch: cell by cell where they are few, as arrays where they are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatepost import Column, Row, RowBatch
from gatepost_mask.cells import mask_cell, may_hold
from gatepost_mask.display import REMOVED, Display
from gatepost_mask.prefilter import maybe
from gatepost_mask.ranges import SHORTEST

# From here on arrays are quicker than cells.
MANY_BYTES: Final = 16 * 1024


def mask_rows(batch: RowBatch, display: Display) -> None:
    """Mask the card numbers of all rows."""
    columns = [index for index, column in enumerate(batch.columns) if may_hold(column.kind)]
    for index in range(len(batch)):
        row = batch.row(index)
        for column in columns:
            mask_one(row, column, batch.columns[column], display)


def mask_one(row: Row, position: int, column: Column, display: Display) -> None:
    """Mask the card numbers of one cell, if there are any."""
    raw = row.raw(position)
    if raw is None or (column.is_text and (len(raw) < SHORTEST or not maybe(raw))):
        return
    texts = mask_cell(row.scalars(position), display)
    if texts is not None:
        change(row, position, texts)


def change(row: Row, position: int, texts: Sequence[str | None]) -> None:
    """Put the texts into the cell; where its type holds no mask, nothing of it is left."""
    try:
        row.replace(position, texts)
    except ValueError:
        row.redact(position, REMOVED)
