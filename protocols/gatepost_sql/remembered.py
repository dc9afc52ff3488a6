"""Facts that were found out before, as many as have room."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gatepost.values import Facts
from gatepost_sql.bounds import MAX_BYTES

ROOM: Final = 512 << 10
"""Characters of all texts together. What is understood of a text may take some sixty times its length."""

_UNDERSTOOD: Final = 16


def weight(text: str | bytes) -> int:
    """How many bytes to reckon for a text and its facts, of which there are few if it is too long to be understood."""
    return len(text) + _UNDERSTOOD * min(len(text), MAX_BYTES)


class Remembered:
    """Facts by texts, or by what several texts have in common; those that were wanted last.

    Args:
        room: characters of what they are kept by, together.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._facts: OrderedDict[str | bytes, Facts] = OrderedDict()
        self._left = room

    def get(self, key: str | bytes) -> Facts | None:
        found = self._facts.get(key)
        if found is not None:
            self._facts.move_to_end(key)
        return found

    def put(self, key: str | bytes, facts: Facts) -> None:
        if key not in self._facts:
            self._left -= len(key)
        self._facts[key] = facts
        while self._left < 0:
            oldest, _ = self._facts.popitem(last=False)
            self._left += len(oldest)

    def __len__(self) -> int:
        return len(self._facts)
