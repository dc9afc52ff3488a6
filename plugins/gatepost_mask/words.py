"""Many numbers at once, each as words: its first eight digits, and its last eight; of longer ones also those before.

A word is eight bytes as one integer, the first in its lowest byte; arithmetic on it is arithmetic on all of its digits,
none of which ever carries into the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from gatepost import Kind
from gatepost_mask.display import MARK, Display
from gatepost_mask.ranges import LONGEST, SHORTEST, ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T", int, "NDArray[Any]")

WORD: Final = 8
KINDS: Final = (Kind.TEXT, Kind.INTEGER)
_LENGTHS: Final = range(SHORTEST, LONGEST + 1)


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
# What of a number's first word is before its other words, moved to where its digits count as those of the last do.
_OVERLAPS: Final = np.array([8 * (-length % WORD) for length in _LENGTHS], dtype=np.uint64)


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


def word_places(lengths: T, *, is_long: bool) -> Sequence[T | int]:
    """Where the words of numbers begin in them: numbers of a usual length (`USUAL`) have two, longer ones three."""
    last = lengths - WORD
    return (0, last - WORD, last) if is_long else (0, last)


def are_card_numbers(number: Sequence[NDArray[Any]], lengths: NDArray[Any]) -> NDArray[Any]:
    """Which numbers of digits alone are card numbers (`Ranges.holds`): word by word, all the first ones first.

    `lengths` count from `SHORTEST` on.
    """
    first, *others = number
    digits = first & _LOW
    pairs = digits * _TEN + (digits >> _BITS)
    prefixes = (pairs & _PAIR) * np.uint64(10_000)
    prefixes += ((pairs >> np.uint64(16)) & _PAIR) * np.uint64(100)
    prefixes += (pairs >> np.uint64(32)) & _PAIR
    at = prefixes.astype(np.int64)
    table = ranges()
    sums = _luhn(digits << _OVERLAPS[lengths])
    for word in others:
        sums += _luhn(word & _LOW)
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


def forms(kinds: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """Where the masks of numbers are; `kinds` are places in `KINDS`, `lengths` count from `SHORTEST` on."""
    where: NDArray[Any] = lengths + kinds * len(_LENGTHS)
    return where


@cache
def masks(display: Display, *, is_long: bool) -> Sequence[tuple[NDArray[Any], NDArray[Any]]]:
    """How numbers are shown (`gatepost_mask.cells.mask_digits`): of each word what stays, and what comes for the rest.

    By `forms`, of which those of other lengths say nothing.
    """
    comes = [_masked(kind, length, display) for kind in KINDS for length in _LENGTHS]
    stays = [bytes(0 if byte else 0xFF for byte in text) for text in comes]
    return tuple(zip(_cut(stays, is_long), _cut(comes, is_long), strict=True))


def _cut(texts: Sequence[bytes], is_long: bool) -> NDArray[Any]:
    """Texts as words, all the first ones first."""
    cut = [
        [int.from_bytes(text[place : place + WORD], "little") for place in word_places(len(text), is_long=is_long)]
        for text in texts
    ]
    return np.array(cut, dtype=np.uint64).T


def _masked(kind: Kind, length: int, display: Display) -> bytes:
    """What hides a number's digits, NUL where they are shown."""
    hidden = display.hidden(length)
    text = bytearray(length)
    for place in hidden:
        text[place] = ord(MARK) if kind is Kind.TEXT else ord("9" if place == 0 else "0")
    return bytes(text)
