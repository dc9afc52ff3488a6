"""The recorder as a process, spoken to over its socket: what it acknowledges is on the disk, whatever becomes of it."""

from __future__ import annotations

import errno
import random
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.plugins.audit.recording import (
    SEGMENT,
    RecorderProcess,
    Teller,
    details,
    open_journal,
    public_key,
    write,
    written,
)
from tests.servers import eventually

from gatepost_audit import records, wire
from gatepost_audit.segment import ZSTD, segment_path, segments
from gatepost_audit.store import entries
from gatepost_audit.verify import verify


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[RecorderProcess]:
    process = RecorderProcess(tmp_path)
    yield process
    if process.is_alive():
        process.kill()


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
    assert verify(tmp_path, public_key(tmp_path)).unsigned == 0


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
    verify(tmp_path, public_key(tmp_path))


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
    assert verify(tmp_path, public_key(tmp_path)).notes


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
