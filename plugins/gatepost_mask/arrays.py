"""The cells of many rows at once, as arrays: see `gatepost_mask.few` for the same in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gatepost import Kind, RowBatch
from gatepost_mask.cells import mask_digits
from gatepost_mask.detect import TRACK_MARKS
from gatepost_mask.display import MARK, Display
from gatepost_mask.few import is_other_number
from gatepost_mask.ranges import DOUBLED, LONGEST, SHORTEST, USUAL, ranges
from gatepost_mask.stretches import Stretches, windows
from gatepost_mask.words import KINDS, WORD, are_card_numbers, are_digits, are_padded, forms, masks, word_places, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIX: Final = 10 ** np.arange(5, -1, -1, dtype=np.int32)
_INTEGER_BYTES: Final = 8
_NONE: Final = np.empty(0, dtype=np.int64)
# What takes the place of digits: neither a digit nor a separator.
_BLANK: Final = int.from_bytes(b"x" * WORD, "little")
_MARKS_TRACK: Final = np.isin(np.arange(256), list(TRACK_MARKS.encode()))


class _Cells(NamedTuple):
    """Where cells begin, how long they are, and which of `KINDS` each is of."""

    starts: NDArray[Any]
    lengths: NDArray[Any]
    kinds: NDArray[Any]

    def some(self, which: NDArray[Any]) -> _Cells:
        return _Cells(self.starts[which], self.lengths[which], self.kinds[which])


def mask_cells(batch: RowBatch, columns: Sequence[tuple[int, Kind]], display: Display) -> bytearray:
    """Mask the cells that are card numbers and nothing else.

    Returns the buffer as it was, blank where cells are digits alone and need no other look.
    """
    left = bytearray(batch.buffer)
    cells = _cells(batch, columns)
    is_usual = cells.lengths <= USUAL
    usual, others = cells.some(np.flatnonzero(is_usual)), cells.some(np.flatnonzero(~is_usual))
    if len(usual.starts):
        _mask_each(batch, _mask_words(batch, usual, display, left, is_long=False), display)
    if len(others.starts):
        _mask_long(batch, _mask_words(batch, others, display, left, is_long=True), display)
    return left


def _mask_words(batch: RowBatch, cells: _Cells, display: Display, left: bytearray, *, is_long: bool) -> _Cells:
    """Mask cells that are numbers, all of a usual length or all longer; blank those of digits alone in what is left.

    Returns those of digits alone that may hold another number.
    """
    data = batch.buffer
    every, blank = words(data), words(left)
    first = every[cells.starts]
    some = np.flatnonzero(are_digits(first))
    cells, lengths = cells.some(some), cells.lengths[some] - SHORTEST
    places = [cells.starts + place for place in word_places(cells.lengths, is_long=is_long)]
    number = [first[some], *(every[place] for place in places[1:])]
    alone = np.logical_and.reduce([are_digits(word) for word in number[1:]])
    for place in places:
        blank[place[alone]] = _BLANK
    is_number = are_card_numbers(number, lengths) & alone
    is_doubtful = alone if is_long else alone & are_padded(number[0], number[-1])
    if not display.hidden(LONGEST).start:
        # All that is hidden of a number in another one is hidden of that.
        is_doubtful = is_doubtful & ~is_number
    hits = np.flatnonzero(is_number & ~is_doubtful)
    if len(hits) and display.hidden(SHORTEST):
        masked = bytearray(data)
        shown, those, is_other = words(masked), forms(cells.kinds[hits], lengths[hits]), np.zeros(len(hits), dtype=bool)
        for place, word, (stays, comes) in zip(places, number, masks(display, is_long=is_long), strict=True):
            before = word[hits]
            after = before & stays[those] | comes[those]
            shown[place[hits]] = after
            is_other |= after != before
        # An integer's mask may be the integer itself.
        batch.rewrite(bytes(masked), int(np.count_nonzero(is_other)))
    return cells.some(np.flatnonzero(is_doubtful))


def _mask_long(batch: RowBatch, cells: _Cells, display: Display) -> None:
    """Mask cells of digits alone, longer than a usual number."""
    values = np.frombuffer(batch.buffer, dtype=np.uint8)
    for number, kind in enumerate(KINDS):
        some = cells.some(np.flatnonzero(cells.kinds == number))
        if len(some.starts):
            stops = some.starts + some.lengths
            unjudged = _mask_whole(batch, _Parts(values, some.starts, stops, some.starts, stops), kind, display)
            _mask_each(batch, some.some(np.flatnonzero(unjudged)), display)


def _mask_each(batch: RowBatch, cells: _Cells, display: Display) -> None:
    """Mask cells of digits alone, one by one."""
    if not len(cells.starts):
        return
    data, pieces = batch.buffer, []
    for start, length, kind in zip(*(array.tolist() for array in cells), strict=True):
        piece = mask_digits(data[start : start + length].decode(), KINDS[kind], display)
        if piece is not None:
            pieces.append((start, piece.encode()))
    batch.overwrite(pieces)


def mask_texts(
    batch: RowBatch, stretches: Stretches, columns: Sequence[tuple[int, Kind]], display: Display
) -> list[tuple[int, list[int]]]:
    """Mask cells that are card numbers; returns by column the rows of those that need a closer look."""
    starts, ends = stretches
    if not len(starts):
        return []
    data = batch.buffer
    values = np.frombuffer(data, dtype=np.uint8)
    rows, starts, ends = _by_row(batch, starts, ends)
    left = []
    for column, kind in columns:
        offsets = batch.offsets(column)[rows]
        stops = offsets + batch.lengths(column)[rows]
        firsts, lasts = np.maximum(starts, offsets), np.minimum(ends, stops)
        touched = np.flatnonzero(lasts - firsts >= SHORTEST)
        if len(touched):
            parts = _Parts(values, offsets[touched], stops[touched], firsts[touched], lasts[touched])
            unjudged = np.flatnonzero(_mask_whole(batch, parts, kind, display))
            if kind is Kind.TEXT:
                unjudged = unjudged[[not is_other_number(data, *parts.at(index)) for index in unjudged.tolist()]]
            left.append((column, np.unique(rows[touched[unjudged]]).tolist()))
    return left


def suspects(batch: RowBatch, column: int) -> list[int]:
    """The rows in which a column that is not text may hold a card number.

    Integers of eight bytes are told by their ranges; the first one's value tells the order of their bytes.
    """
    rows = np.flatnonzero(batch.lengths(column) >= 0)
    everything: list[int] = rows.tolist()
    if batch.columns[column].kind is not Kind.INTEGER or not everything:
        return everything
    if (batch.lengths(column)[rows] != _INTEGER_BYTES).any():
        return everything
    data = np.frombuffer(batch.buffer, dtype=np.uint8)
    cells = data[batch.offsets(column)[rows][:, np.newaxis] + np.arange(_INTEGER_BYTES)]
    first = int(batch.row(int(rows[0])).scalars(column)[0].text)
    for order in (">i8", "<i8"):
        numbers = cells.view(order)[:, 0]
        if int(numbers[0]) == first:
            large: list[int] = rows[np.abs(numbers) >= 10 ** (SHORTEST - 1)].tolist()
            return large
    return everything


def _cells(batch: RowBatch, columns: Sequence[tuple[int, Kind]]) -> _Cells:
    """The cells of `KINDS` that are as long as a number can be."""
    found = [_Cells(_NONE, _NONE, _NONE)]
    for column, kind in columns:
        if kind in KINDS:
            lengths = batch.lengths(column)
            rows = np.flatnonzero((lengths >= SHORTEST) & (lengths <= LONGEST))
            found.append(_Cells(batch.offsets(column)[rows], lengths[rows], np.full(len(rows), KINDS.index(kind))))
    return _Cells(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


class _Parts(NamedTuple):
    """The parts of cells that stretches hold, and the cells: `values[firsts:lasts]` in `values[offsets:stops]`."""

    values: NDArray[Any]
    offsets: NDArray[Any]
    stops: NDArray[Any]
    firsts: NDArray[Any]
    lasts: NDArray[Any]

    def at(self, index: int) -> tuple[int, int, int]:
        """Where one part begins and ends, and where its cell does."""
        return int(self.firsts[index]), int(self.lasts[index]), int(self.stops[index])


def _by_row(
    batch: RowBatch, starts: NDArray[Any], ends: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The rows that stretches lie in, and each stretch once for each of its rows."""
    begins = batch.offsets(0)
    first = np.maximum(np.searchsorted(begins, starts, "right") - 1, 0)
    last = np.maximum(np.searchsorted(begins, ends - 1, "right") - 1, 0)
    counts = last - first + 1
    if counts.max() == 1:
        return first, starts, ends
    which = np.repeat(np.arange(len(starts)), counts)
    rows = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, starts[which], ends[which]


def _mask_whole(batch: RowBatch, parts: _Parts, kind: Kind, display: Display) -> NDArray[Any]:
    """Mask the cells that are card numbers; returns which parts were not judged."""
    values, offsets, stops, firsts, lasts = parts
    lengths = lasts - firsts
    unjudged = np.ones(len(lengths), dtype=bool)
    if kind not in (Kind.TEXT, Kind.INTEGER):
        return unjudged
    for length in range(SHORTEST, LONGEST + 1):
        some = np.flatnonzero(lengths == length)
        if not len(some):
            continue
        digits = windows(values, length)[firsts[some]] - 48
        # Zeros at an end may be padding.
        plain = (digits < 10).all(1) & (digits[:, 0] > 0) & (digits[:, -2] | digits[:, -1] > 0)
        some, digits = some[plain], digits[plain]
        if not len(some):
            continue
        hidden = _hidden(digits, display)
        is_number = hidden.any(1)
        is_whole = lengths[some] == stops[some] - offsets[some]
        judged = is_whole
        if kind is Kind.TEXT:
            ends_cell = lasts[some] == stops[some]
            follows = values[np.where(ends_cell, firsts[some], lasts[some])]
            judged = is_whole | ~(is_number | _MARKS_TRACK[follows])
        unjudged[some[judged]] = False
        hits = np.flatnonzero(is_number & is_whole)
        if not len(hits):
            continue
        which, places = np.nonzero(hidden[hits])
        marks = np.full(len(places), ord("0" if kind is Kind.INTEGER else MARK), dtype=np.uint8)
        if kind is Kind.INTEGER:
            marks[places == 0] = ord("9")
        at = firsts[some][hits][which] + places
        # An integer's mask may be the integer itself, and may look like a number again.
        batch.patch(at, marks, len(np.unique(which[values[at] != marks])))
    return unjudged


def _hidden(digits: NDArray[Any], display: Display) -> NDArray[Any]:
    """Which of the digits must not be shown, of chunks of one length without padding: `detect.find`, for many."""
    count, length = digits.shape
    hidden = np.zeros(digits.shape, dtype=bool)
    _hide(hidden, np.flatnonzero(_are_card_numbers(digits)), 0, length, display)
    if length <= USUAL or not count:
        return hidden
    table = ranges()
    for inner in table.inner_lengths:
        if inner <= length:
            inside = np.lib.stride_tricks.sliding_window_view(digits, inner, axis=1)
            some, at = np.nonzero(table.world[inside[:, :, :6] @ _SIX] & (1 << (inner - SHORTEST)))
            found = _are_card_numbers(inside[some, at])
            _hide(hidden, some[found], at[found, np.newaxis], inner, display)
    return hidden


def _hide(hidden: NDArray[Any], rows: NDArray[Any], first: NDArray[Any] | int, length: int, display: Display) -> None:
    """Hide what may not be shown of the numbers of `length` that begin at `first` in these rows."""
    hidden[rows[:, np.newaxis], first + np.array(display.hidden(length), dtype=np.int64)] = True


def _are_card_numbers(digits: NDArray[Any]) -> NDArray[Any]:
    """Which rows of digits are card numbers: `Ranges.holds`, for many of one length."""
    length = digits.shape[1]
    bit = 1 << (length - SHORTEST)
    prefixes = digits[:, :6] @ _SIX
    table = ranges()
    doubled = digits.copy()
    doubled[:, length - 2 :: -2] = DOUBLED[doubled[:, length - 2 :: -2]]
    checked = (table.checked[prefixes] & bit != 0) & (doubled.sum(1) % 10 == 0)
    return checked | (table.unchecked[prefixes] & bit != 0)  # type: ignore[no-any-return]
