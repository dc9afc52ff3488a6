"""Writing the journal, whose form is that of `gatepost_audit.segment`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatepost_audit import records
from gatepost_audit.segment import (
    DIGEST,
    ENTRY,
    HEADER,
    LOCK,
    MAGIC,
    PLAIN,
    Place,
    find_end,
    segment_path,
    segments,
    signed_bytes,
)

CHECKPOINT_EVERY = 4096
CHECKPOINT_ROOM = 256
"""Bytes kept free at the end of a segment for its last checkpoint."""
SPARE = "spare"
BLOCK = 1 << 20

Payload: TypeAlias = bytes | bytearray


class JournalFull(OSError):
    """There is no room for another segment; what was written before stands."""


class Journal:
    """The journal, for writing, by one process at a time.

    Opening it finds the end of what was written, and carries on behind it.

    Args:
        folder: where the segments are; it must exist.
        key: signs the checkpoints.
        segment_bytes: the size of a segment.

    Raises:
        BlockingIOError: another process has it open.
        JournalFull: no segment could be made.
        OSError: it cannot be read or written.
    """

    def __init__(self, folder: Path, key: Ed25519PrivateKey, segment_bytes: int) -> None:
        self._folder = folder
        self._key = key
        self._public = key.public_key().public_bytes_raw()
        self._segment_bytes = segment_bytes
        self._file = -1
        self._maker = ThreadPoolExecutor(1, "segment")
        self._spare: Future[None] | None = None
        self._since_checkpoint = 0
        self._synced = True
        self.cut: records.Cut | None = None
        """What opening had to cut off, if anything."""
        self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._open()
        except BaseException:
            self._release()
            raise

    def _open(self) -> None:
        numbers = segments(self._folder)
        if not numbers:
            self._place = Place(0, 0, 1, bytes(DIGEST))
            self._begin_segment(0)
            return
        end, cut = find_end(self._folder, numbers[-1])
        self._place, self.cut = end, cut
        if cut is not None:
            self._begin_segment(0)
            self._append(PLAIN, records.encode(cut))
            self.sync()
            return
        path = segment_path(self._folder, end.segment)
        self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._size = path.stat().st_size
        spare = self._prepare_spare()
        if self._size - end.offset < self._segment_bytes // 16:
            self._wait_for(spare)

    @property
    def place(self) -> Place:
        """Where the next entry will stand."""
        return self._place

    def write(self, entries: Iterable[tuple[int, Payload]], *, sync: bool) -> None:
        """Append payloads with their encodings, as one group: one write, and one fdatasync if `sync`.

        Raises:
            JournalFull: some may be written, and the journal can go on when there is room.
            OSError: it is not known what is written; close the journal, and open it again.
        """
        block: list[Payload] = []
        _, offset, sequence, head = self._fields()
        limit = self._size - CHECKPOINT_ROOM
        sha256, header = hashlib.sha256, ENTRY.pack
        for encoding, payload in entries:
            end = offset + ENTRY.size + len(payload) + DIGEST
            if end > limit:
                self._put(block, Place(self._place.segment, offset, sequence, head))
                block.clear()
                self._begin_segment(len(payload))
                _, offset, sequence, head = self._fields()
                limit = self._size - CHECKPOINT_ROOM
                end = offset + ENTRY.size + len(payload) + DIGEST
            begin = header(len(payload), sequence, encoding)
            digest = sha256(head + begin)
            digest.update(payload)
            head = digest.digest()
            block += (begin, payload, head)
            offset, sequence = end, sequence + 1
        self._put(block, Place(self._place.segment, offset, sequence, head))
        if self._since_checkpoint >= CHECKPOINT_EVERY:
            self.checkpoint()
        if sync:
            self.sync()

    def _fields(self) -> tuple[int, int, int, bytes]:
        place = self._place
        return place.segment, place.offset, place.sequence, place.head

    def _put(self, block: list[Payload], end: Place) -> None:
        data = b"".join(block)
        offset = self._place.offset
        while data:
            self._synced = False
            written = os.pwrite(self._file, data, offset)
            data, offset = data[written:], offset + written
        self._since_checkpoint += end.sequence - self._place.sequence
        self._place = end

    def _append(self, encoding: int, payload: bytes) -> None:
        place = self._place
        data = ENTRY.pack(len(payload), place.sequence, encoding) + payload
        head = hashlib.sha256(place.head + data).digest()
        end = place.offset + len(data) + DIGEST
        self._put([data, head], Place(place.segment, end, place.sequence + 1, head))

    def sync(self) -> None:
        """All that was written is on the disk. Raises OSError."""
        if not self._synced:
            os.fdatasync(self._file)
            self._synced = True

    def checkpoint(self) -> None:
        """Append a signature of the chain so far, if anything was appended since the last one. Raises OSError."""
        if self._since_checkpoint:
            self._sign()

    def _sign(self) -> None:
        when = time.time_ns()
        signature = self._key.sign(signed_bytes(self._place.sequence, self._place.head, when))
        self._append(PLAIN, records.encode(records.Checkpoint(when, self._public, signature)))
        self._since_checkpoint = 0

    def _begin_segment(self, payload: int) -> None:
        """Go on in a new segment that can hold an entry of `payload` bytes."""
        needed = HEADER.size + ENTRY.size + payload + DIGEST + CHECKPOINT_ROOM
        size = max(self._segment_bytes, needed)
        spare = self._folder / SPARE
        if size == self._segment_bytes:
            self._wait_for(self._prepare_spare())
        else:
            wait([self._prepare_spare()])
            self._wait_for(self._maker.submit(make_zeros, spare, size))
        if self._file >= 0:
            self.checkpoint()
            self.sync()
        number = self._place.segment + 1
        fields = HEADER.pack(MAGIC, number, self._place.sequence, time.time_ns(), self._place.head, b"")[:-DIGEST]
        head = hashlib.sha256(fields).digest()
        file = os.open(spare, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(file, fields + head, 0)
            os.fsync(file)
            spare.rename(segment_path(self._folder, number))
            sync_folder(self._folder)
        except BaseException:
            os.close(file)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = file, size
        self._place = Place(number, HEADER.size, self._place.sequence, head)
        self._synced = True
        self._spare = None
        self._prepare_spare()

    def _prepare_spare(self) -> Future[None]:
        if self._spare is None:
            self._spare = self._maker.submit(make_zeros, self._folder / SPARE, self._segment_bytes)
        return self._spare

    def _wait_for(self, spare: Future[None]) -> None:
        try:
            spare.result()
        except OSError as error:
            self._spare = None
            size = f"{self._segment_bytes / 2**20:.0f} MB"
            message = f"no new segment of {size} could be made ({os.strerror(error.errno or 0)})"
            raise JournalFull(error.errno, message) from error

    def close(self) -> None:
        """Sign and sync what was written, and let others open it. Raises OSError; it is closed even then."""
        try:
            self.checkpoint()
            self.sync()
        finally:
            self._release()

    def abandon(self) -> None:
        """Close it without writing: what it holds will be found when it is opened again."""
        self._release()

    def _release(self) -> None:
        self._maker.shutdown()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        os.close(self._lock)


def drop(folder: Path, dropped: records.Dropped) -> None:
    """Remove segments, the oldest first."""
    for number in range(dropped.first, dropped.last + 1):
        segment_path(folder, number).unlink()
    sync_folder(folder)


def make_zeros(path: Path, size: int) -> None:
    """A file of zeros that are on the disk (fallocate alone would leave the file system work to do at each write)."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        zeros = memoryview(bytes(BLOCK))
        while size:
            size -= os.write(file, zeros[: min(size, BLOCK)])
        os.fsync(file)
    except OSError:
        path.unlink(missing_ok=True)  # a part of it is of no use, and takes the last room from others
        raise
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
