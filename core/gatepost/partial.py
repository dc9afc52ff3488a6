"""The begin of a message whose rest has not come."""

from __future__ import annotations


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
        if len(self.data) + len(data) < self._needed:
            self.data += data
            return None
        whole = b"".join((self.data, data))
        self.data.clear()
        return whole
