"""The journal: what cannot be changed afterwards without being found out.

A folder of segment files `000000000001.journal`, `000000000002.journal`, …, each written full of zeros beforehand. All
numbers are big-endian. A segment begins with a header of 96 bytes:

    offset  size
         0     8  "GPJRNL", 0, version 1
         8     8  the segment's number, counting from 1
        16     8  the sequence number of its first entry
        24     8  when it was begun, Unix nanoseconds
        32    32  the head of the chain before it (zeros in segment 1)
        64    32  SHA-256 of bytes 0 to 63: the head of the chain from here on

Entries follow without gaps:

         0     4  n, the length of the payload; 0 ends the segment, and all that follows is zero
         4     8  the sequence number, counting from 1 over all segments
        12     1  0: the payload is a record; 1: it is a record compressed with zstd
        13     n  the payload (see `gatepost_audit.records`)
      13+n    32  SHA-256 of (the head before this entry, bytes 0 to 13+n-1): the new head

A checkpoint is an entry whose record is the MessagePack array [8, time, key, signature]: an Ed25519 signature of the
bytes "gatepost journal checkpoint 1", 0, the entry's sequence number (8 bytes), the head before the entry (32 bytes),
time (8 bytes); `key` is the raw public key. One is written every `CHECKPOINT_EVERY` entries, at least once a minute, at
the end of a segment, and when the recorder stops.

After a crash the last segment may end in bytes that are no whole entry. They are never overwritten: the journal goes on
in a new segment, whose first entry is [7, time, segment, offset, length, digest] and says where the one before it ends
and what stands there (`gatepost_audit.records.Cut`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from gatepost_audit import records

MAGIC = b"GPJRNL\0\1"
HEADER = struct.Struct("!8sQQQ32s32s")
ENTRY = struct.Struct("!IQB")
DIGEST = 32
PLAIN, ZSTD = 0, 1
CHECKPOINT_EVERY = 4096
CHECKPOINT_ROOM = 256
"""Bytes kept free at the end of a segment for its last checkpoint."""
SUFFIX = ".journal"
SPARE = "spare"
LOCK = "lock"
BLOCK = 1 << 20

T = TypeVar("T")
Payload: TypeAlias = bytes | bytearray


class Place(Struct, frozen=True):
    """Where a reader stands: the offset of the next entry, its sequence number, and the head before it."""

    segment: int
    offset: int
    sequence: int
    head: bytes


class Entry(Struct, frozen=True):
    """An entry, where it stands, and the chain's head with it."""

    place: Place
    encoding: int
    payload: bytes
    head: bytes

    @property
    def next(self) -> Place:
        place = self.place
        end = place.offset + ENTRY.size + len(self.payload) + DIGEST
        return Place(place.segment, end, place.sequence + 1, self.head)

    def record(self) -> records.Record:
        """Raises Damage where the payload is no record."""
        return self._decoded(records.decode)

    def outline(self) -> records.Outline:
        """The record as far as the store looks into it. Raises Damage where the payload is no record."""
        return self._decoded(records.outline)

    def _decoded(self, decode: Callable[[bytes], T]) -> T:
        try:
            return decode(unpack(self.encoding, self.payload))
        except (ValueError, zstandard.ZstdError) as error:
            message = f"entry {self.place.sequence} holds no record"
            raise Damage(message, self.place.segment, self.place.offset) from error


class Damage(Exception):
    """The journal is not what was written.

    Args:
        message: what is wrong.
        segment, offset: the first byte of the header or entry that it is wrong with.
    """

    def __init__(self, message: str, segment: int, offset: int) -> None:
        super().__init__(f"{message} (segment {segment}, byte {offset})")
        self.segment = segment
        self.offset = offset


class JournalFull(OSError):
    """There is no room for another segment; what was written before stands."""


def unpack(encoding: int, payload: bytes) -> bytes:
    if encoding == ZSTD:
        return zstandard.ZstdDecompressor().decompress(payload)
    return payload


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:012d}{SUFFIX}"


def segments(folder: Path) -> list[int]:
    """The numbers of the segments that are there, in order."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def signed_bytes(sequence: int, head: bytes, when: int) -> bytes:
    return b"gatepost journal checkpoint 1\0" + sequence.to_bytes(8) + head + when.to_bytes(8)


def check_signature(checkpoint: records.Checkpoint, sequence: int, head: bytes, key: bytes) -> bool:
    """Whether `checkpoint` is `key`'s signature of the head before entry `sequence`."""
    if checkpoint.key != key:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(
            checkpoint.signature, signed_bytes(sequence, head, checkpoint.time)
        )
    except InvalidSignature:
        return False
    return True


class Segment:
    """One segment file, for reading. Raises Damage if its header is not one."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self._file = os.open(segment_path(folder, number), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        header = os.pread(self._file, HEADER.size, 0)
        if len(header) < HEADER.size:
            raise Damage("the segment is shorter than its header", self.number, 0)
        magic, number, sequence, self.created, self.previous, head = HEADER.unpack(header)
        if magic != MAGIC or number != self.number or hashlib.sha256(header[:-DIGEST]).digest() != head:
            raise Damage("the segment's header was changed", self.number, 0)
        self.start = Place(self.number, HEADER.size, sequence, head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._file)

    def entries(self, place: Place) -> Iterator[Entry]:
        """The entries from `place` on. Raises Damage where what stands there is no whole entry."""
        number, offset, sequence, head = place.segment, place.offset, place.sequence, place.head
        size = os.fstat(self._file).st_size
        unpack, sha256 = ENTRY.unpack_from, hashlib.sha256
        buffer, at = b"", 0
        while True:
            if at + ENTRY.size > len(buffer):
                buffer, at = os.pread(self._file, BLOCK, offset), 0
            if at + ENTRY.size > len(buffer):
                if any(buffer):
                    raise Damage(f"entry {sequence} is cut off", number, offset)
                return
            length, numbered, encoding = unpack(buffer, at)
            if length == 0:
                if any(buffer[at : at + ENTRY.size]):
                    raise Damage(f"entry {sequence} has no length", number, offset)
                return
            if numbered != sequence or encoding not in (PLAIN, ZSTD):
                raise Damage(f"entry {sequence} was changed", number, offset)
            whole = ENTRY.size + length + DIGEST
            if at + whole > len(buffer):
                if offset + whole > size:
                    raise Damage(f"entry {sequence} is longer than its segment", number, offset)
                buffer, at = os.pread(self._file, max(whole, BLOCK), offset), 0
            data = buffer[at : at + whole - DIGEST]
            digest = sha256(head + data).digest()
            if digest != buffer[at + whole - DIGEST : at + whole]:
                raise Damage(f"entry {sequence} was changed", number, offset)
            yield Entry(Place(number, offset, sequence, head), encoding, data[ENTRY.size :], digest)
            at, offset, sequence, head = at + whole, offset + whole, sequence + 1, digest

    def entry(self, offset: int, sequence: int) -> Entry | None:
        """The entry at `offset`, which the head before it precedes; None if there is none. Raises Damage."""
        head = os.pread(self._file, DIGEST, offset - DIGEST)
        return next(self.entries(Place(self.number, offset, sequence, head)), None)

    def has_successor(self, place: Place) -> bool:
        """Whether the entry after the one at `place` stands where the length of that one says.

        A write that was cut off leaves none: then the entry at `place` was changed after it was written.
        """
        length, _, _ = ENTRY.unpack(os.pread(self._file, ENTRY.size, place.offset))
        header = os.pread(self._file, ENTRY.size, place.offset + ENTRY.size + length + DIGEST)
        return len(header) == ENTRY.size and ENTRY.unpack(header)[1] == place.sequence + 1

    def remainder(self, offset: int) -> tuple[int, bytes]:
        """What stands from `offset` up to the last byte that is not zero: its length and SHA-256."""
        digest, pending, length = hashlib.sha256(), 0, 0
        while block := os.pread(self._file, BLOCK, offset):
            offset += len(block)
            kept = block.rstrip(b"\0")
            if kept:
                for _ in range(pending // BLOCK):
                    digest.update(bytes(BLOCK))
                digest.update(bytes(pending % BLOCK))
                digest.update(kept)
                length += pending + len(kept)
                pending = 0
            pending += len(block) - len(kept)
        return length, digest.digest()


def open_segment(folder: Path, number: int) -> Segment | None:
    """A segment that was there; None if the retention has dropped it since. Raises Damage if it is missing."""
    try:
        return Segment(folder, number)
    except FileNotFoundError:
        if segments(folder)[:1] > [number]:  # the oldest go first, and never all
            return None
        raise Damage(f"segment {number} is missing", number, 0) from None


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
            raise JournalFull(error.errno, "no new segment could be made") from error

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


def find_end(folder: Path, number: int) -> tuple[Place, records.Cut | None]:
    """Where the entries of the last segment end, and what stands behind them if that is not zeros.

    Raises Damage where the header is none.
    """
    with Segment(folder, number) as segment:
        place = segment.start
        try:
            for entry in segment.entries(place):
                place = entry.next
        except Damage:
            pass
        length, digest = segment.remainder(place.offset)
    if not length:
        return place, None
    return place, records.Cut(time.time_ns(), number, place.offset, length, digest)


def older_than(folder: Path, time_ns: int) -> records.Dropped | None:
    """The segments whose entries are all older, to be recorded before `drop` removes them; None if there are none."""
    numbers = segments(folder)
    last, head = 0, b""
    for number, following in pairwise(numbers):
        with Segment(folder, following) as segment:
            if segment.created >= time_ns:
                break
            last, head = number, segment.previous
    return records.Dropped(time.time_ns(), numbers[0], last, head) if last else None


def drop(folder: Path, dropped: records.Dropped) -> None:
    """Remove segments, the oldest first."""
    for number in range(dropped.first, dropped.last + 1):
        segment_path(folder, number).unlink()
    sync_folder(folder)


def is_being_written(folder: Path) -> bool:
    """Whether a process has the journal open for writing."""
    lock = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def make_zeros(path: Path, size: int) -> None:
    """A file of zeros that are on the disk (fallocate alone would leave the file system work to do at each write)."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        zeros = memoryview(bytes(BLOCK))
        while size:
            size -= os.write(file, zeros[: min(size, BLOCK)])
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
