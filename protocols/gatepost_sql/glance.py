"""Texts that differ in integers alone, told apart from all others without a scan or a parser."""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 4096
# Of these, words, numbers and operators are made in either dialect: no comments, no strings, no exponent with a sign.
_UNQUOTED: Final = re.compile(r"[A-Za-z0-9_ \t\r\n.,:;()\[\]=<>!*%]*")
_INTEGER: Final = re.compile(r"(?<![\w$.])[0-9]+(?![\w$.])", re.ASCII)


def at_a_glance(text: str) -> str:
    """The text with a mark for each integer that stands by itself; "" where that takes a scan.

    It differs from the first in these integers alone, and so do all texts of which it is the same.
    """
    return _INTEGER.sub("?", text) if len(text) <= _LONGEST and _UNQUOTED.fullmatch(text) else ""


def has_integers(text: str) -> bool:
    """Whether an integer stands by itself in the text."""
    return _INTEGER.search(text) is not None
