"""Whoever reads the record is on record (PCI DSS 10.2.1.3)."""

from __future__ import annotations

import errno
import getpass
import os
import socket
import time
from pathlib import Path

from gatepost_audit import records, wire
from gatepost_audit.journal import PLAIN, Damage, Journal, find_end, segments
from gatepost_audit.keys import load_or_create

ANSWER_WITHIN = 5.0
"""Seconds that the recorder has."""


def record_access(folder: Path, key: str, segment_bytes: int, detail: str) -> None:
    """Put on record that the person who runs this process reads the record.

    The recorder does it; if none runs, this process does.

    Raises OSError or Damage where that cannot be.
    """
    event = records.encode(records.Event(time.time_ns(), records.EventKind.ACCESS, person(), detail))
    try:
        _tell_recorder(folder, event)
    except (FileNotFoundError, ConnectionRefusedError):
        _append(folder, key, segment_bytes, event)


def person() -> str:
    """The user of this process, by name and number."""
    try:
        return f"{getpass.getuser()} ({os.getuid()})"
    except (KeyError, OSError):
        return str(os.getuid())


def _tell_recorder(folder: Path, event: bytes) -> None:
    place = wire.Folder(folder)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
            connected.settimeout(ANSWER_WITHIN)
            connected.connect(place.address)
            _expect(connected)
            connected.sendall(wire.frame(event, wire.DISK))
            _expect(connected)
    finally:
        place.close()


def _expect(connected: socket.socket) -> None:
    reply = connected.recv(wire.REPLY.size, socket.MSG_WAITALL)
    if len(reply) < wire.REPLY.size:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    status, _ = wire.REPLY.unpack(reply)
    if status:
        raise OSError(status, os.strerror(status))


def _append(folder: Path, key: str, segment_bytes: int, event: bytes) -> None:
    numbers = segments(folder)
    if not numbers:
        return  # there is nothing to read
    _, cut = find_end(folder, numbers[-1])
    if cut is not None:
        # A recovery is the recorder's business; what is there is left as it is until then.
        raise Damage("the journal does not end in a whole entry", cut.segment, cut.offset)
    journal = Journal(folder, load_or_create(folder, key), segment_bytes)
    try:
        journal.write([(PLAIN, event)], sync=True)
    finally:
        journal.close()
