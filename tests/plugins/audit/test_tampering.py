"""What `gatepost audit verify` says to whoever may write every file of the record, but has no key or another one."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.plugins.audit.recording import SEGMENT, details, open_journal, public_keys, write
from tests.plugins.audit.test_commands import found, run

from gatepost_audit import keys, records
from gatepost_audit.journal import drop
from gatepost_audit.keys import PRIVATE, PUBLIC, load_or_create
from gatepost_audit.segment import PLAIN, SUFFIX, Segment, find_end, segment_path, segments
from gatepost_audit.store import FILE, entries
from gatepost_audit.verify import verify


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A record of several segments, and a store that has read all of it."""
    folder = tmp_path / "state" / "audit"
    folder.mkdir(parents=True)
    journal = open_journal(folder, 2048)
    for n in range(60):
        write(journal, f"event {n}")
    journal.close()
    assert run(folder.parent, "events").exit_code == 0
    assert len(segments(folder)) >= 3
    return folder.parent


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_copy_without_the_key_is_verified_and_searched_as_it_is(state: Path, tmp_path: Path) -> None:
    """As the documentation asks for: the key that signs stays where it is."""
    copy = tmp_path / "copy" / "audit"
    shutil.copytree(state / "audit", copy, ignore=shutil.ignore_patterns(PRIVATE))
    public = state / "audit" / PUBLIC
    before = files(copy)
    assert run(state, "verify", str(copy), "--public-key", str(public)).exit_code == 0
    assert files(copy) == before
    for command in ("events", "search", "verify"):
        result = run(copy.parent, command)
        assert result.exit_code == 0
        assert "could not be recorded" in result.stderr
    assert {name: data for name, data in files(copy).items() if FILE not in name} == {
        name: data for name, data in before.items() if FILE not in name
    }


def test_a_copy_can_be_read_where_nothing_can_be_written(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (state / "audit").glob(f"*{SUFFIX}"):
        shutil.copy(path, copy)
    assert run(state, "verify", str(copy), "--public-key", str(state / "audit" / PUBLIC)).exit_code == 0
    end = find_end(copy, segments(copy)[-1])[0]
    with segment_path(copy, end.segment).open("r+b") as file:
        file.seek(end.offset - 3)
        file.write(b"\xff")
    result = run(state, "verify", str(copy), "--public-key", str(state / "audit" / PUBLIC))
    assert result.exit_code == 1
    assert f"was changed (segment {end.segment}, byte " in result.stderr


def test_a_key_is_made_for_a_new_record_alone(state: Path) -> None:
    (state / "audit" / PRIVATE).unlink()
    with pytest.raises(FileNotFoundError):
        load_or_create(state / "audit", "")
    assert run(state, "verify").exit_code == 0


def test_processes_that_begin_a_record_together_have_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has seen that there is none."""
    barrier = threading.Barrier(2)
    create = keys._create
    monkeypatch.setattr(keys, "_create", lambda path: (barrier.wait(), create(path)))
    monkeypatch.setattr(keys.os, "getpid", threading.get_ident)
    made = []
    threads = [threading.Thread(target=lambda: made.append(load_or_create(tmp_path, ""))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = (key.public_key().public_bytes_raw() for key in made)
    assert one == other
    assert {path.name for path in tmp_path.iterdir()} == {PRIVATE, PUBLIC}


def test_another_key_is_told_and_may_be_told_of(state: Path, tmp_path: Path) -> None:
    folder = state / "audit"
    old = tmp_path / "old.pub"
    shutil.copy(folder / PUBLIC, old)
    (tmp_path / "other").mkdir()
    load_or_create(tmp_path / "other", "")
    shutil.copy(tmp_path / "other" / PRIVATE, folder / PRIVATE)
    assert run(state, "events").exit_code == 0
    result = run(state, "verify")
    assert result.exit_code == 1
    assert f"is not signed with the key, but with {old.read_text().strip()}" in result.stderr
    assert run(state, "verify", "--public-key", str(old), "--public-key", str(folder / PUBLIC)).exit_code == 0


def test_a_record_that_is_gone_is_none_that_is_sound(state: Path) -> None:
    for path in (state / "audit").iterdir():
        if path.name not in (PRIVATE, PUBLIC):
            path.unlink()
    result = run(state, "verify")
    assert result.exit_code == 1
    assert "there is no journal" in result.stderr


def test_that_no_store_could_tell_is_told(state: Path) -> None:
    (state / "audit" / FILE).unlink()
    assert "There is no store" in found(state, "verify")[0]["notes"][0]


def shorten(folder: Path) -> None:
    """The last entries become zeros: a journal that is sound, and shorter."""
    places = [entry.place for entry in entries(folder, None) if entry.place.segment == segments(folder)[-1]]
    path = segment_path(folder, places[0].segment)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(places[-2].offset)
        file.truncate(size)


def remove_last(folder: Path) -> None:
    segment_path(folder, segments(folder)[-1]).unlink()


def resign(folder: Path) -> None:
    """Everything anew, with another key."""
    kept = [entry.record() for entry in entries(folder, None)]
    for path in folder.iterdir():
        path.unlink()
    journal = open_journal(folder, SEGMENT)
    for record in kept:
        if isinstance(record, records.Checkpoint):
            journal.checkpoint()
        else:
            journal.write([(PLAIN, records.encode(record))], sync=True)
    journal.close()


@pytest.mark.parametrize("change", [shorten, remove_last, resign])
def test_what_only_a_head_kept_elsewhere_can_tell(state: Path, change: Callable[[Path], None]) -> None:
    folder = state / "audit"
    head = run(state, "head").stdout.strip()
    assert run(state, "verify", str(folder), "--head", head).exit_code == 0
    change(folder)
    for path in folder.glob(f"{FILE}*"):
        path.unlink()
    assert run(state, "verify").exit_code == 0
    result = run(state, "verify", "--head", head)
    assert result.exit_code == 1
    assert "whose head was kept (segment " in result.stderr


def test_an_older_copy_of_everything_is_told_by_the_head_even_when_it_goes_on(state: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(state, old)
    for _ in range(3):
        run(state, "events")
    head = run(state, "head").stdout.strip()
    for _ in range(9):
        run(old, "events")
    assert run(old, "verify").exit_code == 0
    result = run(old, "verify", "--head", head)
    assert result.exit_code == 1
    assert "is not the one whose head was kept" in result.stderr


def test_heads_of_any_entry_hold_while_the_record_goes_on(state: Path) -> None:
    folder = state / "audit"
    heads = []
    journal = open_journal(folder, 4096)
    for n in range(60):
        write(journal, f"later {n}")
        place, _ = find_end(folder, segments(folder)[-1])
        heads.append(f"{place.sequence - 1}:{place.head.hex()}")
    journal.close()
    assert run(state, "verify", *(part for head in heads for part in ("--head", head))).exit_code == 0
    assert run(state, "verify", "--head", f"3:{heads[0].partition(':')[2]}").exit_code == 1
    for wrong in ("nonsense", "3:5ca5", "3:", f"x:{heads[0].partition(':')[2]}"):
        assert run(state, "verify", "--head", wrong).exit_code == 2


def test_heads_of_what_was_dropped_are_told_and_those_after_it_hold(state: Path) -> None:
    folder = state / "audit"
    heads = [f"{entry.place.sequence}:{entry.head.hex()}" for entry in entries(folder, None)]
    with Segment(folder, 3) as third:
        first = third.start.sequence
        dropped = records.Dropped(1, 1, 2, third.previous)
    journal = open_journal(folder, 4096)
    journal.write([(PLAIN, records.encode(dropped))], sync=True)
    drop(folder, dropped)
    journal.close()
    kept = heads[first - 2 :]
    result = run(state, "verify", *(part for head in kept for part in ("--head", head)))
    assert (result.exit_code, "dropped" in result.stdout) == (0, False), result.output
    assert (
        "Entry 2, whose head was kept, is one of those that were dropped."
        in run(state, "verify", "--head", heads[1]).stdout
    )


def test_a_store_that_knows_more_than_the_journal_is_told_by_each_search(state: Path) -> None:
    """Else what is recorded from then on would not be found, and nobody would know."""
    folder = state / "audit"
    shorten(folder)
    run(state, "events")
    result = run(state, "events")
    assert result.exit_code == 1
    assert "is not the one that was read" in result.stderr
    assert run(state, "rebuild").exit_code == 0
    (access,) = [each for each in found(state, "events") if "rebuild" in each["detail"]]
    assert "is not the one that was read" in access["detail"]


def test_a_clock_that_was_set_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (2_000, 1_000, 3_000):
        monkeypatch.setattr("gatepost_audit.journal.time.time_ns", lambda now=now: now * 10**9)
        journal = open_journal(tmp_path)
        write(journal, "event")
        journal.close()
    assert verify(tmp_path, public_keys(tmp_path)).notes == ["The clock was set back by 1000 seconds before entry 4."]
    assert len(details(tmp_path)) == 3
