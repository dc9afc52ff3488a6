"""Framing: packets of at most 16 MB, each with a length and a sequence number; a message is one packet or several.

Source: MySQL internals manual, "MySQL Packets"; MariaDB Knowledge Base, "0-Packet".
"""

from __future__ import annotations

import struct
from typing import Final

from gatepost.errors import ClientFault, Fault, FaultCode, UpstreamFault

HEADER_BYTES: Final = 4
# A packet of this length is continued by the next one, which may be empty.
LONGEST: Final = 0xFFFFFF
# What stands in the place of a text's length where there is none.
NULL: Final = b"\xfb"

# Length and sequence number in one: length | number << 24.
header: Final = struct.Struct("<I").unpack_from
_pack: Final = struct.Struct("<I").pack


def frame(payload: bytes, number: int) -> bytes:
    """A message as packets, the first of which has this sequence number."""
    if len(payload) < LONGEST:
        return _pack(len(payload) | (number & 0xFF) << 24) + payload
    pieces: list[bytes] = []
    for at in range(0, len(payload) + 1, LONGEST):
        piece = payload[at : at + LONGEST]
        pieces += (_pack(len(piece) | (number & 0xFF) << 24), piece)
        number += 1
    return b"".join(pieces)


def packets_of(length: int) -> int:
    """How many packets a message of this length is made of."""
    return length // LONGEST + 1


def count(data: bytes) -> int:
    """How many whole packets these are."""
    number = at = 0
    while at < len(data):
        at += HEADER_BYTES + (header(data, at)[0] & LONGEST)
        number += 1
    return number


def renumber(data: bytes, number: int) -> bytes:
    """The same whole packets, numbered from `number` on."""
    out = bytearray(data)
    at = 0
    while at < len(out):
        out[at + 3] = number & 0xFF
        number += 1
        at += HEADER_BYTES + (header(out, at)[0] & LONGEST)
    return bytes(out)


class Inbox:
    """What a side has sent and no message has taken yet.

    A message's length is checked as soon as its length field is there, before the rest of it is waited for.

    Args:
        limit: how long one message may be, in bytes.
        fault: what is raised when the side breaks the framing.

    Attributes:
        data: the bytes.
    """

    def __init__(self, limit: int, fault: type[Fault]) -> None:
        self.data = bytearray()
        self._limit = limit
        self._longest = min(limit, LONGEST - 1)
        self._fault = fault
        # While a long message comes: where the first packet begins that was not looked at.
        self._at = 0

    def may_skip(self, data: bytes) -> bool:
        """Whether these bytes need not wait here: they are one whole message in one packet, with sequence number 0."""
        return (
            len(data) > HEADER_BYTES and header(data)[0] == len(data) - HEADER_BYTES <= self._longest and not self.data
        )

    def feed(self, data: bytes) -> None:
        self.data += data

    def drain(self) -> bytes:
        """All that is there."""
        data = bytes(self.data)
        self.data.clear()
        self._at = 0
        return data

    def message(self, number: int) -> bytes | None:
        """The next message, None if it is not whole; its first packet must have this sequence number."""
        data, at = self.data, self._at
        while len(data) - at >= HEADER_BYTES:
            (word,) = header(data, at)
            length = word & LONGEST
            place = at // (HEADER_BYTES + LONGEST)
            if word >> 24 != (number + place) & 0xFF:
                raise self._fault("a packet is out of order")
            if place * LONGEST + length > self._limit:
                # Of a client it says that it sends too much; of a database, that something else answers in its place.
                code = FaultCode.TOO_LARGE if self._fault is ClientFault else None
                raise self._fault(f"a message is longer than {self._limit} bytes", code=code)
            if len(data) - at < HEADER_BYTES + length:
                break
            at += HEADER_BYTES + length
            if length < LONGEST:
                return self._take(at)
            self._at = at
        return None

    def _take(self, end: int) -> bytes:
        data = bytes(self.data[:end])
        del self.data[:end]
        self._at = 0
        return payload(data)


def payload(data: bytes) -> bytes:
    """The message that whole packets hold."""
    if len(data) < HEADER_BYTES + LONGEST:
        return data[HEADER_BYTES:]
    step = HEADER_BYTES + LONGEST
    return b"".join(data[at + HEADER_BYTES : at + step] for at in range(0, len(data), step))


class Reader:
    """Takes a message apart. What goes beyond its end raises the fault of the side that sent it."""

    __slots__ = ("_at", "_data", "_fault")

    def __init__(self, data: bytes, fault: type[Fault] = UpstreamFault) -> None:
        self._data = data
        self._at = 0
        self._fault = fault

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def malformed(self) -> Fault:
        side = "client" if self._fault is ClientFault else "server"
        return self._fault(f"the {side} sent a malformed message")

    def take(self, count: int) -> bytes:
        start = self._at
        if count > len(self._data) - start:
            raise self.malformed()
        self._at = start + count
        return self._data[start : start + count]

    def number(self, size: int) -> int:
        start = self._at
        stop = self._at = start + size
        if stop > len(self._data):
            raise self.malformed()
        return int.from_bytes(self._data[start:stop], "little")

    def rest(self) -> bytes:
        return self.take(self.left)

    def zero_ended(self) -> bytes:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise self.malformed()
        text = self._data[self._at : end]
        self._at = end + 1
        return text

    def counted_number(self) -> int:
        """A number that says by its first byte how long it is."""
        first = self.number(1)
        if first < 0xFB:
            return first
        size = _SIZES.get(first)
        if size is None:
            raise self.malformed()
        return self.number(size)

    def counted(self) -> bytes:
        """A text behind its length."""
        return self.take(self.counted_number())

    def nullable(self) -> bytes | None:
        """A text behind its length, or None for NULL."""
        if self._data[self._at : self._at + 1] != NULL:
            return self.counted()
        self._at += 1
        return None

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise self.malformed()


_SIZES: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}


def counted_number(number: int) -> bytes:
    """A number that says by its first byte how long it is."""
    if number < 0xFB:
        return bytes((number,))
    for first, size in _SIZES.items():
        if number < 1 << 8 * size:
            return bytes((first,)) + number.to_bytes(size, "little")
    raise ValueError("a length does not fit into eight bytes")


def counted(data: bytes) -> bytes:
    """A text behind its length."""
    return counted_number(len(data)) + data
