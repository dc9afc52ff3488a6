"""The store: the journal's records in SQLite, for searching. It holds nothing that the journal does not.

It is fed from the journal alone, by the indexer process while gatepost runs and by whoever opens it, and knows how far
it has read. Recorded output stays in the journal; the store knows where. What nobody searches by stays as it is encoded
there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from msgspec import Struct
from msgspec.structs import astuple

from gatepost_audit import records
from gatepost_audit.segment import Damage, Entry, Place, open_segment, segment_path, segments

FILE = "store.sqlite"
VERSION = 5
BATCH = 1 << 20
"""Bytes of the journal in a transaction, and what is left of the last entry."""
LOG_BYTES = 16 << 20
"""Of SQLite's write-ahead log: what is carried over at once into the store, and what is kept then."""
PAGE = 4096
TABLES = ("sessions", "ends", "statements", "outcomes", "recordings", "events", "changes")

_OUTPUT: Final = """
SELECT start, segment, offset, sequence FROM recordings WHERE session = :session AND start < :stop AND stop > :start
UNION ALL SELECT part, segment, offset, sequence FROM outcomes
    WHERE session = :session AND part < :stop AND stop > :start AND stop > part
ORDER BY start
"""
_SHOWN_UNTIL: Final = """
SELECT max(stop) FROM (
    SELECT stop FROM recordings WHERE session = :session UNION ALL SELECT stop FROM outcomes WHERE session = :session
)
"""

Row: TypeAlias = tuple[Any, ...]


class Batch(Struct, frozen=True):
    """What follows in the journal behind a place (None: its beginning), up to another one, as rows by table.

    `first` is the sequence number that the journal begins with: it holds nothing of what was before.
    """

    behind: Place | None
    until: Place
    first: int
    rows: dict[str, list[Row]]


class Store:
    """An open store; made, if it is not there.

    Args:
        folder: where the journal is.
        file: the store, by default in the same folder.

    Raises sqlite3.Error, as all methods do, where the file is no store or is out of reach.
    """

    def __init__(self, folder: Path, file: Path | None = None) -> None:
        self._folder = folder
        self.file = file or folder / FILE
        os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self.connection = sqlite3.connect(self.file, timeout=30.0, isolation_level=None)
        try:
            self.connection.execute("PRAGMA journal_mode = WAL")
            # What a lost machine takes away is read from the journal again.
            self.connection.execute("PRAGMA synchronous = NORMAL")
            self.connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE}")
            self.connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            self._create()
        except BaseException:
            self.connection.close()
            raise

    def _create(self) -> None:
        if self._version() == VERSION:
            return
        with Transaction(self.connection):
            if self._version() == VERSION:
                return
            for table in (*TABLES, "place"):
                self.connection.execute(f"DROP TABLE IF EXISTS {table}")
            schema = files(__package__).joinpath("schema.sql").read_text("utf-8")
            for statement in schema.split(";"):
                self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {VERSION}")

    def _version(self) -> int:
        version: int = self.connection.execute("PRAGMA user_version").fetchone()[0]
        return version

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    @property
    def place(self) -> Place | None:
        """Up to where the journal has been read; None for not at all."""
        row = self.connection.execute("SELECT segment, offset, sequence, head FROM place").fetchone()
        return Place(*row) if row else None

    @property
    def first(self) -> int:
        """The sequence number that the journal began with when it was read; 0 for not at all."""
        row = self.connection.execute("SELECT first FROM place").fetchone()
        return row[0] if row else 0

    def catch_up(self, until: int | None = None) -> None:
        """Read what the journal holds that the store does not, up to before the entry with sequence number `until`.

        Raises Damage where the journal is not the one that the store was fed from.
        """
        while (batch := read(self._folder, self.place, until)) is not None:
            self.put(batch)

    def put(self, batch: Batch) -> None:
        """Take a batch in, unless somebody has read on from the same place meanwhile."""
        with Transaction(self.connection):
            if self.place != batch.behind:
                return
            for table, rows in batch.rows.items():
                if rows:
                    self._insert(table, rows)
            self._forget_before(batch.first)
            values = (batch.first, *astuple(batch.until))
            self.connection.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?, ?, ?, ?)", values)

    def _insert(self, table: str, rows: list[Row]) -> None:
        """Add rows; of two with the same key the later stays, as of a record that was handed over twice."""
        values = f"INTO {table} VALUES ({', '.join('?' * len(rows[0]))})"
        try:
            self.connection.executemany(f"INSERT {values}", rows)  # half of the time of a replacement
        except sqlite3.IntegrityError:
            self.connection.executemany(f"INSERT OR REPLACE {values}", rows)

    def _forget_before(self, first: int) -> None:
        """Forget the entries before `first`: they are older than the retention, and gone."""
        if self.first < first:
            for table in TABLES:
                self.connection.execute(f"DELETE FROM {table} WHERE sequence < ?", (first,))  # noqa: S608

    def behind(self) -> int:
        """How many bytes of the journal's full segments are not read."""
        place = self.place
        *full, _ = segments(self._folder) or [0]
        unread = (number for number in full if place is None or number >= place.segment)
        size = 0
        for number in unread:
            with suppress(FileNotFoundError):  # it was dropped
                size += segment_path(self._folder, number).stat().st_size
        return max(0, size - place.offset) if place is not None else size

    def output(self, session: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` to before `stop` of all that a session was shown, as far as they were recorded.

        Raises Damage where the journal was changed.
        """
        found = self.connection.execute(_OUTPUT, {"session": session, "start": start, "stop": stop})
        for begin, number, offset, sequence in found.fetchall():
            segment = open_segment(self._folder, number)
            if segment is None:
                continue
            with segment:
                entry = segment.entry(offset, sequence)
            record = None if entry is None else entry.record()
            if not isinstance(record, records.Part | records.Ended):
                raise Damage("a recording is not where the store knows it", number, offset)
            yield record.output[max(0, start - begin) : stop - begin]

    def shown_until(self, session: str) -> int:
        """How many bytes a session was shown, as far as they were recorded."""
        row = self.connection.execute(_SHOWN_UNTIL, {"session": session}).fetchone()
        return row[0] or 0

    def clear(self) -> None:
        """Forget all, to read the journal from its beginning."""
        with Transaction(self.connection):
            for table in (*TABLES, "place"):
                self.connection.execute(f"DELETE FROM {table}")  # noqa: S608


class Transaction:
    """BEGIN IMMEDIATE, and COMMIT or ROLLBACK."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def entries(folder: Path, place: Place | None) -> Iterator[Entry]:
    """The journal's entries from `place` on, or from its beginning, across segments, up to what is whole by now.

    What is dropped meanwhile is passed over.

    Raises Damage where the journal does not go on from `place`, or a segment does not follow the one before it.
    """
    numbers = segments(folder)
    if place is not None and numbers and place.segment < numbers[0]:
        place = None
    if place is not None and place.segment not in numbers:
        raise Damage(f"the journal ends before entry {place.sequence - 1}", place.segment, place.offset)
    for number in numbers:
        if place is not None and number < place.segment:
            continue
        segment = open_segment(folder, number)
        if segment is None:
            place = None
            continue
        with segment:
            if place is not None and number > place.segment:
                if (segment.previous, segment.start.sequence) != (place.head, place.sequence):
                    raise Damage("the segment does not follow what was read before it", number, 0)
                place = None
            if place is not None and segment.head_before(place.offset) != place.head:
                raise Damage(f"entry {place.sequence - 1} is not the one that was read", number, place.offset)
            place = place or segment.start
            last = None
            try:
                for last in segment.entries(place):
                    yield last
            except Damage:
                # It is being written now, or a crash has cut it off and the next segment goes on from here.
                pass
            if last is not None:
                place = last.next


def read(folder: Path, behind: Place | None, until: int | None = None) -> Batch | None:
    """The next batch of what the journal holds, up to before the entry with sequence number `until`; None if it is all.

    Raises Damage where the journal is not the one that `behind` is a place of.
    """
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    size, entry = 0, None
    for entry in entries(folder, behind):
        if entry.place.sequence == until:
            break
        _sort(entry, rows)
        last = entry
        size += len(entry.payload)
        if size >= BATCH:
            break
    if not size:
        return None
    return Batch(behind, last.next, _first(folder), rows)


def _first(folder: Path) -> int:
    """The sequence number that the journal begins with."""
    while (segment := open_segment(folder, segments(folder)[0])) is None:
        pass
    with segment:
        return segment.start.sequence


def _sort(entry: Entry, rows: dict[str, list[Row]]) -> None:
    """Add the rows of an entry to those of their tables."""
    record = entry.outline()
    place = entry.place
    sequence = place.sequence
    match record:
        case records.AskedOutline():
            rows["statements"].append(_asked(record, sequence))
        case records.Ended():
            rows["outcomes"].append(_ended(record, place))
        case records.Part() if record.output:
            stop = record.offset + len(record.output)
            rows["recordings"].append((record.session, record.offset, stop, place.segment, place.offset, sequence))
        case records.SessionStart():
            *values, roles, issuer, method, acting_for = astuple(record)
            rows["sessions"].append((*values, records.encode(roles), issuer, method, acting_for, sequence))
        case records.SessionEnd():
            rows["ends"].append((*astuple(record), sequence))
        case records.Event():
            rows["events"].append((*astuple(record), sequence))
        case records.Changed():
            rows["changes"].append((*astuple(record), sequence))
        case records.Dropped():
            detail = f"segments {record.first} to {record.last} are older than the retention"
            rows["events"].append((record.time, "dropped", "recorder", detail, sequence))


def _asked(record: records.AskedOutline, sequence: int) -> Row:
    """Field by field, and of types that sqlite3 takes as they are, for there is nothing that there is more of."""
    return (
        record.time,
        record.session,
        record.number,
        record.worker,
        record.text,
        bytearray(record.original),
        bytearray(record.binds),
        int(record.preparation),
        record.verdict,
        record.plugin,
        record.rule,
        record.reason,
        record.effect,
        bytearray(record.facts),
        record.risk,
        bytearray(record.risks),
        bytearray(record.attributes),
        sequence,
    )


def _ended(record: records.Ended, place: Place) -> Row:
    """As `_asked`."""
    offset = record.offset
    return (
        record.time,
        record.session,
        record.number,
        record.rows,
        record.size,
        record.received,
        record.duration,
        record.tag,
        record.error,
        record.message,
        record.masked,
        int(record.complete),
        record.start,
        offset,
        offset + len(record.output),
        int(record.ran),
        place.segment,
        place.offset,
        place.sequence,
    )
