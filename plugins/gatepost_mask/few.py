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
from gatepost_mask.ranges import LONGEST, SHORTEST, USUAL, pass_luhn, ranges

_TEXT: Final = Kind.TEXT
_DIGITS_ALONE: Final = frozenset((Kind.TEXT, Kind.INTEGER))
_SEPARATORS: Final = (SOFT + QUOTES + HARD).encode()
_TRACK_MARKS: Final = TRACK_MARKS.encode()
_ZERO: Final = ord("0")
_MARKS: Final = MARK.encode() * LONGEST
_USUAL: Final = range(SHORTEST, USUAL + 1)


class _Form(NamedTuple):
    """Card numbers of one length that fill a cell.

    Attributes:
        sign: a byte that is in every buffer that holds one.
        number: finds those that fit the ranges, zeros at their ends aside, which may be padding.
        hidden, masked: what of them is replaced, and by what.
        same: where an integer's digits are hidden, and the digits there that its mask does not change; None for text.
    """

    sign: bytes
    length: int
    number: re.Pattern[bytes]
    hidden: re.Pattern[bytes]
    masked: bytes
    same: tuple[slice, bytes] | None


@cache
def _forms(kind: Kind, before: tuple[bytes, ...], display: Display) -> Sequence[_Form]:
    forms = []
    for length, start in zip(_USUAL, before, strict=True):
        prefixes, hidden = ranges().prefixes(length), display.hidden(length)
        if prefixes is None or not hidden:
            continue
        cell = re.escape(start) + b"(?=%s)" % prefixes.encode()
        shown = b"([0-9]{%d})" % hidden.start if hidden.start else b""
        last = b"(?=[0-9]{%d}(?<!00))" % (length - hidden.stop)
        marks = MARK.encode() * len(hidden)
        if kind is not _TEXT:
            marks = b"0" * len(hidden) if hidden.start else b"9" + b"0" * (len(hidden) - 1)
        forms.append(
            _Form(
                sign=start[-1:],
                length=length,
                number=re.compile(cell + b"([0-9]{%d})(?<!00)" % length),
                hidden=re.compile(cell + shown + b"[0-9]{%d}" % len(hidden) + last),
                masked=start + (b"\\g<1>" if hidden.start else b"") + marks,
                same=None if kind is _TEXT else (slice(hidden.start, hidden.stop), marks),
            )
        )
    return forms


def _mask_alike(batch: RowBatch, display: Display) -> bool:
    """Mask the cells that are card numbers of a usual length; False if a closer look must tell them from others."""
    told = batch.before(_USUAL)
    if told is None:
        return False
    data, cells = batch.buffer, 0
    is_done = True
    for form in _forms(*told, display):
        if form.sign not in data:
            continue
        numbers = form.number.findall(data)
        if not numbers:
            continue
        if pass_luhn(numbers, form.length):
            data = form.hidden.sub(form.masked, data)
            cells += len(numbers)
            if form.same is not None:
                where, digits = form.same
                cells -= sum(number[where] == digits for number in numbers)
        else:
            is_done = False
    if cells:
        batch.rewrite(data, cells)
    return is_done


def mask_alone(batch: RowBatch, display: Display) -> None:
    """Mask the card numbers that fill a cell, as far as a glance tells the cells."""
    if _mask_alike(batch, display):
        return
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
