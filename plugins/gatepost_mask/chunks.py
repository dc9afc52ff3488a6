"""Many digits, in which card numbers begin at many places: see `gatepost_mask.detect` for the same of few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gatepost_mask.ranges import LONGEST, ONCE, SHORTEST, TWICE, ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What a processor's cache holds, a few arrays of it.
_BLOCK: Final = 1 << 15
_PREFIX: Final = 6


class Many(NamedTuple):
    """Numbers of one length without anything between their digits, and where they begin."""

    firsts: NDArray[Any]
    length: int

    def places(self, some: range) -> NDArray[Any]:
        """Where these digits of each number are."""
        return self.firsts[:, np.newaxis] + np.arange(some.start, some.stop)

    def numbers(self) -> Iterator[range]:
        """Where the digits of each are."""
        return (range(first, first + self.length) for first in self.firsts.tolist())


def inside(digits: bytes, offset: int = 0) -> Iterator[Many]:
    """The widely met numbers anywhere in some digits, which begin at `offset`."""
    table = ranges()
    for block in range(0, len(digits) - SHORTEST + 1, _BLOCK):
        part = digits[block : block + _BLOCK + LONGEST - 1]
        once = np.frombuffer(part.translate(ONCE), dtype=np.uint8)
        pairs = once[:-1] * np.uint8(10) + once[1:]
        fours = pairs[:-2] * np.int32(100) + pairs[2:]
        prefixes = (fours[:-2] * np.int32(100) + pairs[4:])[:_BLOCK]
        lengths = table.world[prefixes]
        firsts = np.flatnonzero(lengths)
        for some, length in _numbers(part, firsts, prefixes[firsts], lengths[firsts]):
            yield Many(offset + block + some, length)


def numbers_at(digits: bytes, firsts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where the numbers begin that do so at some places, each with as many digits behind it as a prefix has, and how
    long each is."""
    begins = np.array(firsts, dtype=np.int64)
    once = np.frombuffer(digits.translate(ONCE), dtype=np.uint8)
    prefixes = np.zeros(len(begins), dtype=np.int32)
    for place in range(_PREFIX):
        prefixes = prefixes * np.int32(10) + once[begins + place]
    table = ranges()
    for some, length in _numbers(digits, begins, prefixes, table.checked[prefixes] | table.unchecked[prefixes]):
        for first in some.tolist():
            yield first, length


def _numbers(
    digits: bytes, firsts: NDArray[Any], prefixes: NDArray[Any], lengths: NDArray[Any]
) -> Iterator[tuple[NDArray[Any], int]]:
    """Those of some places at which numbers begin, by length; `lengths` are those to look for, as bits."""
    table = ranges()
    # What the digits up to each place count, every second one doubled; no difference is more than a byte holds.
    sums = np.zeros((2, len(digits) + 1), dtype=np.uint8)
    once, twice = (np.frombuffer(digits.translate(counts), dtype=np.uint8) for counts in (ONCE, TWICE))
    for start in (0, 1):
        counts = once.copy()
        counts[start::2] = twice[start::2]
        np.cumsum(counts, dtype=np.uint8, out=sums[start, 1:])
    for length in range(SHORTEST, LONGEST + 1):
        bit = 1 << (length - SHORTEST)
        some = np.flatnonzero((lengths & bit != 0) & (firsts <= len(digits) - length))
        if len(some):
            begins, heads = firsts[some], prefixes[some]
            odd, ends = (begins + length) & 1, begins + length
            passes = (sums[odd, ends] - sums[odd, begins]) % 10 == 0
            yield begins[(table.checked[heads] & bit != 0) & passes | (table.unchecked[heads] & bit != 0)], length
