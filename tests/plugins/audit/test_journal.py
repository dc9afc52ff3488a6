"""The journal as bytes: what is written is found again, and what was changed is found out."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.audit.recording import SEGMENT, details, open_journal, payload, public_keys, write, written

from gatepost_audit import records
from gatepost_audit.journal import JournalFull, drop
from gatepost_audit.keys import PUBLIC, load_or_create, load_public
from gatepost_audit.segment import (
    DIGEST,
    ENTRY,
    HEADER,
    PLAIN,
    Damage,
    Segment,
    find_end,
    older_than,
    segment_path,
    segments,
)
from gatepost_audit.verify import verify


def is_sound(folder: Path) -> bool:
    try:
        verify(folder, public_keys(folder))
    except Damage:
        return False
    return True


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    write(journal, "one", "two")
    write(journal, "three")
    journal.close()
    assert details(tmp_path) == ["one", "two", "three"]
    report = verify(tmp_path, public_keys(tmp_path))
    assert (report.entries, report.checkpoints, report.unsigned) == (4, 1, 0)


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        journal = open_journal(tmp_path)
        write(journal, text)
        journal.close()
    assert details(tmp_path) == ["one", "two", "three"]
    assert segments(tmp_path) == [1]
    assert is_sound(tmp_path)


def test_segments_follow_each_other_and_a_large_record_has_one_of_its_own_size(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    texts = [f"{n} " + "x" * 500 for n in range(300)]
    write(journal, *texts[:150])
    write(journal, "y" * (3 * SEGMENT))
    write(journal, *texts[150:])
    journal.close()
    assert details(tmp_path) == [*texts[:150], "y" * (3 * SEGMENT), *texts[150:]]
    report = verify(tmp_path, public_keys(tmp_path))
    assert report.segments == len(segments(tmp_path)) > 4
    assert report.checkpoints >= report.segments - 1


def test_the_public_key_that_is_there_stays(tmp_path: Path) -> None:
    """Another user who only reads, such as root, must not leave a file that the owner cannot read."""
    load_or_create(tmp_path, "")
    before = (tmp_path / PUBLIC).stat().st_ino
    load_or_create(tmp_path, "")
    assert (tmp_path / PUBLIC).stat().st_ino == before
    (tmp_path / PUBLIC).write_text("another\n")
    assert load_or_create(tmp_path, "").public_key().public_bytes_raw() == load_public(tmp_path / PUBLIC)


def test_one_process_at_a_time_writes(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    with pytest.raises(BlockingIOError):
        open_journal(tmp_path)
    journal.close()


def test_files_are_for_this_user_alone(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    write(journal, "one")
    journal.close()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.is_file()} <= {0o600}


def test_a_tail_torn_at_any_byte_loses_nothing_before_it(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    journal = open_journal(whole, 4096)
    write(journal, "one", "two")
    begin = journal.place.offset
    write(journal, "three", "four")
    end = journal.place.offset
    journal.abandon()
    data = segment_path(whole, 1).read_bytes()
    # To cut off zeros changes nothing.
    for cut in range(begin + 1, begin + len(data[begin:end].rstrip(b"\0"))):
        torn = tmp_path / "torn"
        shutil.copytree(whole, torn)
        segment_path(torn, 1).write_bytes(data[:cut] + bytes(len(data) - cut))
        journal = open_journal(torn, 4096)
        write(journal, "five")
        journal.close()
        found = details(torn)
        assert found in (["one", "two", "five"], ["one", "two", "three", "five"])
        report = verify(torn, public_keys(torn))
        assert len(report.notes) == (segments(torn) == [1, 2]), "a cut is told, and only where bytes are left behind"
        shutil.rmtree(torn)


def test_what_is_cut_off_stays_as_it_was(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, 4096)
    write(journal, "one")
    offset = journal.place.offset
    journal.abandon()
    path = segment_path(tmp_path, 1)
    torn = bytearray(path.read_bytes())
    torn[offset : offset + 20] = b"\x00\x00\x00\x40" + b"half an entry..."
    path.write_bytes(torn)
    journal = open_journal(tmp_path, 4096)
    assert journal.cut is not None
    assert (journal.cut.segment, journal.cut.offset) == (1, offset)
    journal.close()
    assert path.read_bytes() == torn
    assert is_sound(tmp_path)
    torn[offset + 6] ^= 1
    path.write_bytes(torn)
    assert not is_sound(tmp_path), "nor may it be changed afterwards"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of three small segments, the last one with room."""
    folder = tmp_path_factory.mktemp("sealed")
    journal = open_journal(folder, 2048)
    for n in range(55):
        write(journal, f"statement {n}")
    journal.close()
    assert len(segments(folder)) >= 3
    assert is_sound(folder)
    return folder


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_one_changed_bit_anywhere_is_found(sealed: Path, data: st.DataObject) -> None:
    number = data.draw(st.sampled_from(segments(sealed)))
    path = segment_path(sealed, number)
    original = path.read_bytes()
    changed = bytearray(original)
    position = data.draw(st.integers(0, len(original) - 1))
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(changed)
        with pytest.raises(Damage) as found:
            verify(sealed, public_keys(sealed))
    finally:
        path.write_bytes(original)
    assert found.value.segment in (number, number + 1)
    if found.value.segment == number:
        assert found.value.offset <= position, "the place that is named begins the entry or header that was changed"


def test_a_record_taken_out_is_found_even_if_the_chain_is_forged(sealed: Path, tmp_path: Path) -> None:
    """Whoever can write the files can compute the chain anew, but not sign it."""
    folder = tmp_path / "forged"
    shutil.copytree(sealed, folder)
    all_records = written(folder)
    for number in segments(folder):
        segment_path(folder, number).unlink()
    (folder / "checkpoint.key").rename(folder / "stolen-not")
    journal = open_journal(folder, 2048)
    for record in all_records:
        if not isinstance(record, records.Checkpoint | records.Event) or record != all_records[3]:
            journal.write([(PLAIN, records.encode(record))], sync=True)
    journal.close()
    with pytest.raises(Damage, match="not signed"):
        verify(folder, public_keys(sealed))


@pytest.mark.parametrize("missing", [1, 2])
def test_a_segment_taken_away_is_found(sealed: Path, tmp_path: Path, missing: int) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(sealed, folder)
    segment_path(folder, missing).unlink()
    assert not is_sound(folder)


def test_the_retention_drops_whole_segments_and_says_so(sealed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(sealed, folder)
    with Segment(folder, 3) as third:
        cutoff = third.created + 1
    dropped = older_than(folder, cutoff)
    assert dropped is not None
    assert (dropped.first, dropped.last) == (1, 2)
    journal = open_journal(folder, 2048)
    journal.write([(PLAIN, records.encode(dropped))], sync=True)
    drop(folder, dropped)
    journal.close()
    assert segments(folder)[0] == 3
    assert is_sound(folder)
    assert older_than(folder, 1) is None


def test_without_room_for_a_segment_nothing_is_half_written(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, 4096)
    write(journal, "one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(JournalFull) as full:
            write(journal, "two", "x" * 9000)
        assert full.value.errno == errno.EFBIG
        assert not (tmp_path / "spare").exists()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    write(journal, "three")
    journal.close()
    assert details(tmp_path) == ["one", "two", "three"]
    assert is_sound(tmp_path)


def test_the_format_is_what_its_documentation_says(tmp_path: Path) -> None:
    """Read by hand, with nothing but hashlib, as somebody else's verifier would."""
    import hashlib

    journal = open_journal(tmp_path, 4096)
    write(journal, "one", "two")
    journal.close()
    data = segment_path(tmp_path, 1).read_bytes()
    assert data[:8] == b"GPJRNL\0\1"
    assert data[8:32] == (1).to_bytes(8) + (1).to_bytes(8) + data[24:32]
    assert abs(int.from_bytes(data[24:32]) - time.time_ns()) < 600 * 10**9
    head = hashlib.sha256(data[:64]).digest()
    assert data[64:96] == head
    offset, sequence, payloads = 96, 1, []
    while length := int.from_bytes(data[offset : offset + 4]):
        assert int.from_bytes(data[offset + 4 : offset + 12]) == sequence
        end = offset + 13 + length
        head = hashlib.sha256(head + data[offset:end]).digest()
        assert data[end : end + 32] == head
        payloads.append(data[offset + 13 : end])
        offset, sequence = end + 32, sequence + 1
    assert payloads[:2] == [payload("one"), payload("two")]
    assert len(payloads) == 3
    assert not any(data[offset:])


def test_an_end_is_never_taken_for_an_entry(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, 4096)
    write(journal, "one")
    place = journal.place
    journal.abandon()
    assert find_end(tmp_path, 1) == (place, None)
    assert os.path.getsize(segment_path(tmp_path, 1)) == 4096
    assert HEADER.size + ENTRY.size + DIGEST < place.offset
