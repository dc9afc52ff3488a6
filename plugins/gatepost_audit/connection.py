"""The recorder's end of a worker's connection: frames in, replies out."""

from __future__ import annotations

import socket

from gatepost_audit import wire

READ = 1 << 18
"""Bytes to read at once, more than a socket holds."""
LARGEST = 1 << 20
"""Bytes of a buffer that is kept for the next frame."""


class Connection:
    """A worker's end, and how many of its frames are not acknowledged."""

    __slots__ = ("buffer", "filled", "socket", "unacknowledged")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.buffer = bytearray(READ)
        self.filled = 0
        self.unacknowledged = 0

    def receive(self) -> list[tuple[int, bytearray]]:
        """Read once. Returns the frames that are whole by now: flags and payload.

        Raises:
            BlockingIOError: there is nothing to read.
            EOFError: the worker has gone.
            OSError: the same.
            ValueError: what it sent is no frame.
        """
        buffer = self.buffer
        if self.filled:
            with memoryview(buffer) as view:
                count = self.socket.recv_into(view[self.filled :])
        else:
            count = self.socket.recv_into(buffer)
        if not count:
            raise EOFError
        return self._frames(self.filled + count)

    def _frames(self, end: int) -> list[tuple[int, bytearray]]:
        buffer = self.buffer
        at, whole = 0, 0
        unpack, header = wire.FRAME.unpack_from, wire.FRAME.size
        taken = []
        while at + header <= end:
            length, flags = unpack(buffer, at)
            if not 0 < length <= wire.MAX_PAYLOAD:
                raise ValueError("no frame")
            whole = header + length
            if at + whole > end:
                break
            at += header
            stop = at + length
            taken.append((flags, buffer[at:stop]))
            at, whole = stop, 0
        self.filled = end - at
        if self.filled and at:
            buffer[: self.filled] = buffer[at:end]
        self._fit(whole)
        return taken

    def _fit(self, whole: int) -> None:
        """Make room for a frame of `whole` bytes, as far as they come, and give back what the last one needed."""
        size = len(self.buffer)
        if self.filled == size:
            self.buffer.extend(bytes(min(whole - size, size)))
        elif size > LARGEST and self.filled < READ:
            del self.buffer[READ:]

    def reply(self, status: int, count: int) -> bool:
        """Whether the worker still takes replies."""
        try:
            return self.socket.send(wire.REPLY.pack(status, count)) == wire.REPLY.size
        except OSError:
            return False

    def part(self) -> bool:
        """Send the last reply. Returns whether the worker is there to take it."""
        try:
            self.socket.send(wire.REPLY.pack(0, 0))
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def discard(self) -> bool:
        """Read and forget. Returns whether the worker is still there."""
        try:
            return bool(self.socket.recv(READ))
        except OSError:
            return False
