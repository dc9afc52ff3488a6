"""A few cells, in plain Python: see `gatepost_mask.arrays` for the same of many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, NamedTuple

from gatepost import Kind, RowBatch
from gatepost_mask import prefilter
from gatepost_mask.alphabet import HARD, QUOTES, SOFT
from gatepost_mask.cells import mask_digits
from gatepost_mask.detect import TRACK_MARKS
from gatepost_mask.display import MARK, Display
from gatepost_mask.ranges import LANE, LONGEST, SHORTEST, USUAL, luhn, ranges

_TEXT: Final = Kind.TEXT
_DIGITS_ALONE: Final = frozenset((Kind.TEXT, Kind.INTEGER))
_SEPARATORS: Final = (SOFT + QUOTES + HARD).encode()
_TRACK_MARKS: Final = TRACK_MARKS.encode()
_ZERO: Final = ord("0")
_USUAL: Final = range(SHORTEST, USUAL + 1)
# So many zeros at a number's end may be padding.
_PADDING: Final = 2


class _Form(NamedTuple):
    """Card numbers of one length that fill a cell.

    Attributes:
        padding: what makes such a number a lane (`gatepost_mask.ranges.luhn`).
        lanes: matches lanes that all fit the ranges, but for numbers of which a shorter one with padding hides more.
        hidden, masked: what of each is replaced, and by what.
    """

    padding: bytes
    lanes: re.Pattern[bytes]
    hidden: range
    masked: bytes


@cache
def _form(kind: Kind, length: int, display: Display) -> _Form:
    hidden, prefixes = display.hidden(length), ranges().prefixes(length)
    padding = b"0" * (LANE - length)
    number = b"(?!)" if prefixes is None else padding + b"(?=%s)[0-9]{%d}" % (prefixes.encode(), length)
    for zeros in range(_PADDING, length - SHORTEST + 1):
        if not {*display.hidden(length - zeros)} <= {*hidden}:
            number += b"(?<!%s)" % (b"0" * zeros)
            break
    masked = MARK.encode() * len(hidden)
    if kind is not _TEXT:
        masked = b"0" * len(hidden) if hidden.start else b"9" + b"0" * (len(hidden) - 1)
    return _Form(padding, re.compile(b"(?:%s)+" % number), hidden, masked)


def mask_alone(batch: RowBatch, display: Display) -> None:
    """Mask the card numbers of a usual length that fill a cell, as far as a glance tells the cells."""
    if display is Display.CLEAR:
        return
    for kind, length, places in batch.places(_USUAL):
        data, form = batch.buffer, _form(kind, length, display)
        cells = [data[place : place + length] for place in places]
        lanes = form.padding + form.padding.join(cells)
        if form.lanes.fullmatch(lanes) and not luhn(lanes).strip(b"\0"):
            _mask_alike(batch, kind, places, form)
            continue
        alone = [place for place, cell in zip(places, cells, strict=True) if len(cell) == length and cell.isdigit()]
        if not alone:
            continue
        cells = [data[place : place + length] for place in alone]
        misses = luhn(form.padding + form.padding.join(cells))
        alike, pieces = [], []
        for place, cell, missed in zip(alone, cells, misses, strict=True):
            fits = form.lanes.fullmatch(form.padding + cell)
            if fits and not missed:
                alike.append(place)
            elif fits or cell[0] == _ZERO or cell.endswith(b"00"):
                masked = mask_digits(cell.decode(), kind, display)
                if masked is not None:
                    pieces.append((place, masked.encode()))
        _mask_alike(batch, kind, alike, form)
        batch.overwrite(pieces)


def _mask_alike(batch: RowBatch, kind: Kind, places: Sequence[int], form: _Form) -> None:
    """Mask the card numbers that begin at these places, which ascend."""
    data, (first, last) = batch.buffer, (form.hidden.start, form.hidden.stop)
    pieces, at, cells = [], 0, len(places)
    for place in places:
        pieces.append(data[at : place + first])
        at = place + last
    pieces.append(data[at:])
    if kind is not _TEXT:
        # A number's mask may be what stands there already.
        cells -= sum(data[place + first : place + last] == form.masked for place in places)
    if cells:
        batch.rewrite(form.masked.join(pieces), cells)


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
            # What is masked as a number may look like a card number still.
            if masked is not None and masked.encode() != part:
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
