"""How much of a card number a role may see (PCI DSS 3.4.1)."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Final

MARK: Final = "*"
REMOVED: Final = "[removed]"

_LAST: Final = 4
_BIN: Final = 6
# Below this length BIN and last four would leave so few digits hidden that the check digit gives them away.
_BIN_FROM: Final = 14


class Display(StrEnum):
    """What is shown of a card number: its last four digits, also its first six, or all of it."""

    LAST4 = "last4"
    BIN_LAST4 = "bin+last4"
    CLEAR = "clear"

    def hidden(self, length: int) -> range:
        """Which digits of a number of this length are hidden."""
        return _hidden(self, length)


@cache
def _hidden(display: Display, length: int) -> range:
    if display is Display.CLEAR:
        return range(0)
    first = _BIN if display is Display.BIN_LAST4 and length >= _BIN_FROM else 0
    return range(first, max(length - _LAST, first))
