"""What a command puts on record: who reads the record (PCI DSS 10.2.1.3), who changes credentials (10.2.1.5)."""

from __future__ import annotations

import errno
import os
import pwd
import socket
import time
from pathlib import Path
from typing import Final

from gatepost import Change
from gatepost_audit import records, wire
from gatepost_audit.journal import Journal
from gatepost_audit.keys import load_or_create
from gatepost_audit.segment import PLAIN, Damage, find_end, segments

ANSWER_WITHIN = 5.0
"""Seconds that the recorder has, and another process that has the journal open."""
RETRY_AFTER = 0.05
_LOGIN: Final = Path("/proc/self/loginuid")
_NO_LOGIN: Final = 2**32 - 1


def record_access(folder: Path, key: str, segment_bytes: int, detail: str) -> None:
    """Put on record that the person who runs this process reads the record, if there is one.

    The recorder does it; if none runs, this process does.

    Raises OSError or Damage where that cannot be.
    """
    event = records.Event(time.time_ns(), records.EventKind.ACCESS, person(), detail)
    _record(folder, key, segment_bytes, event, begins=False)


def record_change(folder: Path, key: str, segment_bytes: int, change: Change) -> None:
    """Put on record what the person who runs this process is about to change. Its texts are as they may rest.

    Raises OSError or Damage where that cannot be.
    """
    changed = records.Changed(time.time_ns(), person(), change.action, change.name, change.detail, change.is_done)
    _record(folder, key, segment_bytes, changed, begins=True)


def person() -> str:
    """The user of this process, by name and number, and the one who logged in where that is another (sudo)."""
    user = _user(os.getuid())
    try:
        login = int(_LOGIN.read_text("ascii"))
    except (OSError, ValueError):
        return user
    return user if login in (os.getuid(), _NO_LOGIN) else f"{user}, logged in as {_user(login)}"


def _user(number: int) -> str:
    """By the system's list of users: the environment says what whoever runs the command wants it to."""
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return str(number)


def _record(folder: Path, key: str, segment_bytes: int, record: records.Record, *, begins: bool) -> None:
    """Have a record written; where there is no journal, begin one or let it be."""
    payload = records.encode(record)
    deadline = time.monotonic() + ANSWER_WITHIN
    while True:
        try:
            _tell_recorder(folder, payload)
            return
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        try:
            _append(folder, key, segment_bytes, payload, begins=begins)
            return
        except BlockingIOError:
            # A recorder that starts or stops has the journal open, or another command.
            if time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_AFTER)


def _tell_recorder(folder: Path, payload: bytes) -> None:
    place = wire.Folder(folder)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
            connected.settimeout(ANSWER_WITHIN)
            connected.connect(place.address)
            _expect(connected)
            connected.sendall(wire.frame(payload, wire.DISK))
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


def _append(folder: Path, key: str, segment_bytes: int, payload: bytes, *, begins: bool) -> None:
    numbers = segments(folder)
    if not numbers and not begins:
        return
    cut = find_end(folder, numbers[-1])[1] if numbers else None
    if cut is not None:
        # A recovery is the recorder's business; what is there is left as it is until then.
        raise Damage("the journal does not end in a whole entry", cut.segment, cut.offset)
    journal = Journal(folder, load_or_create(folder, key), segment_bytes)
    try:
        journal.write([(PLAIN, payload)], sync=True)
    finally:
        journal.close()
