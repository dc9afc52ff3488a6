"""Whom adversaries come as, and what they must not come away with, whatever the protocol."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

ROLES: Final = ("reader", "analyst", "writer")
MASK: Final = """
[plugins.mask]
[[plugins.mask.columns]]
match = "cards.pan"
tag = "pan"
[[plugins.mask.columns]]
match = "cards.cvv"
tag = "sad"
[plugins.audit]
"""


def assert_kept(shown: Iterable[str], pans: Sequence[str], codes: Sequence[str]) -> None:
    """No card number and no security code can be read out of the texts that a client was sent."""
    everything = "\n".join(shown)
    for pan in pans:
        for clue in clues(pan):
            assert clue not in everything, f"a clue to a card number in {everything[:2000]}"
    # As one text too: a card number may come in pieces, row by row.
    run = re.sub(r"\D", "", everything)
    assert not [pan for pan in pans if pan in run]
    assert not [code for code in codes if code in everything]


@cache
def clues(pan: str) -> list[str]:
    """What tells a card number, or most of it: more than the first six and the last four digits together."""
    # A masked number has zeros before its last four digits.
    tail = [] if pan[-8:-4] == "0000" else [pan[-8:]]
    return [
        *tail,
        pan,
        pan[::-1],
        pan[:8],
        pan.encode().hex(),
        base64.b64encode(pan.encode()).decode(),
        hashlib.md5(pan.encode()).hexdigest(),
    ]
