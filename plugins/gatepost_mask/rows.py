"""Masking the rows of a batch: cell by cell where they are few, as arrays where they are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gatepost import Column, Interest, Kind, Row, RowBatch
from gatepost_mask import arrays, few, prefilter
from gatepost_mask.cells import mask_cell
from gatepost_mask.detect import mask, mask_line
from gatepost_mask.display import REMOVED, Display
from gatepost_mask.stretches import are_many, classify, stretches, stretches_of_many
from gatepost_mask.tags import Treatment, treat

# From so many rows, or places to look at, arrays are quicker.
_MANY: Final = 128
_MANY_BYTES: Final = 16384

_NEVER: Final = frozenset((Kind.TIME, Kind.BOOLEAN))
# Integers of so many bytes have fewer digits than a card number.
_SMALL: Final = 4
# What marks a card number that the prefilter does not see, by the kind of a column in text format: a JSON escape, and
# the exponent of a float with fewer digits than a card number has.
_SIGNS: Final = {Kind.JSON: b"\\u", Kind.FLOAT: b"e+1"}


class Plan(Interest, frozen=True, kw_only=True):
    """Which columns of a result are looked at, and how.

    Attributes:
        is_copy: the rows are lines of COPY.
        texts: those that travel as text, and whether a cell of digits alone is one number there.
        signs: those of them where more than digits can make a card number, and the bytes that tell.
        others: those whose bytes say nothing: each value is looked at.
        tagged: those that are treated whatever they hold.
    """

    is_copy: bool = False
    texts: tuple[tuple[int, Kind], ...] = ()
    signs: Mapping[int, bytes] = {}
    others: tuple[int, ...] = ()
    tagged: tuple[tuple[int, Treatment], ...] = ()


LINES: Final = Plan(maybe=prefilter.maybe_lines, is_copy=True)


def plan(columns: Sequence[Column], tagged: Mapping[int, Treatment] = {}) -> Plan:
    """How to look at the rows of a result with these columns."""
    looked_at = [
        (position, column)
        for position, column in enumerate(columns)
        if position not in tagged and column.kind not in _NEVER and not 0 < column.capacity <= _SMALL
    ]
    texts = tuple((position, column.kind) for position, column in looked_at if column.is_text)
    others = tuple(position for position, column in looked_at if not column.is_text)
    signs = {position: _SIGNS[kind] for position, kind in texts if kind in _SIGNS}
    needles = frozenset(signs.values())

    def maybe(data: bytes) -> bool:
        return prefilter.maybe_rows(data) or any(needle in data for needle in needles)

    return Plan(
        maybe=maybe if needles else prefilter.maybe_rows,
        columns=frozenset(others).union(tagged),
        texts=texts,
        signs=signs,
        others=others,
        tagged=tuple(tagged.items()),
    )


def mask_rows(batch: RowBatch, found: Plan, display: Display) -> None:
    """Mask the card numbers of all rows, and remove sensitive authentication data from them."""
    if found.is_copy:
        _mask_lines(batch, display)
    else:
        _mask_cells(batch, found, display)
    for position, treatment in found.tagged:
        for index in range(len(batch)):
            treat(batch.row(index), position, treatment, display)


def _mask_lines(batch: RowBatch, display: Display) -> None:
    for index in range(len(batch)):
        row = batch.row(index)
        raw = row.raw(0)
        if raw is not None and prefilter.maybe_lines(raw):
            (line,) = row.scalars(0)
            masked = mask_line(line.text, display)
            if masked != line.text:
                row.replace(0, (masked,))


def _mask_cells(batch: RowBatch, found: Plan, display: Display) -> None:
    for position, indexes in _mask_texts(batch, found, display):
        look = _mask_text if batch.columns[position].kind is Kind.TEXT else _mask_one
        for index in indexes:
            look(batch.row(index), position, display)
    for position, sign in found.signs.items():
        if sign in batch.buffer:
            for index in range(len(batch)):
                row = batch.row(index)
                if sign in (row.raw(position) or b""):
                    _mask_one(row, position, display)
    for position in found.others:
        for index in arrays.suspects(batch, position):
            _mask_one(batch.row(index), position, display)


def _mask_texts(batch: RowBatch, found: Plan, display: Display) -> list[tuple[int, list[int]]]:
    """Mask cells that are card numbers; returns by column the rows of those that need a closer look."""
    columns = found.texts
    has_few_rows = len(batch) < _MANY
    if has_few_rows and not found.tagged:
        few.mask_alone(batch, display)
    data: bytes | bytearray = batch.buffer
    many = are_many(data)
    if many and not has_few_rows and are_many(data, alone=True):
        data = arrays.mask_cells(batch, columns, display)
        many = are_many(data)
    if len(data) < _MANY_BYTES:
        classes = classify(data)
        if classes is None:
            return []
        if not many:
            return few.mask_texts(batch, stretches(data, classes), columns, display)
    starts, ends = stretches_of_many(data)
    if len(starts) < _MANY:
        return few.mask_texts(batch, zip(starts.tolist(), ends.tolist(), strict=True), columns, display)
    return arrays.mask_texts(batch, (starts, ends), columns, display)


def _mask_text(row: Row, position: int, display: Display) -> None:
    """`_mask_one` for a text. Most suspicious ones are digests and the like: they are not decoded twice."""
    text = (row.raw(position) or b"").decode("utf-8", "replace")
    masked = mask(text, display)
    if masked is text:
        return
    (scalar,) = row.scalars(position)
    if scalar.text == text:
        row.replace(position, (masked,))
    else:
        _mask_one(row, position, display)


def _mask_one(row: Row, position: int, display: Display) -> None:
    """Mask one cell; where its type holds no mask, nothing of it is left."""
    texts = mask_cell(row.scalars(position), display)
    if texts is None:
        return
    try:
        row.replace(position, texts)
    except ValueError:
        row.redact(position, REMOVED)
