"""`gatepost audit`, and the store below it, on a record that a scene has left behind."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import sqlite3
import tracemalloc
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import zstandard
from click.testing import CliRunner, Result
from tests.plugins.audit.recording import RecorderProcess, Teller, open_journal, public_keys

from gatepost import Change, PluginFault, Shown
from gatepost.testing import FakeGateway
from gatepost_audit import Audit, indexer, records, search
from gatepost_audit.journal import drop
from gatepost_audit.search import table_pattern, touches
from gatepost_audit.segment import PLAIN, ZSTD, Segment, older_than, segment_path, segments
from gatepost_audit.store import FILE, TABLES, Store, entries, read
from gatepost_audit.verify import compare, verify

DRIVES_A_TERMINAL = "SELECT '\x1b]0;owned\x07' -- \u202e\n"


class Lines:
    """A protocol whose output is lines, each a row of one cell."""

    name = "lines"

    def shown(self, output: Iterable[bytes]) -> Iterator[Shown]:
        for line in b"".join(output).splitlines():
            yield Shown(kind="row", cells=(line.decode(), None))


def start(session: str, **changes: Any) -> records.SessionStart:
    values: dict[str, Any] = {
        "time": 1_000,
        "session": session,
        "worker": 0,
        "client": "10.0.0.1:5",
        "protocol": "lines",
        "target": "shop",
        "user": "bot",
        "database": "shop",
        "application": "",
        "tls": "",
        "identity": "bot",
        "roles": ("reader",),
        "issuer": "agents",
        "method": "scram-sha-256",
        "acting_for": "ann",
    }
    return records.SessionStart(**(values | changes))


def asked(session: str, number: int, text: str, **changes: Any) -> records.Asked:
    values: dict[str, Any] = {
        "time": 2_000_000_000 * number,
        "session": session,
        "number": number,
        "worker": 0,
        "text": text,
        "original": None,
        "binds": (("5",), None),
        "attributes": (("purpose", ("month's end",)), ("none", None)),
        "preparation": False,
        "verdict": "allow",
        "plugin": "",
        "rule": "",
        "reason": "",
        "effect": "read",
        "facts": records.FactsRecord(("select",), (("select", "cards", None),), (), "f", ""),
    }
    return records.Asked(**(values | changes))


def ended(session: str, number: int, start: int, output: bytes, **changes: Any) -> records.Ended:
    values: dict[str, Any] = {
        "time": 2_000_000_000 * number + 1,
        "session": session,
        "number": number,
        "rows": 1,
        "size": 5,
        "received": 0,
        "duration": 0.5,
        "tag": "SELECT 1",
        "error": "",
        "message": "",
        "masked": 1,
        "complete": True,
        "start": start,
        "offset": start,
        "output": output,
    }
    return records.Ended(**(values | changes))


RECORDS: list[records.Record] = [
    start("a"),
    asked("a", 1, "SELECT one"),
    ended("a", 1, 0, b"row 1\nrow 2\n"),
    asked("a", 2, "DROP cards", verdict="deny", plugin="policy", rule="r7", reason="not yours", effect="define"),
    records.Part(5, "a", 12, b"denied\n"),
    asked("a", 3, DRIVES_A_TERMINAL, effect="write", risk=40, risks=("it changes all rows of a table",)),
    records.Part(6, "a", 19, b"long " * 2000),
    ended("a", 3, 19, b"\x1b[2J end\n", offset=10019, error="22000"),
    records.SessionEnd(9, "a", 0, ""),
    start("b", identity="", user="mallory", target="vault", roles=(), acting_for=""),
    records.SessionEnd(10, "b", 2, "wrong password"),
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "audit"
    folder.mkdir(mode=0o700)
    journal = open_journal(folder)
    for record in [*RECORDS, RECORDS[2]]:
        payload = records.encode(record)
        if isinstance(record, records.Part):
            journal.write([(ZSTD, zstandard.compress(payload))], sync=True)
        else:
            journal.write([(PLAIN, payload)], sync=True)
    journal.close()
    return tmp_path


def run(state: Path, *arguments: str) -> Result:
    @click.group()
    def cli() -> None: ...

    gateway = FakeGateway(state, worker=-1, adapters={"lines": Lines()})  # type: ignore[dict-item]
    Audit(Audit.Config(segment_megabytes=1)).add_commands(cli, gateway)
    return CliRunner().invoke(cli, ["audit", *arguments])


def found(state: Path, *arguments: str) -> list[dict[str, Any]]:
    result = run(state, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ([], [1, 2, 3]),
        (["--session", "a"], [1, 2, 3]),
        (["--session", "b"], []),
        (["--identity", "bot"], [1, 2, 3]),
        (["--identity", "ann"], [1, 2, 3]),
        (["--identity", "eve"], []),
        (["--target", "shop", "--verdict", "deny"], [2]),
        (["--effect", "write"], [3]),
        (["--risk", "40"], [3]),
        (["--risk", "41"], []),
        (["--text", "CARDS"], [2]),
        (["--text", "%"], []),
        (["--table", "cards"], [1, 2, 3]),
        (["--table", "customers"], []),
        (["--client", "10.0.0.1"], [1, 2, 3]),
        (["--client", "10.0.0.1:5"], [1, 2, 3]),
        (["--client", "10.0.0"], []),
        (["--since", "1970-01-01T00:00:04"], [2, 3]),
        (["--until", "1970-01-01T00:00:04Z"], [1]),
        (["--since", "7d"], []),
        (["--limit", "2"], [2, 3]),
    ],
)
def test_search_finds(state: Path, filters: list[str], numbers: list[int]) -> None:
    assert [each["number"] for each in found(state, "search", *filters)] == numbers


@pytest.mark.parametrize(
    ("table", "is_touched"),
    [
        ("cards", True),
        ("Public.Cards", True),
        ("shop.cards", False),
        ("ards", False),
        ("*.cards", True),
        ("*", True),
        ("cards(PAN)", True),
        ("cards(p*)", True),
        ("cards(name)", False),
        ("orders(name)", True),
        ("card[s]", False),
    ],
)
def test_what_touches_a_table_or_a_column(table: str, is_touched: bool) -> None:
    """Of `orders` it is not known which columns are touched."""
    objects = (("select", "public.Cards", ("id", "pan")), ("insert", "orders", None))
    encoded = records.encode(records.FactsRecord(("select",), objects, (), "f", ""))
    assert touches(encoded, table_pattern(table)) == is_touched


def test_that_there_is_more_is_told(state: Path) -> None:
    told = "These are the latest 1; there are more before them (--limit).\n"
    for command in ("search", "sessions"):
        assert run(state, command, "--limit", "1").stderr == told
        assert len(run(state, command, "--limit", "1", "--json").stdout.splitlines()) == 1
        assert not run(state, command, "--limit", "3").stderr


def test_a_large_answer_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    text = "x" * 10_000
    for number in range(1, 1001):
        journal.write([(PLAIN, records.encode(asked("a", number, f"{number} {text}")))], sync=False)
    journal.close()
    with Store(tmp_path) as store:
        store.catch_up()
        for limit in (None, 999):
            tracemalloc.start()
            answer = search.statements(store, {}, limit)
            numbers = [each["number"] for each in answer.found]
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert numbers == list(range(1000 - len(numbers) + 1, 1001))
            assert answer.is_cut == (limit is not None)
            assert peak < 2_000_000


def test_search_follows_what_is_new_and_matches_until_it_is_interrupted(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = iter(
        [
            [asked("a", 4, "SELECT four")],
            [asked("a", 5, "DROP five", effect="define")],
            [asked("a", 6, "SELECT six"), asked("a", 7, "SELECT seven")],
        ]
    )

    def sleep(_: float) -> None:
        """What happens while the command waits."""
        new = next(turns, None)
        if new is None:
            raise KeyboardInterrupt
        journal = open_journal(state / "audit")
        journal.write([(PLAIN, records.encode(each)) for each in new], sync=True)
        journal.close()

    monkeypatch.setattr("gatepost_audit.commands.time.sleep", sleep)
    result = run(state, "search", "--follow", "--effect", "read", "--limit", "1", "--json")
    assert [json.loads(line)["number"] for line in result.stdout.splitlines()] == [1, 4, 6, 7]
    assert run(state, "verify").exit_code == 0


def test_what_is_found_has_all_that_pci_dss_10_2_2_asks_for(state: Path) -> None:
    """User, type of event, date and time, success or failure, origination, the object affected."""
    denied = found(state, "search", "--verdict", "deny")[0]
    assert denied["identity"] == "bot"
    assert denied["acting_for"] == "ann"
    assert denied["effect"] == "define"
    assert denied["time"] == "1970-01-01T00:00:04.000Z"
    assert denied["verdict"] == "deny"
    assert denied["client"] == "10.0.0.1:5"
    assert denied["objects"] == [["select", "cards", None]]
    assert denied["rule"] == "r7"


def test_failed_logins_are_found(state: Path) -> None:
    (failed,) = found(state, "sessions", "--failed")
    assert (failed["user"], failed["ending"], failed["reason"]) == ("mallory", "refused", "wrong password")
    assert len(found(state, "sessions")) == 2


def test_a_statement_is_shown_with_its_answer(state: Path) -> None:
    (statement,) = found(state, "show", "a/1")
    assert statement["text"] == "SELECT one"
    assert statement["binds"] == [["5"], None]
    assert statement["attributes"] == [["purpose", ["month's end"]], ["none", None]]
    assert statement["masked"] == 1
    assert statement["answer"] == [{"kind": "row", "cells": ["row 1", None]}, {"kind": "row", "cells": ["row 2", None]}]


def test_that_an_answer_was_not_kept_is_told(tmp_path: Path) -> None:
    """Of a role that sees card numbers in clear: what it saw is no empty answer."""
    (tmp_path / "audit").mkdir()
    journal = open_journal(tmp_path / "audit")
    for record in (start("a"), asked("a", 1, "SELECT pan"), ended("a", 1, 0, b"", rows=3, size=90)):
        journal.write([(PLAIN, records.encode(record))], sync=True)
    journal.close()
    assert "\t3 rows, not kept\t" in run(tmp_path, "search").stdout
    assert "allow (3 rows, not kept): SELECT pan" in run(tmp_path, "replay", "a").stdout


def test_a_session_is_shown_with_its_statements(state: Path) -> None:
    (session,) = found(state, "show", "a")
    assert session["ending"] == "client_left"
    assert [each["id"] for each in session["statements"]] == ["a/1", "a/2", "a/3"]


@pytest.mark.parametrize("missing", ["c", "a/9", "a/x", "c/1"])
def test_what_is_not_there_is_an_error(state: Path, missing: str) -> None:
    result = run(state, "show", missing)
    assert result.exit_code == 1
    assert "is on record" in result.stderr
    assert not result.stdout


def test_replay_is_in_order_and_whole(state: Path) -> None:
    steps = [each.get("number") or each["cells"][0].split()[0] for each in found(state, "replay", "a")]
    assert steps == [1, "row", "row", 2, "denied", 3, "long"]
    assert "purpose = month's end\n" in run(state, "replay", "a").stdout
    raw = run(state, "replay", "a", "--raw")
    assert raw.stdout_bytes == b"row 1\nrow 2\ndenied\n" + b"long " * 2000 + b"\x1b[2J end\n"


@pytest.mark.parametrize("command", [["search"], ["show", "a/3"], ["show", "a"], ["replay", "a"], ["search", "--json"]])
def test_nothing_recorded_drives_the_terminal(state: Path, command: list[str]) -> None:
    output = run(state, *command).stdout
    assert "owned" in output
    assert all(character.isprintable() or character == "\n" or character == "\t" for character in output)


def test_who_reads_the_record_is_on_record(state: Path) -> None:
    found(state, "search", "--text", "one")
    (access,) = found(state, "events", "--kind", "access")[:1]
    assert "audit search" in access["detail"]
    assert "text=one" in access["detail"]


def test_who_reads_the_record_is_on_record_through_the_recorder(state: Path) -> None:
    recorder = RecorderProcess(state / "audit")
    teller = Teller(state / "audit")
    found(state, "search")
    assert len(found(state, "events", "--kind", "access")) == 2
    assert run(state, "verify").exit_code == 0
    teller.socket.close()
    recorder.end()


def changed(state: Path, action: str, name: str, **about: Any) -> None:
    """What a command announces."""
    audit = Audit(Audit.Config(segment_megabytes=1))
    audit.on_start(FakeGateway(state, plugins=(NoDigits(),), worker=-1))
    audit.on_change(Change(action=action, name=name, **about))


class NoDigits:
    def on_store(self, text: str) -> str:
        return text.replace("4111111111111111", "4111**")


def test_who_changes_credentials_is_on_record_with_what_and_when(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "mallory")
    monkeypatch.setenv("USER", "mallory")
    begin = datetime.now(UTC).isoformat()
    changed(state, "agents add", "bot", detail="roles reader, 4111111111111111")
    changed(state, "agents revoke", "bot", detail="SQLITE_FULL", is_done=False)

    added, revoked = found(state, "search", "--changes")
    assert (added["action"], added["name"], added["detail"]) == ("agents add", "bot", "roles reader, 4111**")
    assert added["who"].startswith(f"{pwd.getpwuid(os.getuid()).pw_name} ({os.getuid()})")
    assert begin[:23] <= added["time"]
    assert (added["done"], revoked["done"]) == (True, False)
    assert "agents revoke\tbot\tSQLITE_FULL\tnot done\n" in run(state, "search", "--changes").stdout
    assert run(state, "verify").exit_code == 0


def test_who_acts_as_another_is_on_record_too(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `sudo` leaves it: the kernel keeps who has logged in (proc(5), /proc/pid/loginuid)."""
    login, another = tmp_path / "loginuid", os.getuid() + 1
    monkeypatch.setattr("gatepost_audit.noting._LOGIN", login)
    for number in (another, os.getuid(), 2**32 - 1):
        login.write_text(f"{number}")
        changed(state, "agents revoke", "bot")
    login.unlink()
    changed(state, "agents revoke", "bot")

    through, *others = [each["who"] for each in found(state, "search", "--changes")]
    assert re.fullmatch(rf".*\({os.getuid()}\), logged in as .*\b{another}\)?", through)
    assert [who.endswith(f"({os.getuid()})") for who in others] == [True] * 3


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([], ["bot", "other"]),
        (["--identity", "bot"], ["bot"]),
        (["--text", "ADD OTHER"], ["other"]),
        (["--since", "2001-01-01"], ["bot", "other"]),
        (["--until", "2001-01-01"], []),
        (["--limit", "1"], ["other"]),
    ],
)
def test_changes_are_found(state: Path, filters: list[str], names: list[str]) -> None:
    for name in ("bot", "other"):
        changed(state, "agents add", name)
    assert [each["name"] for each in found(state, "search", "--changes", *filters)] == names
    assert all("text" in each for each in found(state, "search"))


def test_what_only_statements_have_is_no_question_about_changes(state: Path) -> None:
    result = run(state, "search", "--changes", "--verdict", "deny")
    assert result.exit_code == 2
    assert "--changes cannot be combined with --verdict" in result.stderr


def test_the_first_change_begins_the_record(tmp_path: Path) -> None:
    changed(tmp_path, "agents add", "bot")
    assert [each["name"] for each in found(tmp_path, "search", "--changes")] == ["bot"]
    assert run(tmp_path, "verify").exit_code == 0


def test_a_change_is_on_record_through_the_recorder(state: Path) -> None:
    recorder = RecorderProcess(state / "audit")
    teller = Teller(state / "audit")
    changed(state, "agents add", "bot")
    assert [each["name"] for each in found(state, "search", "--changes")] == ["bot"]
    assert run(state, "verify").exit_code == 0
    teller.socket.close()
    recorder.end()


def test_a_change_waits_for_whoever_has_the_journal_open(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(state / "audit")
    monkeypatch.setattr("gatepost_audit.noting.time.sleep", lambda _: journal.close())
    changed(state, "agents add", "bot")
    assert [each["name"] for each in found(state, "search", "--changes")] == ["bot"]


def test_a_change_that_cannot_be_recorded_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost_audit.noting.ANSWER_WITHIN", 0.0)
    journal = open_journal(state / "audit")
    with pytest.raises(PluginFault, match="nothing is changed"):
        changed(state, "agents add", "bot")
    journal.close()
    path = segment_path(state / "audit", 1)
    data = path.read_bytes()
    end = len(data.rstrip(b"\0"))
    path.write_bytes(data[: end - 5] + bytes(5) + data[end:])
    with pytest.raises(PluginFault, match="does not end in a whole entry"):
        changed(state, "agents add", "bot")


def test_a_sound_record(state: Path) -> None:
    (report,) = found(state, "verify")
    assert report["sound"]
    assert report["entries"] == len(RECORDS) + 2
    result = run(state, "verify")
    assert result.exit_code == 0
    assert "Sound: " in result.stdout


def test_a_verification_takes_no_room_that_the_record_needs(state: Path) -> None:
    """A store with a hole, larger than the disk, needs none itself."""
    run(state, "search")
    file = state / "audit" / FILE
    free = shutil.disk_usage(state).free
    with file.open("r+b") as store:
        store.truncate(free)
    result = run(state, "verify")
    assert result.exit_code == 1
    assert "the store is not compared with it" in result.stderr


def test_a_changed_journal_is_told_with_its_place(state: Path) -> None:
    path = segment_path(state / "audit", 1)
    data = bytearray(path.read_bytes())
    place = data.index(b"SELECT one")
    data[place] ^= 1
    path.write_bytes(data)
    result = run(state, "verify")
    assert result.exit_code == 1
    assert "entry 2 was changed (segment 1, byte " in result.stderr
    assert not result.stdout


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE statements SET text = 'SELECT nothing' WHERE number = 1",
        "DELETE FROM statements WHERE number = 2",
        "INSERT INTO events VALUES (1, 'stop', 'x', 'y', 3)",
        "UPDATE place SET sequence = sequence + 1",
    ],
)
def test_a_changed_store_is_told_and_rebuilt(state: Path, change: str) -> None:
    run(state, "search")
    with sqlite3.connect(state / "audit" / FILE) as connection:
        connection.execute(change)
    connection.close()
    result = run(state, "verify")
    assert result.exit_code == 1
    assert "the store is not what follows from it" in result.stderr
    assert run(state, "rebuild").exit_code == 0
    assert run(state, "verify").exit_code == 0


def test_a_rebuilt_store_equals_the_one_that_was_fed_bit_by_bit(state: Path) -> None:
    folder = state / "audit"

    def rows(store: Store) -> list[list[tuple[Any, ...]]]:
        return [sorted(store.connection.execute(f"SELECT * FROM {table}").fetchall()) for table in TABLES]

    with Store(folder, state / "slow.sqlite") as slow, Store(folder, state / "fast.sqlite") as fast:
        for sequence in range(1, len(RECORDS) + 3):
            slow.catch_up(sequence)
        slow.catch_up()
        fast.catch_up()
        assert rows(slow) == rows(fast)
        assert slow.place == fast.place


@pytest.mark.parametrize(
    "arguments",
    [["search", "--since", "soon"], ["search", "--effect", "magic"], ["search", "--table", "(x)"], ["show"]],
)
def test_wrong_usage_is_exit_status_2(state: Path, arguments: list[str]) -> None:
    assert run(state, *arguments).exit_code == 2


def test_help_says_what_each_command_does(state: Path) -> None:
    for command in ("search", "sessions", "events", "show", "replay", "verify", "rebuild"):
        assert command in run(state, "--help").stdout
        assert run(state, command, "--help").exit_code == 0


def test_a_truncated_journal_is_told_by_the_store(state: Path) -> None:
    """Zeros over the last entries leave a journal that is sound, and shorter than the store knows it."""
    folder = state / "audit"
    run(state, "search")
    path = segment_path(folder, 1)
    data = path.read_bytes()
    offset = [entry.place.offset for entry in entries(folder, None)][5]
    path.write_bytes(data[:offset] + bytes(len(data) - offset))
    assert verify(folder, public_keys(folder)).entries == 5
    result = run(state, "verify")
    assert result.exit_code == 1
    assert "the journal has another one or none" in result.stderr


def test_the_store_forgets_what_retention_has_dropped(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, 2048)
    for number in range(1, 60):
        journal.write([(PLAIN, records.encode(asked("a", number, "SELECT")))], sync=True)
    with Store(tmp_path) as store:
        store.catch_up()
        assert store.connection.execute("SELECT min(number), count(*) FROM statements").fetchone() == (1, 59)
        with Segment(tmp_path, 3) as third:
            dropped = older_than(tmp_path, third.created + 1)
            kept = third.start.sequence
        assert dropped is not None
        journal.write([(PLAIN, records.encode(dropped))], sync=True)
        drop(tmp_path, dropped)
        store.catch_up()
        least = store.connection.execute("SELECT min(sequence) FROM statements").fetchone()[0]
        assert kept <= least <= kept + 1
        assert store.connection.execute("SELECT kind FROM events").fetchall() == [("dropped",)]
    journal.close()
    assert compare(tmp_path) == ""


def test_the_indexer_feeds_the_store_from_where_a_reader_has_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost_audit.store.BATCH", 500)
    journal = open_journal(tmp_path, 2048)
    with Store(tmp_path) as store, ThreadPoolExecutor(1, initializer=indexer.yield_to_all) as idle:
        assert store.behind() == 0
        for number in range(1, 60):
            journal.write([(PLAIN, records.encode(asked("a", number, "SELECT")))], sync=True)
        full = sum(segment_path(tmp_path, number).stat().st_size for number in segments(tmp_path)[:-1])
        assert store.behind() == full > 0
        stale = read(tmp_path, store.place)
        assert stale is not None
        store.catch_up(10)
        store.put(stale)
        assert store.connection.execute("SELECT count(*) FROM statements").fetchone() == (9,)
        monkeypatch.setattr(indexer, "ARREARS", store.behind() - 2048)
        indexer.feed(store, tmp_path, idle)
        assert store.behind() == 0
        assert store.connection.execute("SELECT count(*) FROM statements").fetchone() == (59,)
        assert idle.submit(os.sched_getscheduler, 0).result() == os.SCHED_IDLE
    journal.close()
    assert compare(tmp_path) == ""
