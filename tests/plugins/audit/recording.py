"""A recorder in a process of its own, and what tests say to it and read of it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from pathlib import Path

from tests.servers import eventually

from gatepost_audit import recorder, records, wire
from gatepost_audit.journal import Journal
from gatepost_audit.keys import load_or_create
from gatepost_audit.segment import PLAIN
from gatepost_audit.store import entries

SEGMENT = 1 << 16
YEAR = 365 * 86400.0
FORK = multiprocessing.get_context("fork")


def event(text: str) -> records.Event:
    return records.Event(1, records.EventKind.GAP, "test", text)


def payload(text: str) -> bytes:
    return records.encode(event(text))


def written(folder: Path) -> list[records.Record]:
    """All records of the journal, in order."""
    return [entry.record() for entry in entries(folder, None)]


def details(folder: Path) -> list[str]:
    """What the test's own events say, in order."""
    return [each.detail for each in written(folder) if isinstance(each, records.Event) and each.who == "test"]


def open_journal(folder: Path, segment_bytes: int = SEGMENT) -> Journal:
    return Journal(folder, load_or_create(folder, ""), segment_bytes)


def write(journal: Journal, *texts: str) -> None:
    journal.write([(PLAIN, payload(text)) for text in texts], sync=True)


def public_keys(folder: Path) -> list[bytes]:
    return [load_or_create(folder, "").public_key().public_bytes_raw()]


class RecorderProcess:
    """The recorder of a folder; `end` it, or `kill` it, and start another."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT) -> None:
        self.folder = folder
        self._process = FORK.Process(target=recorder.main, args=(folder, "", segment_bytes, YEAR, 0.0), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def end(self) -> None:
        """As the supervisor ends it."""
        self._process.terminate()
        self._process.join()
        assert self._process.exitcode == 0

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._process.join()

    def is_alive(self) -> bool:
        return self._process.is_alive()


class Teller:
    """A worker's connection, blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        eventually(self._connect)

    def _connect(self) -> bool:
        place = wire.Folder(self._folder)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        try:
            self.socket.connect(place.address)
            return self.reply() == (0, 0)
        except OSError:
            self.socket.close()
            return False
        finally:
            place.close()

    def reply(self) -> tuple[int, int]:
        """The recorder's next reply. Raises EOFError when it has closed."""
        data = self.socket.recv(wire.REPLY.size, socket.MSG_WAITALL)
        if len(data) < wire.REPLY.size:
            raise EOFError
        return wire.REPLY.unpack(data)

    def tell(self, *texts: str, flags: int = wire.DISK) -> None:
        self.socket.sendall(b"".join(wire.frame(payload(text), flags) for text in texts))

    def await_acknowledged(self, count: int) -> None:
        while count:
            status, acknowledged = self.reply()
            assert status == 0
            count -= acknowledged
            assert count >= 0
