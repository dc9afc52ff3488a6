"""Verification: is the journal what was written, and does the store agree with it?"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from gatepost_audit import records
from gatepost_audit.segment import DIGEST, Damage, Entry, Place, Segment, check_signature, is_being_written, segments
from gatepost_audit.store import FILE, TABLES, Store

SET_BACK = 10**9
"""Nanoseconds from which it is told that the clock went back; less is what keeping it right takes."""
RETRIES = 100
RETRY_AFTER = 0.02
"""Seconds in which a writer will have finished its write."""


class Report(Struct, kw_only=True):
    """What was found sound.

    Attributes:
        segments, entries, checkpoints: how many there are.
        since: when the first segment was begun, Unix nanoseconds.
        end: behind the last entry; its head is what to keep elsewhere.
        unsigned: entries behind the last checkpoint.
        notes: what a reader should know though it is no damage.
    """

    segments: int = 0
    entries: int = 0
    checkpoints: int = 0
    since: int = 0
    end: Place | None = None
    unsigned: int = 0
    notes: list[str] = []


def verify(folder: Path, keys: Collection[bytes], heads: Collection[tuple[int, bytes]] = ()) -> Report:
    """Read the whole journal.

    Args:
        folder: where it is.
        keys: the public keys, one of which each checkpoint must be signed with.
        heads: sequence numbers of entries, and what was the head of the chain there.

    Raises Damage, which says where it is not what was written, or OSError where it cannot be read.
    """
    while True:
        oldest = segments(folder)[:1]
        try:
            return _Verification(folder, keys, heads).run()
        except FileNotFoundError:
            if segments(folder)[:1] == oldest:
                raise
            # The retention has dropped what was to be read.


class _Verification:
    def __init__(self, folder: Path, keys: Collection[bytes], heads: Collection[tuple[int, bytes]]) -> None:
        self._folder = folder
        self._keys = keys
        self._unmet = set(heads)
        self._places: dict[int, tuple[int, int] | None] = dict.fromkeys(sequence for sequence, _ in heads)
        self._signed_at = 0
        self._report = Report()
        self._end = Place(0, 0, 1, bytes(DIGEST))
        self._dropped: list[records.Dropped] = []
        self._cut: records.Cut | None = None

    def run(self) -> Report:
        numbers = segments(self._folder)
        if not numbers:
            raise Damage("there is no journal", 1, 0)
        for before, number in pairwise(numbers):
            if number != before + 1:
                raise Damage(f"segment {before + 1} is missing", before + 1, 0)
        for number in numbers:
            with Segment(self._folder, number) as segment:
                self._follow(segment)
                self._read(segment, is_last=number == numbers[-1])
        if numbers[0] > 1 and not any(each.first < numbers[0] <= each.last + 1 for each in self._dropped):
            raise Damage(f"segments before {numbers[0]} are missing, and no record says that they were dropped", 1, 0)
        self._report.end = self._end
        self._look_for_heads()
        return self._report

    def _meet(self, sequence: int, *heads: bytes) -> None:
        """These are the heads of the chain at an entry: its own, and that with the header of a segment behind it."""
        self._unmet.difference_update((sequence, head) for head in heads)

    def _look_for_heads(self) -> None:
        end = self._end
        for sequence, _ in sorted(self._unmet):
            if sequence >= end.sequence:
                raise Damage(f"the journal ends before entry {sequence}, whose head was kept", end.segment, end.offset)
            if place := self._places[sequence]:
                raise Damage(f"entry {sequence} is not the one whose head was kept", *place)
            self._report.notes.append(f"Entry {sequence}, whose head was kept, is one of those that were dropped.")

    def _follow(self, segment: Segment) -> None:
        """Go on from the segment before this one."""
        if not self._report.segments:
            self._report.since = segment.created
        elif (segment.previous, segment.start.sequence) != (self._end.head, self._end.sequence):
            raise Damage("the segment does not follow the one before it", segment.number, 0)
        self._report.segments += 1
        self._end = segment.start
        self._meet(segment.start.sequence - 1, segment.previous, segment.start.head)

    def _read(self, segment: Segment, *, is_last: bool) -> None:
        damage = self._entries(segment)
        if self._cut is not None:
            raise Damage("bytes follow the last entry", self._cut.segment, self._cut.offset)
        length, digest = segment.remainder(self._end.offset)
        if not length:
            return
        damage = damage or Damage("bytes follow the last entry", segment.number, self._end.offset)
        if is_last:
            self._wait_for_writer(segment, damage)
        elif segment.has_successor(self._end):
            raise damage
        else:
            self._cut = records.Cut(0, segment.number, self._end.offset, length, digest)

    def _entries(self, segment: Segment) -> Damage | None:
        """Read on from where we are. Returns what stopped it before the end of the entries."""
        found = segment.entries(self._end)
        while True:
            try:
                entry = next(found, None)
            except Damage as damage:
                return damage
            if entry is None:
                return None
            self._look_at(entry)
            self._end = entry.next

    def _look_at(self, entry: Entry) -> None:
        record = entry.record()
        place = entry.place
        self._report.entries += 1
        self._report.unsigned += 1
        if place.sequence in self._places:
            self._places[place.sequence] = (place.segment, place.offset)
            self._meet(place.sequence, entry.head)
        match record:
            case records.Checkpoint():
                self._look_at_checkpoint(record, place)
            case records.Dropped():
                self._dropped.append(record)
            case records.Cut(segment=segment, offset=offset, length=length, digest=digest):
                if self._cut != records.Cut(0, segment, offset, length, digest):
                    message = f"segment {segment} does not end as entry {place.sequence} says"
                    raise Damage(message, segment, offset)
                self._cut = None
                self._report.notes.append(
                    f"A crash cut off segment {segment} at byte {offset}: {length} bytes behind it are no whole entry."
                )

    def _look_at_checkpoint(self, record: records.Checkpoint, place: Place) -> None:
        sequence = place.sequence
        if not check_signature(record, sequence, place.head):
            raise Damage(f"the signature of checkpoint {sequence} is none", place.segment, place.offset)
        if record.key not in self._keys:
            message = f"checkpoint {sequence} is not signed with the key, but with {record.key.hex()}"
            raise Damage(message, place.segment, place.offset)
        back = self._signed_at - record.time
        if back >= SET_BACK:
            self._report.notes.append(f"The clock was set back by {back / 1e9:.0f} seconds before entry {sequence}.")
        self._signed_at = record.time
        self._report.checkpoints += 1
        self._report.unsigned = 0

    def _wait_for_writer(self, segment: Segment, damage: Damage) -> None:
        """What looks like damage at the journal's end may be a write under way: then it is whole soon."""
        end = self._end
        for _ in range(RETRIES):
            is_written = is_being_written(self._folder)
            if is_written:
                time.sleep(RETRY_AFTER)
            self._entries(segment)
            if self._end != end:
                return
            if not is_written:
                break
        raise damage


def compare(folder: Path) -> str:
    """Compare the store, which must be there, with a fresh one from the same journal. Returns what differs, or ""."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="compare-") as scratch, Store(folder) as store:
        fresh_file = Path(scratch, FILE)
        with Store(folder, fresh_file) as fresh:
            store.connection.execute("ATTACH ? AS fresh", (str(fresh_file),))
            store.connection.execute("BEGIN")  # one snapshot, however the indexer goes on
            place = store.place
            if place is None:
                return ""
            fresh.catch_up(place.sequence)
            if fresh.place != place:
                return f"it has read up to entry {place.sequence - 1}, where the journal has another one or none"
            # What was dropped since the store has read is forgotten when it reads on.
            since = fresh.first if store.first < fresh.first else 0
            return next(filter(None, (_difference(store.connection, table, since) for table in TABLES)), "")


def _difference(connection: sqlite3.Connection, table: str, since: int) -> str:
    """Between the two stores' rows of a table, from the entry with sequence number `since` on; "" for none."""
    for one, other in (("main", "fresh"), ("fresh", "main")):
        row = connection.execute(
            f"SELECT min(sequence) FROM (SELECT * FROM {one}.{table} EXCEPT SELECT * FROM {other}.{table})"  # noqa: S608
            " WHERE sequence >= ?",
            (since,),
        ).fetchone()
        if row[0] is not None:
            return f"in its table {table}, the store differs from the journal's entry {row[0]}"
    return ""
