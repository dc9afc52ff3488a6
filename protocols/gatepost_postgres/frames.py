"""Framing: one type byte, a length that counts itself but not the type, a body.

Source: PostgreSQL 18 documentation, 54.2 "Message Flow" and 54.7 "Message Formats".
"""

from __future__ import annotations

import struct
from typing import Final

HEADER_BYTES: Final = 5

# The server refuses anything that does not fit a signed length; so do we.
LONGEST: Final = 2**31 - 1

# Type and length of the message at an offset.
header: Final = struct.Struct("!BI").unpack_from


class Partial:
    """The begin of a message whose rest has not come.

    What is kept grows in place and is looked at again when the message is whole, so that a long message
    in many small pieces is copied once.

    Attributes:
        data: what is kept.
    """

    __slots__ = ("_needed", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self._needed = 0

    def keep(self, rest: bytes, needed: int) -> None:
        """Keep `rest` until `needed` bytes are there."""
        self.data += rest
        self._needed = needed

    def join(self, data: bytes) -> bytes | None:
        """What was kept followed by `data`, or None while that is not enough."""
        if not self.data:
            return data
        self.data += data
        if len(self.data) < self._needed:
            return None
        whole = bytes(self.data)
        self.data.clear()
        return whole
