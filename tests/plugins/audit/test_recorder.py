"""The recorder as a process, spoken to over its socket: what it acknowledges is on the disk, whatever becomes of it."""

from __future__ import annotations

import errno
import random
import resource
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.plugins.audit.recording import (
    SEGMENT,
    YEAR,
    RecorderProcess,
    Teller,
    details,
    open_journal,
    public_keys,
    write,
    written,
)
from tests.servers import eventually

from gatepost_audit import records, wire
from gatepost_audit.keys import load_or_create
from gatepost_audit.recorder import Recorder
from gatepost_audit.segment import ZSTD, Damage, segment_path, segments
from gatepost_audit.store import entries
from gatepost_audit.verify import verify


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[RecorderProcess]:
    process = RecorderProcess(tmp_path)
    yield process
    if process.is_alive():
        process.kill()


@contextmanager
def recording(folder: Path, retention: float) -> Iterator[None]:
    """A recorder in a thread of this process, whose clock a test can set."""
    recorder = Recorder(folder, load_or_create(folder, ""), 2048, retention, grace=0.0)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    try:
        yield
    finally:
        recorder.stop()
        thread.join()


def events(folder: Path) -> list[str]:
    return [each.kind.value for each in written(folder) if isinstance(each, records.Event) and each.who == "recorder"]


def test_what_is_acknowledged_is_in_the_journal_in_order(recorder: RecorderProcess, tmp_path: Path) -> None:
    teller = Teller(tmp_path)
    teller.tell("one", "two", "three")
    teller.await_acknowledged(3)
    assert details(tmp_path) == ["one", "two", "three"]


def test_a_frame_may_come_in_pieces(recorder: RecorderProcess, tmp_path: Path) -> None:
    teller = Teller(tmp_path)
    payload = records.encode(records.Event(1, records.EventKind.GAP, "test", "slowly"))
    other = Teller(tmp_path)
    for n, byte in enumerate(wire.frame(payload, wire.DISK)):
        teller.socket.sendall(bytes([byte]))
        other.tell(str(n))
        other.await_acknowledged(1)
    teller.await_acknowledged(1)
    assert "slowly" in details(tmp_path)


def test_what_nobody_waits_for_is_acknowledged_too(recorder: RecorderProcess, tmp_path: Path) -> None:
    teller = Teller(tmp_path)
    teller.tell("lazily", flags=0)
    teller.await_acknowledged(1)
    assert details(tmp_path) == ["lazily"]


def test_large_output_is_compressed(recorder: RecorderProcess, tmp_path: Path) -> None:
    teller = Teller(tmp_path)
    texts = [str(n) * 20_000 for n in range(9)]
    teller.tell(*texts, flags=wire.BULK)
    teller.await_acknowledged(9)
    assert details(tmp_path) == texts
    assert sum(entry.encoding == ZSTD for entry in entries(tmp_path, None)) == 9


def test_workers_do_not_get_in_each_others_way(recorder: RecorderProcess, tmp_path: Path) -> None:
    def work(name: str) -> None:
        teller = Teller(tmp_path)
        for n in range(100):
            teller.tell(f"{name} {n}")
            teller.await_acknowledged(1)

    workers = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = details(tmp_path)
    for name in "abcd":
        assert [each for each in found if each.startswith(name)] == [f"{name} {n}" for n in range(100)]


@pytest.mark.parametrize("garbage", [b"\xff" * 64, bytes(64), b"GET / HTTP/1.1\r\n\r\n"], ids=["ones", "zeros", "http"])
def test_garbage_costs_its_sender_the_connection_and_nobody_else(
    recorder: RecorderProcess, tmp_path: Path, garbage: bytes
) -> None:
    stranger, teller = Teller(tmp_path), Teller(tmp_path)
    stranger.socket.sendall(garbage)
    with pytest.raises(EOFError):
        stranger.reply()
    teller.tell("one")
    teller.await_acknowledged(1)
    assert details(tmp_path) == ["one"]


def test_the_socket_is_for_this_user_alone(recorder: RecorderProcess, tmp_path: Path) -> None:
    Teller(tmp_path)
    assert (tmp_path / wire.SOCKET).stat().st_mode & 0o777 == 0o600


def test_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    process = RecorderProcess(folder)
    Teller(folder)
    process.end()


def test_start_and_stop_are_on_record_and_signed(recorder: RecorderProcess, tmp_path: Path) -> None:
    Teller(tmp_path).socket.close()
    recorder.end()
    assert events(tmp_path) == ["start", "stop"]
    assert verify(tmp_path, public_keys(tmp_path)).unsigned == 0


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_any_moment_it_loses_nothing_that_it_acknowledged(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: list[str] = []
    for life in range(4):
        process = RecorderProcess(tmp_path)
        teller = Teller(tmp_path)
        killer = threading.Timer(chance.uniform(0, 0.05), process.kill)
        killer.start()
        try:
            for n in range(1_000_000):
                text = f"{life}.{n} " + "x" * chance.randrange(2000)
                teller.tell(text)
                teller.await_acknowledged(1)
                acknowledged.append(text)
        except (EOFError, ConnectionError):
            killer.join()
    process = RecorderProcess(tmp_path)
    Teller(tmp_path).socket.close()
    process.end()
    found = details(tmp_path)
    assert [each for each in found if each in set(acknowledged)] == acknowledged
    verify(tmp_path, public_keys(tmp_path))


def test_a_torn_tail_is_left_and_the_recovery_is_on_record(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    write(journal, "one")
    offset = journal.place.offset
    journal.abandon()
    with segment_path(tmp_path, 1).open("r+b") as file:
        file.seek(offset)
        file.write(b"\0\0\1\0torn")
    process = RecorderProcess(tmp_path)
    teller = Teller(tmp_path)
    teller.tell("two")
    teller.await_acknowledged(1)
    process.kill()
    assert details(tmp_path) == ["one", "two"]
    assert events(tmp_path) == ["start", "recovered"]
    assert verify(tmp_path, public_keys(tmp_path)).notes


def test_a_full_disk_is_told_and_the_recorder_goes_on_when_there_is_room(
    recorder: RecorderProcess, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the full disk: the kernel refuses to write in the same way."""
    teller = Teller(tmp_path)
    teller.tell("before")
    teller.await_acknowledged(1)
    eventually(lambda: (tmp_path / "spare").exists() and (tmp_path / "spare").stat().st_size == SEGMENT)
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    teller.tell("refused")
    assert teller.reply() == (errno.EFBIG, 0)
    with pytest.raises(EOFError):
        teller.reply()
    resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, unlimited)
    again = Teller(tmp_path)
    again.tell("after")
    again.await_acknowledged(1)
    assert details(tmp_path) in (["before", "after"], ["before", "refused", "after"])
    assert events(tmp_path) == ["start", "gap"]


def test_a_damaged_header_closes_the_gate_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = open_journal(tmp_path)
    write(journal, "one")
    journal.close()
    path = segment_path(tmp_path, 1)
    sound = path.read_bytes()
    path.write_bytes(b"\1" + sound[1:])
    with recording(tmp_path, YEAR):
        eventually(lambda: "the segment's header was changed (segment 1, byte 0)" in caplog.text)
        path.write_bytes(sound)
        teller = Teller(tmp_path)
        teller.tell("two")
        teller.await_acknowledged(1)
        teller.socket.close()
    assert details(tmp_path) == ["one", "two"]
    assert events(tmp_path) == ["start", "gap", "stop"]
    assert caplog.text.count("cannot be opened") == 1


def test_damage_to_what_is_old_keeps_nothing_new_from_being_recorded(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, 2048)
    write(journal, *(f"event {n}" for n in range(60)))
    journal.close()
    path = segment_path(tmp_path, 2)
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    with recording(tmp_path, YEAR):
        teller = Teller(tmp_path)
        teller.tell("one")
        teller.await_acknowledged(1)
        teller.socket.close()
    with pytest.raises(Damage):
        verify(tmp_path, public_keys(tmp_path))


def old_record(folder: Path, monkeypatch: pytest.MonkeyPatch, now: int, days: Iterable[float]) -> None:
    """Something that was recorded so many days ago."""
    for day in days:
        monkeypatch.setattr("time.time_ns", lambda day=day: now - int(day * 86400e9))
        journal = open_journal(folder, 2048)
        write(journal, *(f"event {n}" for n in range(30)))
        journal.close()
    monkeypatch.setattr("time.time_ns", lambda: now)


@pytest.mark.parametrize(
    ("days", "is_dropped"),
    [
        ([500, 400, 399, 2], True),
        ([500, 400, 399, 6.5, 0.1], True),
        ([500, 400, 399], False),
        ([500, 400, 399, 8, 0.5], False),
        ([300, 200, 2], False),
    ],
    ids=["yesterday", "last week", "a clock in another year", "the same, for some hours", "young"],
)
def test_the_retention_needs_a_clock_that_was_right_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: list[float], is_dropped: bool
) -> None:
    now = time.time_ns()
    old_record(tmp_path, monkeypatch, now, days)
    with recording(tmp_path, YEAR):
        teller = Teller(tmp_path)
        teller.tell("now")
        teller.await_acknowledged(1)
        teller.socket.close()
    assert any(isinstance(each, records.Dropped) for each in written(tmp_path)) == is_dropped
    assert (segments(tmp_path)[0] > 1) == is_dropped
    verify(tmp_path, public_keys(tmp_path))


def test_a_clock_that_is_set_is_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns
    with recording(tmp_path, YEAR):
        Teller(tmp_path).socket.close()
        for count, step in enumerate((YEAR, 0.0), 1):
            monkeypatch.setattr("time.time_ns", lambda step=step: now() + int(step * 1e9))
            eventually(lambda count=count: events(tmp_path).count("clock") == count)
    told = [each.detail for each in written(tmp_path) if isinstance(each, records.Event) and each.kind == "clock"]
    assert told == ["the clock was set forward by 31536000 seconds", "the clock was set back by 31536000 seconds"]


def test_a_new_recorder_waits_until_the_old_one_has_finished(recorder: RecorderProcess, tmp_path: Path) -> None:
    teller = Teller(tmp_path)
    teller.tell("one")
    teller.await_acknowledged(1)
    successor = RecorderProcess(tmp_path)
    recorder.end()
    teller = Teller(tmp_path)
    teller.tell("two")
    teller.await_acknowledged(1)
    successor.kill()
    assert details(tmp_path) == ["one", "two"]
    assert segments(tmp_path) == [1]
