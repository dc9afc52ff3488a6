"""A file of the client's on its way to the server: packets, of which an empty one is the end.

Source: MySQL internals manual, "LOCAL INFILE Request".
"""

from __future__ import annotations

from gatepost.errors import ClientFault
from gatepost_mysql.frames import HEADER_BYTES, LONGEST, header


class Upload:
    """Follows the packets, and holds none.

    Args:
        number: of the first packet.

    Attributes:
        number: of the next packet.
        received: how many bytes the file has so far.
        is_over: its end has come.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.received = 0
        self.is_over = False
        self._left = 0
        self._is_continued = False

    def take(self, data: bytes) -> int:
        """How many of these bytes are the file's, as far as that can be told. Raises ClientFault."""
        at, end = 0, len(data)
        while not self.is_over:
            passed = min(self._left, end - at)
            at += passed
            self._left -= passed
            if self._left or end - at < HEADER_BYTES:
                break
            (word,) = header(data, at)
            if word >> 24 != self.number & 0xFF:
                raise ClientFault("a packet is out of order")
            at += HEADER_BYTES
            self.number += 1
            self._left = word & LONGEST
            self.received += self._left
            self.is_over = not self._left and not self._is_continued
            self._is_continued = self._left == LONGEST
        return at
