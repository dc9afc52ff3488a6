"""Bytes of one side while handshakes last. Once statements may come, `frames` does this for them."""

from __future__ import annotations

from gatepost.errors import ClientFault, Fault, FaultCode


class Inbox:
    """What a side has sent and no message has taken yet.

    A message's length is checked as soon as its length field is there, before the rest of it is waited for.

    Args:
        limit: how long one message may be, in bytes.
        fault: what is raised when the side breaks the framing.
    """

    def __init__(self, limit: int, fault: type[Fault]) -> None:
        self._data = bytearray()
        self._limit = limit
        self._fault = fault

    def __len__(self) -> int:
        return len(self._data)

    @property
    def first(self) -> int | None:
        """The first byte, which stays."""
        return self._data[0] if self._data else None

    def feed(self, data: bytes) -> None:
        self._data += data

    def drain(self) -> bytes:
        """All that is there."""
        return self._take(len(self._data))

    def byte(self) -> bytes:
        """One byte, b"" if there is none."""
        return self._take(1)

    def packet(self) -> bytes | None:
        """The body of the next message without a type byte, as a startup is; None if it is not whole."""
        length = self._length(0, minimum=8)
        if length is None or len(self._data) < length:
            return None
        return self._take(length)[4:]

    def message(self) -> tuple[int, bytes] | None:
        """Type and body of the next message, None if it is not whole."""
        length = self._length(1, minimum=4)
        if length is None or len(self._data) < 1 + length:
            return None
        data = self._take(1 + length)
        return data[0], data[5:]

    def _length(self, at: int, *, minimum: int) -> int | None:
        if len(self._data) < at + 4:
            return None
        length = int.from_bytes(self._data[at : at + 4])
        if length < minimum:
            raise self._fault("a message's length is too small to be true")
        if length > self._limit:
            # Of a client it says that it sends too much; of a database, that something else answers in its place.
            code = FaultCode.TOO_LARGE if self._fault is ClientFault else None
            raise self._fault(f"a message of a handshake is longer than {self._limit} bytes", code=code)
        return length

    def _take(self, count: int) -> bytes:
        data = bytes(self._data[:count])
        del self._data[:count]
        return data
