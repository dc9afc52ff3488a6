"""The store while the retention drops what it is fed from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.plugins.audit.recording import details, open_journal, public_keys, write

from gatepost_audit import records
from gatepost_audit.journal import drop
from gatepost_audit.segment import PLAIN, Damage, Segment, segment_path, segments
from gatepost_audit.store import Store, entries
from gatepost_audit.verify import compare, verify

SMALL = 2048


def record(folder: Path, count: int) -> None:
    journal = open_journal(folder, SMALL)
    for n in range(count):
        write(journal, f"statement {n}")
    journal.close()


def retire(folder: Path, last: int) -> None:
    """Drop the segments up to number `last`, as the recorder does."""
    with Segment(folder, last + 1) as following:
        dropped = records.Dropped(1, segments(folder)[0], last, following.previous)
    journal = open_journal(folder, SMALL)
    journal.write([(PLAIN, records.encode(dropped))], sync=True)
    journal.close()
    drop(folder, dropped)


def test_a_reader_goes_on_behind_what_was_dropped_under_it(tmp_path: Path) -> None:
    record(tmp_path, 120)
    assert len(segments(tmp_path)) > 4
    reading = entries(tmp_path, None)
    assert next(reading).place.segment == 1
    retire(tmp_path, 3)
    assert next(entry.place.segment for entry in reading if entry.place.segment != 1) == 4


def test_a_segment_that_is_missing_is_none_that_was_dropped(tmp_path: Path) -> None:
    record(tmp_path, 120)
    reading = entries(tmp_path, None)
    next(reading)
    segment_path(tmp_path, 2).unlink()
    with pytest.raises(Damage, match="segment 2 is missing"):
        list(reading)


def test_searches_and_verification_while_segments_are_dropped(tmp_path: Path) -> None:
    record(tmp_path, 600)
    key = public_keys(tmp_path)
    last = segments(tmp_path)[-1]
    failures: list[BaseException] = []
    done = threading.Event()

    def again(work: Callable[[], object]) -> None:
        try:
            while not done.is_set():
                work()
        except BaseException as failure:
            failures.append(failure)

    def read() -> None:
        with Store(tmp_path) as store:
            store.clear()
            store.behind()
            store.catch_up()

    readers = [threading.Thread(target=again, args=(work,)) for work in (read, lambda: verify(tmp_path, key))]
    for reader in readers:
        reader.start()
    for number in range(1, last):
        retire(tmp_path, number)
    done.set()
    for reader in readers:
        reader.join()
    assert not failures
    record(tmp_path, 1)  # what was dropped is forgotten with the next entry
    with Store(tmp_path) as store:
        store.catch_up()
        found = store.connection.execute("SELECT detail FROM events WHERE who = 'test' ORDER BY sequence").fetchall()
    assert [detail for (detail,) in found] == details(tmp_path)
    assert compare(tmp_path) == ""


def test_a_store_that_has_not_read_on_since_segments_were_dropped_is_sound(tmp_path: Path) -> None:
    """And yet no row may be changed, or put before what is left."""
    record(tmp_path, 120)
    with Store(tmp_path) as store:
        store.catch_up()
        retire(tmp_path, 2)
        assert compare(tmp_path) == ""
        store.connection.execute("UPDATE events SET detail = 'x' WHERE sequence = (SELECT max(sequence) FROM events)")
        assert "the store differs" in compare(tmp_path)
        store.clear()
        store.catch_up()
        assert compare(tmp_path) == ""
        store.connection.execute("INSERT INTO events VALUES (1, 'gap', 'x', 'y', 1)")
        assert "the store differs from the journal's entry 1" in compare(tmp_path)


def test_a_record_that_was_handed_over_twice_counts_once(tmp_path: Path) -> None:
    """As a worker hands over anew what the recorder had no time to acknowledge."""
    part = records.Part(1, "session", 0, b"first ")
    ended = records.Ended(2, "session", 1, 1, 6, 6, 0.1, "SELECT 1", "", "", 0, True, 0, 6, b"second")
    journal = open_journal(tmp_path)
    journal.write([(PLAIN, records.encode(each)) for each in (part, ended, part, ended, part)], sync=True)
    journal.close()
    with Store(tmp_path) as store:
        store.catch_up()
        assert b"".join(store.output("session", 0, store.shown_until("session"))) == b"first second"
        assert list(store.output("session", 3, 8)) == [b"st ", b"se"]
        assert store.connection.execute("SELECT sequence FROM outcomes").fetchall() == [(4,)]
    assert compare(tmp_path) == ""
