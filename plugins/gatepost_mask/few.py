"""A few cells, in plain Python: see `gatepost_mask.arrays` for the same of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from gatepost import Kind, RowBatch
from gatepost_mask import prefilter
from gatepost_mask.alphabet import HARD, QUOTES, SOFT
from gatepost_mask.cells import mask_digits
from gatepost_mask.detect import TRACK_MARKS, USUAL
from gatepost_mask.display import MARK, Display
from gatepost_mask.ranges import LONGEST, SHORTEST, ranges

_TEXT: Final = Kind.TEXT
_DIGITS_ALONE: Final = frozenset((Kind.TEXT, Kind.INTEGER))
_SEPARATORS: Final = (SOFT + QUOTES + HARD).encode()
_TRACK_MARKS: Final = TRACK_MARKS.encode()
_ZERO: Final = ord("0")
_MARKS: Final = MARK.encode() * LONGEST


def mask_alone(batch: RowBatch, display: Display) -> None:
    """Mask the card numbers that fill a cell, as far as a glance tells the cells."""
    data, holds = batch.buffer, ranges().holds
    pieces = []
    for kind, start, end in batch.digits(SHORTEST, LONGEST):
        digits = data[start:end]
        if kind is not _TEXT or end - start > USUAL or digits[0] == _ZERO or digits[-2:] == b"00":
            masked = mask_digits(digits.decode(), kind, display)
            if masked is not None:
                pieces.append((start, masked.encode()))
        elif holds(digits):
            hidden = display.hidden(end - start)
            if hidden:
                pieces.append((start + hidden.start, _MARKS[: len(hidden)]))
    batch.overwrite(pieces)


def mask_texts(
    batch: RowBatch, stretches: Iterable[tuple[int, int]], columns: Sequence[tuple[int, Kind]], display: Display
) -> list[tuple[int, list[int]]]:
    """Mask cells that are card numbers; returns by column the rows of those that need a closer look."""
    data = batch.buffer
    kinds = dict(columns)
    left: dict[int, dict[int, None]] = {}
    for row, column, start, end, first, last in batch.locate(stretches):
        kind = kinds.get(column)
        if kind is None or last - first < SHORTEST:
            continue
        part = data[first:last]
        if last - first == end - start and end - start <= LONGEST and kind in _DIGITS_ALONE and part.isdigit():
            masked = mask_digits(part.decode(), kind, display)
            if masked is not None:
                batch.overwrite([(start, masked.encode())])
        elif not (kind is _TEXT and is_other_number(data, first, last, end)) and prefilter.maybe(data[start:end]):
            left.setdefault(column, {})[row] = None
    return [(column, list(rows)) for column, rows in left.items()]


def is_other_number(data: bytes, first: int, last: int, end: int) -> bool:
    """Whether a part of a text is one run of digits that neither is nor holds a card number.

    What `gatepost_mask.detect` would find by a much longer look. The part is `data[first:last]`, `end` its text's end.
    """
    part = data[first:last]
    digits = part.strip(_SEPARATORS)
    length = len(digits)
    if not SHORTEST <= length <= USUAL or not digits.isdigit() or digits[0] == _ZERO or digits.endswith(b"00"):
        return False
    behind = first + part.index(digits) + length
    return not ranges().holds(digits) and (behind == end or data[behind] not in _TRACK_MARKS)
