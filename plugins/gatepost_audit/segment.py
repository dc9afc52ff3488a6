"""The journal as it stands on the disk: what cannot be changed afterwards without being found out.

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
time (8 bytes); `key` is the raw public key. One is written every 4,096 entries, at least once a minute, at
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
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Self, TypeVar

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from gatepost_audit import records

MAGIC = b"GPJRNL\0\1"
HEADER = struct.Struct("!8sQQQ32s32s")
ENTRY = struct.Struct("!IQB")
DIGEST = 32
PLAIN, ZSTD = 0, 1
SUFFIX = ".journal"
LOCK = "lock"
BLOCK = 1 << 20

T = TypeVar("T")


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


def unpack(encoding: int, payload: bytes) -> bytes:
    if encoding == ZSTD:
        return zstandard.ZstdDecompressor().decompress(payload)
    return payload


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:012d}{SUFFIX}"


def segments(folder: Path) -> list[int]:
    """The numbers of the segments that are there, in order."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def signed_bytes(sequence: int, head: bytes, when: int) -> bytes:
    return b"gatepost journal checkpoint 1\0" + sequence.to_bytes(8) + head + when.to_bytes(8)


def check_signature(checkpoint: records.Checkpoint, sequence: int, head: bytes) -> bool:
    """Whether `checkpoint` is a signature, by the key that it names, of the head before entry `sequence`."""
    try:
        Ed25519PublicKey.from_public_bytes(checkpoint.key).verify(
            checkpoint.signature, signed_bytes(sequence, head, checkpoint.time)
        )
    except (InvalidSignature, ValueError):
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

    def head_before(self, offset: int) -> bytes:
        """The head that stands before `offset`, where an entry begins."""
        return os.pread(self._file, DIGEST, offset - DIGEST)

    def entry(self, offset: int, sequence: int) -> Entry | None:
        """The entry at `offset`, which the head before it precedes; None if there is none. Raises Damage."""
        return next(self.entries(Place(self.number, offset, sequence, self.head_before(offset))), None)

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


def was_written(folder: Path, since: int, until: int) -> bool:
    """Whether the latest that was written before `until` was written after `since`, in Unix nanoseconds.

    Checkpoints tell it, and the beginnings of segments.

    Raises Damage where a header is none.
    """
    for number in reversed(segments(folder)):
        with Segment(folder, number) as segment:
            if segment.created >= until:
                continue
            if segment.created >= since:
                return True
            return any(since <= when < until for when in _signings(segment))
    return False


def _signings(segment: Segment) -> Iterator[int]:
    """When the checkpoints of a segment were signed, up to where it was damaged."""
    try:
        for entry in segment.entries(segment.start):
            if entry.encoding == PLAIN and entry.payload.startswith(records.CHECKPOINT):
                yield entry.outline().time
    except Damage:
        return


def is_being_written(folder: Path) -> bool:
    """Whether a process has the journal open for writing."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
