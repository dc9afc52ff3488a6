"""What workers and the recorder say to each other on the recorder's Unix socket.

To the recorder, frames: the payload's length (4 bytes, big-endian), flags (1 byte), the payload (a record). From it,
replies: a status (4 bytes, signed: 0, or an errno) and a count (4 bytes) of frames, in the order they were sent, that
are now as durable as they asked for. A reply of status 0 and count 0 opens each connection. Another one says that the
recorder stops, and that the next is to be waited for. After any other status the connection closes, and what was not
counted may or may not have been recorded.

The frames of a connection are either all BULK or none: BULK ones take their time, and replies keep the order.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

FRAME = struct.Struct("!IB")
REPLY = struct.Struct("!iI")
DISK = 1
"""The frame's sender waits until the disk has it; without this, until it is written."""
BULK = 2
"""Compress the payload; nobody waits for it."""
MAX_PAYLOAD = 256 << 20
SOCKET = "recorder.sock"


def frame(payload: bytes, flags: int) -> bytes:
    return FRAME.pack(len(payload), flags) + payload


class Folder:
    """A folder held open: its socket's address, which no length of its path can break (sun_path holds 108 bytes)."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def address(self) -> str:
        return f"/proc/self/fd/{self._file}/{SOCKET}"

    def close(self) -> None:
        os.close(self._file)


def listen(folder: Path) -> socket.socket:
    """A listening socket in `folder`, for this user alone. The caller holds the journal's lock."""
    (folder / SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    place = Folder(folder)
    try:
        listener.bind(place.address)
        (folder / SOCKET).chmod(0o600)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    finally:
        place.close()
    listener.setblocking(False)
    return listener
