"""The store: the journal's records in SQLite, for searching. It holds nothing that the journal does not.

It is fed from the journal alone, by the indexer process while gatepost runs and by whoever opens it, and knows how far
it has read. Recorded output stays in the journal; the store knows where.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Self, TypeAlias

from msgspec.structs import astuple

from gatepost_audit import records
from gatepost_audit.journal import Damage, Entry, Place, Segment, segments

FILE = "store.sqlite"
VERSION = 3
BATCH = 500
"""Entries in a transaction."""
LOG_BYTES = 1 << 20
"""What SQLite may keep of its write-ahead log."""
TABLES = ("sessions", "ends", "statements", "outcomes", "recordings", "events")

Row: TypeAlias = tuple[Any, ...]


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

    def catch_up(self, until: int | None = None) -> None:
        """Read what the journal holds that the store does not, up to before the entry with sequence number `until`.

        Raises Damage where the journal is not the one that the store was fed from.
        """
        while self._take_batch(until) == BATCH:
            pass

    def _take_batch(self, until: int | None) -> int:
        """Returns how many entries there were."""
        numbers = segments(self._folder)
        if not numbers or next(entries(self._folder, self.place), None) is None:
            return 0
        taken = 0
        rows: dict[str, list[Row]] = {table: [] for table in TABLES}
        with Transaction(self.connection):
            self._forget_dropped(numbers[0])
            place = self.place
            for entry in entries(self._folder, place):
                if entry.place.sequence == until:
                    break
                for table, row in rows_of(entry):
                    rows[table].append(row)
                place = entry.next
                taken += 1
                if taken == BATCH:
                    break
            if taken and place is not None:
                self._insert(rows)
                values = (numbers[0], place.segment, place.offset, place.sequence, place.head)
                self.connection.execute("INSERT OR REPLACE INTO place VALUES (1, ?, ?, ?, ?, ?)", values)
        return taken

    def _insert(self, rows: dict[str, list[Row]]) -> None:
        for table, values in rows.items():
            if values:
                marks = ", ".join("?" * len(values[0]))
                self.connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)  # noqa: S608

    def _forget_dropped(self, first: int) -> None:
        """Forget what was in segments before `first`: they are older than the retention, and gone."""
        known = self.connection.execute("SELECT first FROM place").fetchone()
        if known is not None and known[0] < first:
            for table in TABLES:
                self.connection.execute(f"DELETE FROM {table} WHERE segment < ?", (first,))  # noqa: S608

    def output(self, session: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` to before `stop` of all that a session was shown, as far as they were recorded.

        Raises Damage where the journal was changed.
        """
        found = self.connection.execute(
            "SELECT start, segment, offset, sequence, head FROM recordings"
            " WHERE session = ? AND start < ? AND stop > ? ORDER BY start",
            (session, stop, start),
        )
        for begin, number, *place in found.fetchall():
            with Segment(self._folder, number) as segment:
                entry = segment.entry(Place(number, *place))
            record = None if entry is None else entry.record()
            if not isinstance(record, records.Part | records.Ended):
                raise Damage("a recording is not where the store knows it", number, place[0])
            yield record.output[max(0, start - begin) : stop - begin]

    def shown_until(self, session: str) -> int:
        """How many bytes a session was shown, as far as they were recorded."""
        row = self.connection.execute("SELECT max(stop) FROM recordings WHERE session = ?", (session,)).fetchone()
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

    Raises Damage where a segment does not follow the one before it.
    """
    numbers = segments(folder)
    if place is not None and numbers and place.segment < numbers[0]:
        place = None
    for number in numbers:
        if place is not None and number < place.segment:
            continue
        with Segment(folder, number) as segment:
            if place is not None and number > place.segment:
                if (segment.previous, segment.start.sequence) != (place.head, place.sequence):
                    raise Damage("the segment does not follow what was read before it", number, 0)
                place = None
            place = place or segment.start
            try:
                for entry in segment.entries(place):
                    yield entry
                    place = entry.next
            except Damage:
                # It is being written now, or a crash has cut it off and the next segment goes on from here.
                continue


def rows_of(entry: Entry) -> Iterator[tuple[str, Row]]:
    """The rows of an entry, with the tables that they belong into."""
    record = entry.record()
    place = entry.place
    standing = (place.sequence, place.segment)
    match record:
        case records.SessionStart():
            yield "sessions", (*flat(record), *standing)
        case records.SessionEnd():
            yield "ends", (*flat(record), *standing)
        case records.Asked():
            *known, _, risk, risks, attributes = flat(record)
            yield "statements", (*known, *flat(record.facts), risk, risks, attributes, *standing)
        case records.Ended():
            stop = record.offset + len(record.output)
            yield "outcomes", (*flat(record)[:12], record.ran, record.start, stop, *standing)
        case records.Event():
            yield "events", (*flat(record), *standing)
        case records.Dropped():
            detail = f"segments {record.first} to {record.last} are older than the retention"
            yield "events", (record.time, "dropped", "recorder", detail, *standing)
    if isinstance(record, records.Part | records.Ended) and record.output:
        stop = record.offset + len(record.output)
        yield "recordings", (record.session, record.offset, stop, place.offset, place.head, *standing)


def flat(record: Any) -> Row:
    """The fields, with lists as JSON."""
    return tuple(json.dumps(value) if isinstance(value, tuple) else value for value in astuple(record))
