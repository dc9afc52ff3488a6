"""Where in a buffer card numbers can lie.

A *stretch* is bytes without anything between them that is neither a digit nor a separator. Every card number lies in
the part of a stretch that one cell holds, and twelve of that part's bytes are digits. Framing may look like digits too,
so a stretch says nothing but where to look. Bytes that are not ASCII count as digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from gatepost_mask.alphabet import HARD, QUOTES, SOFT
from gatepost_mask.prefilter import look
from gatepost_mask.ranges import SHORTEST
from gatepost_mask.words import digits_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where stretches begin, and where they end, ascending.
Stretches: TypeAlias = "tuple[NDArray[Any], NDArray[Any]]"

_DIGITS: Final = frozenset((*range(ord("0"), ord("9") + 1), *range(0x80, 0xFF)))
_SEPARATORS: Final = (SOFT + QUOTES).encode()
_INSIDE: Final = b"\1"
_OUTSIDE: Final = b"\0"
# What begins a stretch that is long enough.
_LONG: Final = _INSIDE * SHORTEST
# Bytes to count stretches in: what repeats itself is searched slowly.
_SAMPLE: Final = 16384
# From so many of them, at least one in so many bytes, arrays are quicker.
_MANY: Final = 128
_SPARSE: Final = 512
# Of stretches up to this length the digits are counted all at once.
_SHORT: Final = 24


def _table(members: frozenset[int]) -> bytes:
    return b"".join(_INSIDE if byte in members else _OUTSIDE for byte in range(256))


# A list's separators stand between digits only where the digits are grouped as cards are printed.
_PLAIN: Final = _table(_DIGITS.union(_SEPARATORS))
_GROUPED: Final = _table(_DIGITS.union(_SEPARATORS, HARD.encode()))
# Both at once, the list's separators told apart.
_CLASSES: Final = bytes(inside + (inside ^ grouped) * 2 for inside, grouped in zip(_PLAIN, _GROUPED, strict=True))
_BETWEEN: Final = b"\2"
# In front of a separator of a list that may stand between digits.
_BEFORE_HARD: Final = _INSIDE * 3 + _BETWEEN
_ALONE: Final = _table(frozenset(range(ord("0"), ord("9") + 1)))
_NOT_DIGITS: Final = bytes(byte for byte in range(256) if byte not in _DIGITS)


def are_many(data: bytes | bytearray, *, alone: bool = False) -> bool:
    """Whether there are so many stretches, or long runs of digits `alone`, that arrays are quicker; from a sample."""
    if len(data) < _MANY * SHORTEST:
        return False
    found = data[:_SAMPLE].translate(_ALONE if alone else _PLAIN).count(_LONG)
    if len(data) > _SAMPLE:
        found = found * len(data) // _SAMPLE
    return found >= _MANY and found * _SPARSE >= len(data)


def classify(data: bytes | bytearray, *, many: bool) -> bytes | bytearray | None:
    """What each byte of a buffer is to a stretch, for the functions below; None if no card number can be there.

    Where there are `many` stretches, or few bytes, a look that may disprove them all comes first.
    """
    if many or len(data) <= _SAMPLE:
        maybe, is_grouped = look(data)
        return data.translate(_GROUPED if is_grouped else _PLAIN) if maybe else None
    classes = data.translate(_CLASSES)
    if _BEFORE_HARD in classes and look(data)[1]:
        return data.translate(_GROUPED)
    return classes.replace(_BETWEEN, _OUTSIDE) if _BETWEEN in classes else classes


def classify_text(data: bytes) -> bytes:
    """The same of one text's characters in ASCII, whatever lists may be in it."""
    return data.translate(_GROUPED)


def stretches(data: bytes | bytearray, classes: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Where the stretches begin and end, ascending."""
    find = classes.find
    start = find(_LONG)
    while start >= 0:
        end = find(_OUTSIDE, start + SHORTEST)
        if end < 0:
            end = len(data)
        stretch = data[start:end]
        if stretch.isdigit() or _holds_enough(stretch):
            yield start, end
        start = find(_LONG, end)


def stretches_of_many(data: bytes | bytearray, classes: bytes | bytearray) -> Stretches:
    """`stretches`, for a large buffer: where they begin, and where they end."""
    if len(data) < SHORTEST:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    inside = np.frombuffer(classes, dtype=bool)
    # Whether two, four, eight, twelve bytes from here on are inside.
    run = inside[1:] & inside[:-1]
    run = run[2:] & run[:-2]
    four = run
    run = run[4:] & run[:-4]
    run = run[: len(four) - 8] & four[8:]
    edges = np.flatnonzero(run[1:] != run[:-1]) + 1
    if run[0]:
        edges = np.concatenate(([0], edges))
    if run[-1]:
        edges = np.concatenate((edges, [len(run)]))
    starts, ends = edges[0::2], edges[1::2] + (SHORTEST - 1)
    enough = np.ones(len(starts), dtype=bool)
    is_short = (ends - starts <= _SHORT) & (starts <= len(data) - _SHORT)
    some = np.flatnonzero(is_short)
    if len(some):
        enough[some] = digits_in(data, starts[some], (ends - starts)[some], _SHORT) >= SHORTEST
    for index in np.flatnonzero(~is_short).tolist():
        enough[index] = _holds_enough(data[starts[index] : ends[index]])
    return starts[enough], ends[enough]


def windows(values: NDArray[Any], length: int) -> NDArray[Any]:
    """A view of the `length` values that begin at each position; at least so many must be there."""
    view: NDArray[Any] = np.ndarray((len(values) - length + 1, length), values.dtype, values.data, 0, (1, 1))
    return view


def _holds_enough(stretch: bytes | bytearray) -> bool:
    return len(stretch.translate(None, _NOT_DIGITS)) >= SHORTEST
