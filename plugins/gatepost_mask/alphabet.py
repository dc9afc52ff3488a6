"""Which characters are digits, and what may stand between the digits of one card number."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

# White space, dashes and the like: whatever the groups are that they make of the digits.
SOFT: Final = " \t\n\r\v\f-._"
QUOTES: Final = "\"'"
# What lists, JSON and arrays are made of: only one at a time, and only between groups as cards are printed in.
HARD: Final = ",;|/\\(){}[]"

_BASIC: Final = 0x10000
# Digits and separators live on these planes; looking no further keeps the table quick to make.
_PLANES: Final = ((0x80, 0x20000), (0xE0000, 0xE0200))
_SEPARATING: Final = frozenset(("Zs", "Zl", "Zp", "Cf", "Cc", "Pd", "Mn", "Me"))
# Dots and bars that are no dashes by their category.
_ALSO: Final = frozenset("·‧•∙⋅。．｡＿¯−‿⁄∕／")  # noqa: RUF001


def gap(soft: str = SOFT) -> str:
    """A regular expression for what may stand between two digits of a card number, nothing included."""
    between = f"[{re.escape(soft + QUOTES)}]"
    return f"{between}{{0,4}}(?:[{re.escape(HARD)}]{between}{{0,3}})?"


@cache
def table() -> dict[int, str]:
    """For str.translate: digits of every script to ASCII digits, separators to a blank, one character for one."""
    found: dict[int, str] = {}
    for first, end in _PLANES:
        for code in range(first, end):
            character = chr(code)
            digit = unicodedata.digit(character, None)
            if digit is not None:
                found[code] = str(digit)
            elif character in _ALSO or unicodedata.category(character) in _SEPARATING:
                found[code] = " "
    return found


def normal(text: str) -> str:
    """The text with ASCII digits and separators, character for character."""
    return text if text.isascii() else text.translate(table())


@cache
def suspicious() -> re.Pattern[str]:
    """What every text with a card number in it matches, whatever its script, and few others do.

    Digits beyond the basic plane are not told apart: any character from there may be one.
    """
    digits, soft = (
        "".join(chr(code) for code, plain in table().items() if code < _BASIC and (plain != " ") is is_digit)
        for is_digit in (True, False)
    )
    one = f"[0-9{digits}\U00010000-\U0010ffff]"
    between = gap(SOFT + soft)
    shapes = [f"(?:[{re.escape(SOFT + QUOTES + soft)}]{{0,4}}{one}){{11}}"]
    for first, *rest in ((4, 4, 4, 3), (4, 6, 4), (4, 4, 5), (4, 3, 3, 3), (3, 3, 3, 3)):
        shapes.append(between.join([f"{one}{{{first - 1}}}", *(f"{one}{{{length}}}" for length in rest)]))
    return re.compile(f"{one}(?:{'|'.join(shapes)})")
