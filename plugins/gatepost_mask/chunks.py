"""Long runs of digits, in which card numbers begin anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gatepost_mask.ranges import LONGEST, ONCE, SHORTEST, TWICE, ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What a processor's cache holds, a few arrays of it.
_BLOCK: Final = 1 << 15


def inside(digits: bytes) -> Iterator[tuple[int, int]]:
    """Where the widely met numbers begin that are anywhere in some digits, and how long each is.

    Raises ValueError where there are not as many digits as a number has.
    """
    for block in range(0, len(digits) - SHORTEST + 1, _BLOCK):
        for firsts, length in _in_block(digits[block : block + _BLOCK + LONGEST - 1]):
            for first in firsts.tolist():
                yield block + first, length


def _in_block(digits: bytes) -> Iterator[tuple[NDArray[Any], int]]:
    """The numbers that begin in a block, by length."""
    table = ranges()
    once = np.frombuffer(digits.translate(ONCE), dtype=np.uint8)
    twice = np.frombuffer(digits.translate(TWICE), dtype=np.uint8)
    pairs = once[:-1] * np.uint8(10) + once[1:]
    fours = pairs[:-2] * np.int32(100) + pairs[2:]
    prefixes = (fours[:-2] * np.int32(100) + pairs[4:])[:_BLOCK]
    lengths = table.world[prefixes]
    begins = np.flatnonzero(lengths)
    prefixes, lengths = prefixes[begins], lengths[begins]
    # What the digits up to each place count, every second one doubled; no difference is more than a byte holds.
    sums = np.zeros((2, len(digits) + 1), dtype=np.uint8)
    for odd in (0, 1):
        counts = once.copy()
        counts[odd::2] = twice[odd::2]
        np.cumsum(counts, dtype=np.uint8, out=sums[odd, 1:])
    for length in table.inner_lengths:
        bit = 1 << (length - SHORTEST)
        some = (lengths & bit != 0) & (begins <= len(digits) - length)
        firsts, ends, heads = begins[some], begins[some] + length, prefixes[some]
        odd = ends & 1
        passes = (sums[odd, ends] - sums[odd, firsts]) % 10 == 0
        yield firsts[(table.checked[heads] & bit != 0) & passes | (table.unchecked[heads] & bit != 0)], length
