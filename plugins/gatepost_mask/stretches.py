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
from gatepost_mask.words import digits_in, words

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
# So many separators are looked at together.
_FEW: Final = 1024
_QUAD: Final = 4
_INSIDE_QUAD: Final = np.uint32(0x01010101)
_BETWEEN_QUAD: Final = np.uint32(0x02020202)
# What three bytes, a list's separator and three more are that may be digits in groups.
_LIST: Final = np.uint64(0x01_01_01_02_01_01_01)
_SEVEN: Final = np.uint64(0xFF_FF_FF_FF_FF_FF_FF)
# Times bytes of ones and zeros: the highest byte has the bits.
_GATHER: Final = np.uint32(0x01020408)
_HIGHEST_BYTE: Final = np.uint32(24)
# By such bits, how many bytes are inside at a quad's begin, and at its end.
_FIRST_INSIDE: Final = np.array([f"{bits:04b}"[::-1].find("0") if bits < 15 else 4 for bits in range(16)])
_LAST_INSIDE: Final = np.array([f"{bits:04b}".find("0") if bits < 15 else 4 for bits in range(16)])
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


def classify(data: bytes | bytearray) -> bytes | bytearray | None:
    """What each byte of a buffer is to a stretch, for `stretches`; None if no card number can be there."""
    maybe, is_grouped = look(data)
    return data.translate(_GROUPED if is_grouped else _PLAIN) if maybe else None


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


def stretches_of_many(data: bytes | bytearray) -> Stretches:
    """The stretches of a large buffer: where they begin, and where they end."""
    classes = _padded(data.translate(_CLASSES))
    if _may_be_grouped(classes) and look(data)[1]:
        classes = _padded(data.translate(_GROUPED))
    starts, ends = _runs(classes)
    enough = np.zeros(len(starts), dtype=bool)
    if len(starts) >= _MANY:
        is_short = (ends - starts <= _SHORT) & (starts <= len(data) - _SHORT)
        some, others = np.flatnonzero(is_short), np.flatnonzero(~is_short).tolist()
        enough[some] = digits_in(data, starts[some], (ends - starts)[some], _SHORT) >= SHORTEST
    else:
        others = list(range(len(starts)))
    for index in others:
        enough[index] = _holds_enough(data[starts[index] : ends[index]])
    return starts[enough], ends[enough]


def _padded(classes: bytes | bytearray) -> bytes:
    """With whole quads, some that are outside at either end; one is four bytes as an integer, the first the lowest."""
    return b"".join((_OUTSIDE * _QUAD, classes, _OUTSIDE * (2 * _QUAD + -len(classes) % _QUAD)))


def _may_be_grouped(classes: bytes) -> bool:
    """Whether a list's separator stands anywhere between three bytes and three that are inside."""
    near = np.flatnonzero((np.frombuffer(classes, dtype="<u4") & _BETWEEN_QUAD) != 0) * _QUAD
    every, places = words(classes), np.arange(-3, _QUAD - 3)
    return any(
        bool(((every[near[some : some + _FEW, np.newaxis] + places] & _SEVEN) == _LIST).any())
        for some in range(0, len(near), _FEW)
    )


def _runs(classes: bytes) -> Stretches:
    """Where twelve bytes and more that are inside begin and end: there are two whole quads among them."""
    quads = np.frombuffer(classes, dtype="<u4")
    whole = quads == _INSIDE_QUAD
    both = whole[1:] & whole[:-1]
    edges = np.flatnonzero(both[1:] != both[:-1])
    first, behind = edges[0::2] + 1, edges[1::2] + 2
    starts = first * _QUAD - _LAST_INSIDE[_bits(quads[first - 1])]
    ends = behind * _QUAD + _FIRST_INSIDE[_bits(quads[behind])]
    enough = ends - starts >= SHORTEST
    return starts[enough] - _QUAD, ends[enough] - _QUAD


def _bits(quads: NDArray[Any]) -> NDArray[Any]:
    """Which of each quad's bytes are inside, as bits, the first as the lowest."""
    bits: NDArray[Any] = (quads & _INSIDE_QUAD) * _GATHER >> _HIGHEST_BYTE
    return bits


def windows(values: NDArray[Any], length: int) -> NDArray[Any]:
    """A view of the `length` values that begin at each position; at least so many must be there."""
    view: NDArray[Any] = np.ndarray((len(values) - length + 1, length), values.dtype, values.data, 0, (1, 1))
    return view


def _holds_enough(stretch: bytes | bytearray) -> bool:
    return len(stretch.translate(None, _NOT_DIGITS)) >= SHORTEST
