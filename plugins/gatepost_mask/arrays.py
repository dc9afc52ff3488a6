"""The cells of many rows at once, as arrays.

A *stretch* is bytes without anything between them that is neither a digit nor a separator; every card number lies in
one that holds twelve digits. Cells that are nothing but digits are judged and patched here; the few others that a
stretch touches are left to `gatepost_mask.cells`. Nothing is decided but on cells, for what lies between them may look
like digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gatepost import Kind, RowBatch
from gatepost_mask.alphabet import HARD, QUOTES, SOFT
from gatepost_mask.detect import USUAL
from gatepost_mask.display import Display
from gatepost_mask.prefilter import has_groups
from gatepost_mask.ranges import DOUBLED, SHORTEST, ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIGIT: Final = 1
_SEPARATOR: Final = 2
_LIST: Final = 4
_SIX: Final = 10 ** np.arange(5, -1, -1)
_INTEGER_BYTES: Final = 8


# A list's separators stand between digits only where the digits are grouped as cards are printed.
_CLASSES: Final = bytes(
    _DIGIT
    if 48 <= byte < 58 or 0x80 <= byte < 0xFF
    else _SEPARATOR
    if chr(byte) in SOFT + QUOTES
    else _LIST
    if chr(byte) in HARD
    else 0
    for byte in range(256)
)


def mask_texts(batch: RowBatch, columns: Sequence[tuple[int, Kind]], display: Display) -> list[tuple[int, list[int]]]:
    """Mask cells that are card numbers; returns by column the rows of those that need a closer look."""
    data = batch.buffer
    starts, ends = _stretches(data)
    if not len(starts):
        return []
    values = np.frombuffer(data, dtype=np.uint8)
    left = []
    for column, kind in columns:
        offsets, lengths = batch.offsets(column), batch.lengths(column)
        first = np.searchsorted(offsets + np.maximum(lengths, 0), starts, "right")
        last = np.searchsorted(offsets, ends, "left")
        touched = _between(first, last)
        touched = touched[lengths[touched] >= SHORTEST]
        if len(touched):
            unjudged = _mask_whole(batch, values, offsets[touched], lengths[touched], kind, display)
            left.append((column, touched[unjudged].tolist()))
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


def _stretches(data: bytes) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the stretches with twelve digits begin and end."""
    translated = data.translate(_CLASSES)
    classes = np.frombuffer(translated, dtype=np.uint8)
    has_lists = _LIST in translated and has_groups(data)
    inside = (classes if has_lists else classes & (_DIGIT | _SEPARATOR)).astype(bool)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate(([0], edges))
    if inside[-1]:
        edges = np.concatenate((edges, [len(data)]))
    starts, ends = edges[0::2], edges[1::2]
    long = ends - starts >= SHORTEST
    starts, ends = starts[long], ends[long]
    if not len(starts):
        return starts, ends
    bounds = np.ravel(np.column_stack((starts, ends)))
    digits = np.add.reduceat(classes == _DIGIT, np.minimum(bounds, len(data) - 1), dtype=np.int64)[0::2]
    if ends[-1] == len(data):
        digits[-1] = np.count_nonzero(classes[starts[-1] :] == _DIGIT)
    enough = digits >= SHORTEST
    return starts[enough], ends[enough]


def _between(first: NDArray[Any], last: NDArray[Any]) -> NDArray[Any]:
    """All indexes in the half-open ranges, once each, ascending."""
    counts = last - first
    if counts.max() > 1:
        # A stretch that lies over several cells.
        return np.unique(np.concatenate([np.arange(low, high) for low, high in zip(first, last, strict=True)]))
    found = first[counts == 1]
    distinct: NDArray[Any] = found[np.flatnonzero(np.diff(found, prepend=-1))]
    return distinct


def _mask_whole(
    batch: RowBatch, values: NDArray[Any], offsets: NDArray[Any], lengths: NDArray[Any], kind: Kind, display: Display
) -> NDArray[Any]:
    """Mask the cells that are nothing but digits; returns which cells were not judged."""
    unjudged = np.ones(len(offsets), dtype=bool)
    if kind not in (Kind.TEXT, Kind.INTEGER):
        return unjudged
    for length in range(SHORTEST, USUAL + 1):
        rows = np.flatnonzero(lengths == length)
        if not len(rows):
            continue
        digits = values[offsets[rows][:, np.newaxis] + np.arange(length)] - 48
        # Zeros at an end may be padding.
        judged = (digits < 10).all(1) & (digits[:, 0] > 0) & (digits[:, -2:].any(1))
        rows, digits = rows[judged], digits[judged]
        unjudged[rows] = False
        hidden = np.array(display.hidden(length), dtype=np.int64)
        hits = offsets[rows[_are_card_numbers(digits)]]
        if not len(hits) or not len(hidden):
            continue
        marks = np.full(len(hidden), ord("0" if kind is Kind.INTEGER else "*"), dtype=np.uint8)
        if kind is Kind.INTEGER and hidden[0] == 0:
            marks[0] = ord("9")
        batch.patch(hits[:, np.newaxis] + hidden, marks, len(hits))
    return unjudged


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
