"""The card number ranges of `ranges.toml`, as tables that are looked up by a number's first six digits."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTEST: Final = 12
LONGEST: Final = 19
# Chunks longer than this are searched in their middle.
USUAL: Final = 16
_PREFIX: Final = 6
_MILLION: Final = 10**_PREFIX

# A number of up to 16 digits, zeros in front, whose digits in turn count double and once.
LANE: Final = 16
# By a digit's byte, what it counts in a Luhn sum, once and doubled; nothing for any other byte.
ONCE: Final = bytes(byte - 48 if 48 <= byte < 58 else 0 for byte in range(256))
_MODULO: Final = bytes(total % 10 for total in range(256))

# The digits of twice a digit, added up.
DOUBLED: Final = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], dtype=np.uint8)
TWICE: Final = bytes(int(DOUBLED[byte - 48]) if 48 <= byte < 58 else 0 for byte in range(256))


class Brand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One brand's numbers.

    Attributes:
        prefixes: "4" or "51-55", inclusive, at most six digits.
        lengths: how many digits a number can have, from `SHORTEST` to `LONGEST`.
        luhn: every number passes the Luhn check.
        world: the lengths at which it is looked for inside longer digit runs.
    """

    name: str
    prefixes: tuple[str, ...]
    lengths: tuple[int, ...]
    luhn: bool = True
    world: tuple[int, ...] = msgspec.field(default=(), name="global")

    def intervals(self) -> list[tuple[int, int]]:
        """The prefixes as half-open intervals of six-digit numbers."""
        bounds = []
        for prefix in self.prefixes:
            low, _, high = prefix.partition("-")
            scale = 10 ** (_PREFIX - len(low))
            bounds.append((int(low) * scale, (int(high or low) + 1) * scale))
        return bounds


class Ranges:
    """Lengths by first six digits: bit n of an entry stands for the length `SHORTEST` + n.

    Attributes:
        checked: numbers that pass the Luhn check.
        unchecked: numbers that need not pass it.
        world: numbers that are looked for inside longer digit runs.
        inner_lengths: the lengths that such numbers can have.
    """

    def __init__(self, brands: tuple[Brand, ...]) -> None:
        checked, unchecked, world = (np.zeros(_MILLION, dtype=np.uint8) for _ in range(3))
        for brand in brands:
            for low, high in brand.intervals():
                (checked if brand.luhn else unchecked)[low:high] |= _bits(brand.lengths)
                world[low:high] |= _bits(brand.world)
        # Single look-ups are quicker in bytes than in an array.
        self._checked = checked.tobytes()
        self._unchecked = unchecked.tobytes()
        self._world = world.tobytes()
        self.checked: NDArray[Any] = np.frombuffer(self._checked, dtype=np.uint8)
        self.unchecked: NDArray[Any] = np.frombuffer(self._unchecked, dtype=np.uint8)
        self.world: NDArray[Any] = np.frombuffer(self._world, dtype=np.uint8)
        self.inner_lengths = tuple(sorted({length for brand in brands for length in brand.world}))
        self._sums = _luhn_sums().tobytes()

    def holds(self, digits: str | bytes) -> bool:
        """Whether `digits` (ASCII, `SHORTEST` to `LONGEST` of them) is a card number."""
        prefix = int(digits[:_PREFIX])
        bit = 1 << (len(digits) - SHORTEST)
        if not self._checked[prefix] & bit:
            return self._unchecked[prefix] & bit != 0
        sums = self._sums
        rest, last = divmod(int(digits), _MILLION)
        rest, middle = divmod(rest, _MILLION)
        total = sums[last] + sums[middle] + sums[rest % _MILLION] + sums[rest // _MILLION]
        return total % 10 == 0 or self._unchecked[prefix] & bit != 0

    def prefixes(self, length: int) -> str | None:
        """A regular expression for what numbers of this length begin with, zeros aside; None if there are none."""
        fits = (self.checked | self.unchecked) & (1 << (length - SHORTEST)) != 0
        fits[: _MILLION // 10] = False
        return _expression(fits)

    def lengths(self, prefix: str) -> int:
        """The lengths that numbers beginning with these six digits can have, as bits."""
        index = int(prefix)
        return self._checked[index] | self._unchecked[index]

    def world_lengths(self, prefix: str) -> int:
        """The lengths at which they are looked for inside longer digit runs, as bits."""
        return self._world[int(prefix)]


def luhn(lanes: bytes) -> bytes:
    """By how much each of some numbers misses the Luhn check (ISO/IEC 7812-1, annex B): zero where it passes.

    Eight bytes of one large integer for each: what its digits count is added up for all of them at once, and no sum is
    more than a byte holds.

    Args:
        lanes: the numbers, each with zeros in front that make it `LANE` digits long.
    """
    total = int.from_bytes(lanes[0::2].translate(TWICE), "big") + int.from_bytes(lanes[1::2].translate(ONCE), "big")
    total += total >> 32
    total += total >> 16
    total += total >> 8
    return total.to_bytes(len(lanes) // 2, "big")[LANE // 2 - 1 :: LANE // 2].translate(_MODULO)


def _expression(fits: NDArray[Any]) -> str | None:
    """A regular expression for where an array is true, its indexes written as digits with zeros in front."""
    if fits.all():
        return ""
    if not fits.any():
        return None
    digits: dict[str, str] = {}
    for digit, rest in enumerate(fits.reshape(10, -1)):
        expression = _expression(rest)
        if expression is not None:
            digits[expression] = digits.get(expression, "") + str(digit)
    return "(?:" + "|".join(f"[{firsts}]{rest}" for rest, firsts in digits.items()) + ")"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    date: date
    sources: str
    brands: tuple[Brand, ...]


def _luhn_sums() -> NDArray[Any]:
    """What each six digits add to a number's Luhn sum (ISO/IEC 7812-1, annex B): every second one is doubled."""
    pairs = np.add.outer(DOUBLED, np.arange(10, dtype=np.uint8)).ravel()
    sums: NDArray[Any] = np.add.outer(np.add.outer(pairs, pairs).ravel(), pairs).ravel()
    return sums


def _bits(lengths: tuple[int, ...]) -> int:
    return sum(1 << (length - SHORTEST) for length in lengths)


@cache
def brands() -> tuple[Brand, ...]:
    """The brands of the data file."""
    data = resources.files(__package__).joinpath("ranges.toml").read_bytes()
    return msgspec.toml.decode(data, type=_File).brands


@cache
def ranges() -> Ranges:
    """The data file's ranges."""
    return Ranges(brands())
