"""The recorder: the one process that writes the journal, for all workers.

A loop over the connections: read all that is there, append it as one group with one write and one fdatasync,
acknowledge. So a group spans sessions and workers. Compression has a thread; the store is fed by a process of its own
(`gatepost_audit.store`).

When the journal cannot be written the workers are told why and let go, and the recorder tries until it can be again.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import socket
import stat
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatepost import FaultCode, PluginFault
from gatepost.state import is_open
from gatepost_audit import records, wire
from gatepost_audit.connection import Connection
from gatepost_audit.journal import Journal, Payload, drop
from gatepost_audit.keys import load_or_create
from gatepost_audit.records import EventKind
from gatepost_audit.segment import PLAIN, ZSTD, Damage, older_than, was_written

log = logging.getLogger(__name__)

LEVEL = 1
WINDOW, TABLE, MATCH = 17, 12, 7
"""Compression with a table that fits the processor's first cache; rows do not repeat in fewer bytes than that."""
WAKES = 4096
RETRY = 0.5
"""Seconds between attempts to open the journal."""
SYNC_AFTER = 0.2
"""Seconds after which even what nobody waits for is put on the disk."""
GRACE = 30.0
"""Seconds that workers have to leave once the recorder is told to stop; then they are handed over to the next one."""
PARTING = 1.0
"""Seconds that workers have to take notice of that."""
LOOK = 1.0
"""Seconds between looks whether the supervisor is still there, and whether anything is due."""
HOUSEKEEPING = 60.0
"""Seconds between checkpoints of a journal that grows slowly, and looks at what is older than the retention."""
CLOCK_STEP = 10 * 10**9
"""Nanoseconds by which the clock is set, rather than kept right."""
DAY = 86400 * 10**9
WHO = "recorder"


class Recorder:
    """See the module.

    Args:
        folder: where the journal and the socket are; it must exist.
        key: signs the checkpoints.
        segment_bytes: the size of a segment.
        retention: seconds after which whole segments are dropped.
        grace: seconds that workers have to leave when it stops.
        configuration: what the gate is configured by, for the record.
    """

    def __init__(
        self,
        folder: Path,
        key: Ed25519PrivateKey,
        segment_bytes: int,
        retention: float,
        grace: float = GRACE,
        configuration: str = "",
    ) -> None:
        self._folder = folder
        self._key = key
        self._segment_bytes = segment_bytes
        self._retention = retention
        self._grace = grace
        self._configuration = configuration
        self._journal: Journal | None = None
        self._error = errno.EAGAIN
        self._closed_since: int | None = None
        self._retry_at = 0.0
        self._stop_at: float | None = None
        self._unsynced_since: float | None = None
        self._housekeeping_at = 0.0
        self._due = 0.0
        self._clock = clock_offset()
        self._holds_back = False
        self._parent = os.getppid()
        self._listener: socket.socket | None = None
        self._connections: dict[int, Connection] = {}
        self._compressor = ThreadPoolExecutor(1, "compress")
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL, window_log=WINDOW, hash_log=TABLE, min_match=MATCH
        )
        self._zstd = zstandard.ZstdCompressor(compression_params=parameters)  # for that one thread alone
        self._compressed: deque[tuple[Connection, bytes]] = deque()
        self._epoll = select.epoll()
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)
        self._epoll.register(self._awake, select.EPOLLIN)

    def stop(self) -> None:
        """Let the workers finish, then return from `run`. A signal handler may call it."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._grace
            self._rouse()

    def make_way(self) -> None:
        """Return from `run` at once: the next recorder begins. A signal handler may call it."""
        self._stop_at = time.monotonic()
        self._rouse()

    def _rouse(self) -> None:
        try:
            self._wake.send(b"\0")
        except BlockingIOError:
            return  # it is going to wake anyway

    def run(self) -> None:
        """Record until stopped, or until the process that started it is gone and its workers have left."""
        try:
            while not self._is_over():
                now = time.monotonic()
                if now >= self._due:
                    self._maintain(now)
                self._turn(self._epoll.poll(max(0.0, self._due - now)))
        finally:
            self._close()

    def _is_over(self) -> bool:
        return self._stop_at is not None and (not self._connections or time.monotonic() >= self._stop_at)

    def _maintain(self, now: float) -> None:
        if self._stop_at is None and os.getppid() != self._parent:
            log.warning("the recorder's supervisor is gone; it stops when the workers have left")
            self.stop()
        self._due = now + LOOK
        if self._journal is None:
            if now >= self._retry_at:
                self._open(now)
            self._due = self._retry_at if self._journal is None else now
            return
        try:
            if self._unsynced_since is not None:
                sync_at = self._unsynced_since + SYNC_AFTER
                if now >= sync_at:
                    self._journal.sync()
                    self._unsynced_since = None
                else:
                    self._due = sync_at
            self._watch_clock(self._journal)
            if now >= self._housekeeping_at:
                self._housekeeping_at = now + HOUSEKEEPING
                self._journal.checkpoint()
                self._retain(self._journal)
        except OSError as error:
            self._fail(error)

    def _watch_clock(self, journal: Journal) -> None:
        """All times on record, and the retention, go by a clock that can be set (PCI DSS 10.6)."""
        offset = clock_offset()
        step, self._clock = offset - self._clock, offset
        if abs(step) >= CLOCK_STEP:
            detail = f"the clock was set {'forward' if step > 0 else 'back'} by {abs(step) / 1e9:.0f} seconds"
            self._note(journal, EventKind.CLOCK, detail)
            log.warning("%s", detail)

    def _retain(self, journal: Journal) -> None:
        """Drop what is older than the retention, unless it may be so only because the clock is wrong.

        A clock that was set to another year has no record of the days before. One that was wrong for days would have
        been noticed; a gate that was off for so long has a day to notice it. A day more is kept, in which each session
        that goes on has told who it is (`records.SessionStart`).
        """
        now = time.time_ns()
        try:
            dropped = older_than(self._folder, now - int(self._retention * 1e9) - DAY)
            if dropped is None:
                return
            holds_back = not was_written(self._folder, now - 7 * DAY, now - DAY)
        except Damage as damage:
            log.error("nothing is dropped from the record, for the journal is not what was written: %s", damage)
            return
        if not holds_back:
            journal.write([(PLAIN, records.encode(dropped))], sync=True)
            drop(self._folder, dropped)
        elif not self._holds_back:
            log.warning("nothing is dropped from the record for a day, as it has none of the last week: see the clock")
        self._holds_back = holds_back

    def _open(self, now: float) -> None:
        try:
            journal = Journal(self._folder, self._key, self._segment_bytes)
        except BlockingIOError:
            self._retry_at = now + RETRY
            self._error = errno.EAGAIN
            return
        except OSError as error:
            self._stay_closed(now, error.errno or errno.EIO, error.strerror or str(error))
            return
        except Damage as damage:
            self._stay_closed(now, errno.EIO, f"it is not what was written: {damage}")
            return
        self._journal = journal
        try:
            self._tell_how_it_opened(journal)
            if self._listener is None:
                self._listener = wire.listen(self._folder)
                self._epoll.register(self._listener, select.EPOLLIN)
        except OSError as error:
            self._fail(error)

    def _stay_closed(self, now: float, error: int, problem: str) -> None:
        self._retry_at = now + RETRY
        self._error = error
        if self._closed_since is None:
            self._closed_since = time.time_ns()
            log.error("the journal cannot be opened: %s", problem)

    def _tell_how_it_opened(self, journal: Journal) -> None:
        if self._listener is None:
            self._note(
                journal, EventKind.START, ", ".join(filter(None, (f"process {os.getpid()}", self._configuration)))
            )
        if journal.cut is not None:
            cut = journal.cut
            self._note(
                journal,
                EventKind.RECOVERED,
                f"segment {cut.segment} ends at byte {cut.offset}; {cut.length} bytes behind it are no whole entry",
            )
        if self._closed_since is not None:
            since = datetime.fromtimestamp(self._closed_since / 1e9, UTC).isoformat(timespec="milliseconds")
            self._note(journal, EventKind.GAP, f"nothing could be recorded since {since}: {os.strerror(self._error)}")
            log.warning("the journal can be written again")
        self._closed_since = None

    def _note(self, journal: Journal, kind: EventKind, detail: str) -> None:
        event = records.Event(time.time_ns(), kind, WHO, detail)
        journal.write([(PLAIN, records.encode(event))], sync=True)

    def _turn(self, events: list[tuple[int, int]]) -> None:
        group: list[tuple[int, Payload]] = []
        wanted = 0
        for file, _ in events:
            connection = self._connections.get(file)
            if connection is not None:
                wanted |= self._receive(connection, group)
            elif file == self._awake.fileno():
                self._awake.recv(WAKES)
            else:
                self._accept()
        while self._compressed:
            connection, payload = self._compressed.popleft()
            connection.unacknowledged += 1
            group.append((ZSTD, payload))
        if group:
            self._commit(group, sync=bool(wanted & wire.DISK))

    def _receive(self, connection: Connection, group: list[tuple[int, Payload]]) -> int:
        """Read what a worker sent into `group`, or pass it on to be compressed. Returns the flags of all together."""
        try:
            frames = connection.receive()
        except BlockingIOError:
            return 0
        except (OSError, EOFError, ValueError):
            self._drop(connection)
            return 0
        if frames and frames[0][0] & wire.BULK:
            self._compressor.submit(self._compress, connection, [payload for _, payload in frames])
            return 0
        wanted = 0
        for flags, payload in frames:
            wanted |= flags
            group.append((PLAIN, payload))
        connection.unacknowledged += len(frames)
        return wanted

    def _compress(self, connection: Connection, payloads: list[bytearray]) -> None:
        for payload in payloads:
            self._compressed.append((connection, self._zstd.compress(payload)))
            if len(self._compressed) == 1:  # else the loop has been roused for the one before
                self._rouse()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connected, _ = self._listener.accept()
        except OSError as error:
            log.warning("a worker could not be accepted: %s", error)
            return
        connected.setblocking(False)
        connection = Connection(connected)
        status = 0 if self._journal is not None else self._error
        if connection.reply(status, 0) and not status:
            self._connections[connected.fileno()] = connection
            self._epoll.register(connected, select.EPOLLIN)
        else:
            connected.close()

    def _drop(self, connection: Connection) -> None:
        del self._connections[connection.socket.fileno()]
        self._epoll.unregister(connection.socket)
        connection.socket.close()

    def _commit(self, group: list[tuple[int, Payload]], *, sync: bool) -> None:
        if self._journal is None:
            return
        try:
            self._journal.write(group, sync=sync)
        except OSError as error:
            self._fail(error)
            return
        if sync:
            self._unsynced_since = None
        elif self._unsynced_since is None:
            self._unsynced_since = time.monotonic()
            self._due = min(self._due, self._unsynced_since + SYNC_AFTER)
        for connection in list(self._connections.values()):
            if connection.unacknowledged:
                if not connection.reply(0, connection.unacknowledged):
                    self._drop(connection)
                connection.unacknowledged = 0

    def _fail(self, error: OSError) -> None:
        """The journal cannot be written: say so, let all workers go, and open it anew later."""
        self._error = error.errno or errno.EIO
        self._closed_since = time.time_ns()
        self._retry_at = self._due = time.monotonic() + RETRY
        self._unsynced_since = None
        log.error("the journal cannot be written: %s", error.strerror or error)
        if self._journal is not None:
            self._journal.abandon()
            self._journal = None
        for connection in list(self._connections.values()):
            connection.reply(self._error, 0)
            self._drop(connection)

    def _hand_over(self) -> None:
        """Tell the workers to wait for the next recorder. What they still send is not taken; it will be sent again."""
        self._epoll.unregister(self._awake)
        for each in list(self._connections.values()):
            if not each.part():
                self._drop(each)
        deadline = time.monotonic() + PARTING
        while self._connections and time.monotonic() < deadline:
            for file, _ in self._epoll.poll(PARTING):
                connection = self._connections.get(file)
                if connection is not None and not connection.discard():
                    self._drop(connection)
        for each in list(self._connections.values()):
            self._drop(each)

    def _close(self) -> None:
        if self._listener is not None:
            (self._folder / wire.SOCKET).unlink(missing_ok=True)
            self._listener.close()
        self._hand_over()
        self._compressor.shutdown(cancel_futures=True)
        if self._journal is not None:
            try:
                self._note(self._journal, EventKind.STOP, f"process {os.getpid()}")
            finally:
                self._journal.close()
        self._epoll.close()
        self._awake.close()
        self._wake.close()


def clock_offset() -> int:
    """What the clock shows at the machine's start, in Unix nanoseconds; it changes when the clock is set."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def main(
    folder: Path, key: str, segment_bytes: int, retention: float, grace: float = GRACE, configuration: str = ""
) -> None:
    """The recorder's process. For `key` see `gatepost_audit.keys`, for the rest `Recorder`.

    Raises ConfigFault or PluginFault where the key cannot be used.
    """
    os.umask(0o077)
    try:
        signs = load_or_create(folder, key)
    except OSError as error:
        raise PluginFault(
            f"the key that signs the record cannot be used: {error}",
            code=FaultCode.RECORD,
            hint=f"Put it back. If it is lost, move {folder} elsewhere: a new record begins, with a new key.",
        ) from error
    if key and is_open(Path(key), stat.S_IROTH):
        log.warning("every user of this system can read %s, the key that signs the record", key)
    recorder = Recorder(folder, signs, segment_bytes, retention, grace, configuration)
    signal.signal(signal.SIGTERM, lambda *_: recorder.stop())
    signal.signal(signal.SIGHUP, lambda *_: recorder.make_way())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the supervisor, who stops the workers first
    recorder.run()
