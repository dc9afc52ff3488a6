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
from gatepost_mask.words import KINDS, WORD, are_card_numbers, are_digits, are_padded, form, kind_of, masks, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIX: Final = 10 ** np.arange(5, -1, -1, dtype=np.int32)
_INTEGER_BYTES: Final = 8
_NONE: Final = np.empty(0, dtype=np.int64)
# What takes the place of digits: neither a digit nor a separator.
_BLANK: Final = int.from_bytes(b"x" * WORD, "little")
_MARKS_TRACK: Final = np.isin(np.arange(256), list(TRACK_MARKS.encode()))


def mask_cells(batch: RowBatch, columns: Sequence[tuple[int, Kind]], display: Display) -> bytearray:
    """Mask the cells that are card numbers of a usual length and nothing else.

    Returns the buffer as it was, blank where cells are digits alone and need no other look.
    """
    data = batch.buffer
    left = bytearray(data)
    starts, lengths, forms = _usual_cells(batch, columns)
    if not len(starts):
        return left
    every = words(data)
    first = every[starts]
    some = np.flatnonzero(are_digits(first))
    starts, lasts, lengths = starts[some], (starts + lengths)[some] - WORD, lengths[some] - SHORTEST
    first, last, forms = first[some], every[lasts], forms[some]
    alone, padded = are_digits(last), are_padded(first, last)
    blank = words(left)
    blank[starts[alone]] = _BLANK
    blank[lasts[alone]] = _BLANK
    hits = np.flatnonzero(are_card_numbers(first, last, lengths) & alone & ~padded)
    if len(hits) and display.hidden(SHORTEST):
        masked = bytearray(data)
        shown, (stays, comes), those = words(masked), masks(display), forms[hits]
        first, last = first[hits], last[hits]
        begins, ends = first & stays[0][those] | comes[0][those], last & stays[1][those] | comes[1][those]
        shown[starts[hits]] = begins
        shown[lasts[hits]] = ends
        # An integer's mask may be the integer itself.
        batch.rewrite(bytes(masked), int(np.count_nonzero((begins != first) | (ends != last))))
    pieces = []
    for index in np.flatnonzero(padded & alone).tolist():
        start = int(starts[index])
        piece = mask_digits(data[start : int(lasts[index]) + WORD].decode(), kind_of(forms[index]), display)
        if piece is not None:
            pieces.append((start, piece.encode()))
    batch.overwrite(pieces)
    return left


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


def _usual_cells(
    batch: RowBatch, columns: Sequence[tuple[int, Kind]]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The cells of a usual number's length: where they begin, how long they are, and the forms that they would have."""
    starts, lengths, forms = [_NONE], [_NONE], [_NONE]
    for column, kind in columns:
        if kind in KINDS:
            every = batch.lengths(column)
            rows = np.flatnonzero((every >= SHORTEST) & (every <= USUAL))
            starts.append(batch.offsets(column)[rows])
            lengths.append(every[rows])
            forms.append(form(kind, lengths[-1] - SHORTEST))
    return np.concatenate(starts), np.concatenate(lengths), np.concatenate(forms)


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
        batch.patch(firsts[some][hits][which] + places, marks, len(hits))
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
