"""Many numbers of a usual length at once, each as two words: its first eight digits, and its last eight.

A word is eight bytes as one integer, the first in its lowest byte; arithmetic on it is arithmetic on all of its digits,
none of which ever carries into the next.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gatepost import Kind
from gatepost_mask.display import MARK, Display
from gatepost_mask.ranges import SHORTEST, USUAL, ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD: Final = 8
KINDS: Final = (Kind.TEXT, Kind.INTEGER)
_LENGTHS: Final = range(SHORTEST, USUAL + 1)


def _each(byte: int, step: int = 1) -> np.uint64:
    """A word with this byte at every place, or at every other one."""
    return np.uint64(sum(byte << 8 * place for place in range(0, WORD, step)))


_BITS: Final = np.uint64(8)
_LOW: Final = _each(0x0F)
_HIGH: Final = _each(0xF0)
_ZEROS: Final = _each(ord("0"))
# Added to a digit it stays below 0x40, added to what is behind "9" it does not.
_BEYOND: Final = _each(0x06)
_HIGHEST: Final = _each(0x80)
# Added to what is not above nine it sets no byte's highest bit.
_ABOVE_NINE: Final = _each(0x76)
_FIRST_BYTES: Final = np.array([(1 << 8 * count) - 1 for count in range(WORD + 1)], dtype=np.uint64)
_EVEN: Final = _each(0xFF, 2)
_TEN: Final = np.uint64(10)
# Added to twice a digit it sets the highest bit where that has two digits, whose sum is less by nine.
_CARRY: Final = _each(0x76, 2)
_SEVEN: Final = np.uint64(7)
_ONES: Final = _each(0x01)
_ONES_EVEN: Final = _each(0x01, 2)
_NINE: Final = np.uint64(9)
_LAST_BYTE: Final = np.uint64(56)
_LAST_TWO: Final = np.uint64(48)
_PAIR: Final = np.uint64(0xFF)
_ZERO: Final = np.uint64(ord("0"))
_TWO_ZEROS: Final = np.uint64(ord("0") << 8 | ord("0"))
# What of a number's first word is before its last word, moved to where its digits count as those of the last do.
_OVERLAPS: Final = np.array([8 * (2 * WORD - length) for length in _LENGTHS], dtype=np.uint64)


def words(data: bytes | bytearray) -> NDArray[Any]:
    """The word that begins at each position of a buffer; those of a bytearray can be written."""
    view: NDArray[Any] = np.ndarray((max(len(data) - WORD + 1, 0),), "<u8", data, 0, (1,))
    return view


def are_digits(some: NDArray[Any]) -> NDArray[Any]:
    """Which words are ASCII digits alone."""
    are: NDArray[Any] = ((some & _HIGH) == _ZEROS) & (((some + _BEYOND) & _HIGH) == _ZEROS)
    return are


def digits_in(data: bytes | bytearray, starts: NDArray[Any], lengths: NDArray[Any], longest: int) -> NDArray[Any]:
    """How many digits there are in each of some parts of a buffer, bytes that are not ASCII taken for digits.

    None is longer than `longest`, whole words, and so many bytes are there from each start on.
    """
    every = words(data)
    found = np.zeros(len(starts), dtype=np.uint64)
    for place in range(0, longest, WORD):
        some = every[starts + place] & _FIRST_BYTES[np.minimum(np.maximum(lengths - place, 0), WORD)]
        apart = some ^ _ZEROS
        other = ((apart & ~_HIGHEST) + _ABOVE_NINE) | apart
        found += (((~other | some) & _HIGHEST) >> _SEVEN) * _ONES >> _LAST_BYTE
    return found


def are_padded(first: NDArray[Any], last: NDArray[Any]) -> NDArray[Any]:
    """Which numbers have zeros at an end that may be padding."""
    padded: NDArray[Any] = ((first & _PAIR) == _ZERO) | (last >> _LAST_TWO == _TWO_ZEROS)
    return padded


def are_card_numbers(first: NDArray[Any], last: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """Which numbers of digits alone are card numbers (`Ranges.holds`); `lengths` count from `SHORTEST` on."""
    digits = first & _LOW
    pairs = digits * _TEN + (digits >> _BITS)
    prefixes = (pairs & _PAIR) * np.uint64(10_000)
    prefixes += ((pairs >> np.uint64(16)) & _PAIR) * np.uint64(100)
    prefixes += (pairs >> np.uint64(32)) & _PAIR
    at = prefixes.astype(np.int64)
    table = ranges()
    once = digits << _OVERLAPS[lengths]
    sums = _luhn(once) + _luhn(last & _LOW)
    passes = ((sums * _ONES) >> _LAST_BYTE) % _TEN == 0
    bits = 1 << lengths
    return (table.checked[at] & bits != 0) & passes | (table.unchecked[at] & bits != 0)  # type: ignore[no-any-return]


def _luhn(digits: NDArray[Any]) -> NDArray[Any]:
    """What each digit counts (ISO/IEC 7812-1, annex B), where the last one counts once."""
    twice: NDArray[Any] = digits & _EVEN
    once = digits ^ twice
    twice += twice
    twice -= (((twice + _CARRY) >> _SEVEN) & _ONES_EVEN) * _NINE
    return once + twice  # type: ignore[no-any-return]


class Masks(NamedTuple):
    """What of a number's two words stays, and what comes in the place of the rest; by `forms`."""

    stays: tuple[NDArray[Any], NDArray[Any]]
    comes: tuple[NDArray[Any], NDArray[Any]]


def forms(kinds: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """Where the masks of numbers are; `kinds` are places in `KINDS`, `lengths` count from `SHORTEST` on."""
    where: NDArray[Any] = lengths + kinds * len(_LENGTHS)
    return where


@cache
def masks(display: Display) -> Masks:
    """How numbers are shown: see `gatepost_mask.cells.mask_digits`."""
    masked = [_masked(kind, length, display) for kind in KINDS for length in _LENGTHS]
    comes = [[_word(text[:WORD]) for text in masked], [_word(text[-WORD:]) for text in masked]]
    shown = [bytes(0 if byte else 0xFF for byte in text) for text in masked]
    stays = [[_word(text[:WORD]) for text in shown], [_word(text[-WORD:]) for text in shown]]
    first, last = (np.array(some, dtype=np.uint64) for some in stays)
    return Masks((first, last), (np.array(comes[0], dtype=np.uint64), np.array(comes[1], dtype=np.uint64)))


def _masked(kind: Kind, length: int, display: Display) -> bytes:
    """What hides a number's digits, NUL where they are shown."""
    hidden = display.hidden(length)
    text = bytearray(length)
    for place in hidden:
        text[place] = ord(MARK) if kind is Kind.TEXT else ord("9" if place == 0 else "0")
    return bytes(text)


def _word(text: bytes) -> int:
    return int.from_bytes(text, "little")
