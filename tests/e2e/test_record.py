"""The record: complete, sound, before the effect; whatever is killed, and when it cannot be written."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from tests.e2e.scripts import DENIES
from tests.e2e.tap import Tap
from tests.servers import GATEPOST, PATIENCE, Database, Gate, MakeGate, eventually
from tests.wire import SYNC, Wire, bind, execute, parse, query

WRITERS = 6


@pytest.fixture
def written(postgres: Database) -> Iterator[str]:
    """A table for what writers write."""
    with postgres.connect() as connection:
        connection.execute("CREATE TABLE written (id text PRIMARY KEY)")
        connection.execute(f"GRANT ALL ON written TO {postgres.user}")
        yield "written"
        connection.execute("DROP TABLE written")


def write_until_it_breaks(address: str, writer: int) -> list[str]:
    """Insert rows, in simple statements and by parameters, until the connection breaks. Returns what was confirmed."""
    confirmed = []
    try:
        with psycopg.connect(address, autocommit=True) as connection:
            for number in itertools.count():
                name = f"w{writer}n{number}"
                if number % 2:
                    connection.execute("INSERT INTO written VALUES (%s)", (name,))
                else:
                    connection.execute(f"INSERT INTO written VALUES ('{name}')")  # type: ignore[call-overload]
                confirmed.append(name)
    except psycopg.OperationalError:
        pass
    return confirmed


def rows_of(postgres: Database) -> set[str]:
    with postgres.connect() as connection:
        return {name for (name,) in connection.execute("SELECT id FROM written")}


def recorded_writes(gate: Gate) -> set[str]:
    """The names in all INSERTs on record, from their texts and their binds."""
    names = set()
    for each in gate.audit("search", "--text", "insert into written", "--limit", "1000000"):
        names |= {part for part in each["text"].split("'") if part.startswith("w")}
        names |= {text for value in each["binds"] if value is not None for text in value}
    return names


def audit(gate: Gate, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GATEPOST, "--config", gate.config, "audit", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("durability", ["disk", "os"])
def test_every_executed_write_is_on_record_when_gatepost_is_killed(
    gate: MakeGate, postgres: Database, written: str, durability: str
) -> None:
    killed = gate(
        postgres,
        plugins=f'[plugins.mask]\n[plugins.audit]\nreads = "{durability}"\nwrites = "{durability}"\n',
        settings="workers = 2",
    )
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write_until_it_breaks, killed.address, number) for number in range(WRITERS)]
        eventually(lambda: len(rows_of(postgres)) > 300)
        everything = [*killed.processes, psutil.Process(killed.process.pid)]
        for process in everything:
            process.kill()
        confirmed = {name for writer in writers for name in writer.result(PATIENCE)}
    psutil.wait_procs(everything, timeout=PATIENCE)
    eventually(lambda: not is_connected(postgres))
    executed = rows_of(postgres)
    assert len(confirmed) >= 300
    assert confirmed <= executed
    assert executed <= recorded_writes(killed)
    assert audit(killed, "verify").returncode == 0


def is_connected(postgres: Database) -> bool:
    with postgres.connect() as connection:
        text = "SELECT 1 FROM pg_stat_activity WHERE usename = %s AND query LIKE 'INSERT%%'"
        return connection.execute(text, (postgres.user,)).fetchone() is not None


def test_the_gate_starts_again_where_it_was_killed(gate: MakeGate, postgres: Database) -> None:
    killed = gate(postgres)
    with Wire(killed.port).log_in("agent", killed.password) as wire:
        wire.query("SELECT 'before'")
        for process in (*killed.processes, psutil.Process(killed.process.pid)):
            process.kill()
        wire.rest()
    killed.process.wait(PATIENCE)
    again = Gate(killed.folder, [], {}, password=killed.password)
    try:
        again.wait_until_ready()
        Wire(again.port).log_in("agent", again.password).query("SELECT 'after'")
        assert [each["text"] for each in again.audit("search", "--effect", "read")] == [
            "SELECT 'before'",
            "SELECT 'after'",
        ]
        assert audit(again, "verify").returncode == 0
    finally:
        again.stop()


def test_a_recorder_that_is_killed_closes_the_gate_until_it_is_back(
    gate: MakeGate, postgres: Database, written: str
) -> None:
    own = gate(postgres)
    errors: list[psycopg.Error] = []
    names = (f"w{number}" for number in itertools.count())

    def write() -> bool:
        try:
            with psycopg.connect(own.address, autocommit=True) as connection:
                connection.execute("INSERT INTO written VALUES (%s)", (next(names),))
        except psycopg.Error as error:
            errors.append(error)
            return False
        return True

    assert write()
    for _ in range(3):
        (recorder,) = own.recorders
        recorder.send_signal(signal.SIGSTOP)
        recorder.kill()
        eventually(write)
        assert own.recorders != [recorder]
    assert rows_of(postgres) <= recorded_writes(own)
    for error in errors:
        assert "record" in str(error).lower()
    assert audit(own, "verify").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can be mounted by root alone")
def test_a_full_disk_closes_the_gate_until_there_is_room(gate: MakeGate, postgres: Database, tmp_path: Path) -> None:
    small = tmp_path / "gate1"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", small], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        own = gate(postgres, plugins="[plugins.audit]\nsegment_megabytes = 1\n")
        ballast = small / "ballast"
        with psycopg.connect(own.address, autocommit=True) as connection:
            connection.execute("SELECT 1")
            fill(ballast)
            with pytest.raises(psycopg.Error) as caught:
                for _ in range(5000):
                    connection.execute("SELECT %s::text", (os.urandom(1000).hex(),))
            assert "record" in str(caught.value).lower()
        ballast.unlink()

        def is_open() -> bool:
            try:
                with psycopg.connect(own.address, autocommit=True) as connection:
                    return connection.execute("SELECT 1").fetchone() == (1,)
            except psycopg.Error:
                return False

        eventually(is_open)
        assert own.stop() == 0
        assert audit(own, "verify").returncode == 0
    finally:
        for each in own.processes if own.process.poll() is None else []:
            each.kill()
        own.process.kill()
        own.process.wait()
        subprocess.run(["umount", "--lazy", small], check=True)


def fill(file: Path) -> None:
    """Leave no room on a file system."""
    with file.open("wb", buffering=0) as output:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    output.write(b"\0" * size)
            except OSError:
                continue


def test_a_statement_is_on_record_with_all_that_pci_asks_for(gate: MakeGate, postgres: Database) -> None:
    own = gate(postgres, scripts=[DENIES])
    with Wire(own.port).log_in("agent", own.password, application_name="report") as wire:
        wire.query("SELECT id, pan FROM cards ORDER BY id LIMIT 2")
        wire.query("SELECT 'forbidden'")
        wire.query("SELECT 1/0")
        wire.send(parse("UPDATE orders SET amount = amount WHERE id = $1"), bind(parameters=[b"3"]), execute(), SYNC)
        wire.read_until("Z")
        address = wire.address
    (session,) = eventually(lambda: [each for each in own.audit("sessions") if each["ended"]])
    about = {name: session[name] for name in ("identity", "client", "target", "application", "user", "database")}
    assert about == {
        "identity": "agent",
        "client": address,
        "target": "shop",
        "application": "report",
        "user": "agent",
        "database": "shop",
    }
    statements = {each["text"]: each for each in own.audit("search") if not each["preparation"]}
    read, denied, failed, write = statements.values()
    assert (read["verdict"], read["effect"], read["rows"], read["masked"], read["complete"]) == (
        "allow",
        "read",
        2,
        2,
        1,
    )
    assert (denied["verdict"], denied["rule"], denied["reason"]) == ("deny", "tests: no forbidden", "this is forbidden")
    assert (failed["verdict"], failed["error"]) == ("allow", "22012")
    assert (write["effect"], write["binds"], write["tag"]) == ("write", [["3"]], "UPDATE 1")
    assert "orders" in str(write["objects"])


def test_changes_of_credentials_are_on_record_whether_the_gate_runs_or_not(gate: MakeGate, postgres: Database) -> None:
    own = gate(postgres)
    passwords = [own.password, own.add_agent("second", "reader")]
    passwords.append(json.loads(own.command("agents", "rotate", "second", "--json"))["password"])
    assert own.stop() == 0
    own.command("agents", "revoke", "second")
    actions = [("add", "agent"), ("add", "second"), ("rotate", "second"), ("revoke", "second")]
    found = own.audit("search", "--changes")
    assert [(each["action"], each["name"]) for each in found] == [(f"agents {each}", name) for each, name in actions]
    assert all(f"({os.getuid()})" in each["who"] and each["done"] for each in found)
    assert len(own.audit("search", "--changes", "--identity", "second", "--since", "1h")) == 3
    assert audit(own, "verify").returncode == 0
    written = b"".join(path.read_bytes() for path in (own.state / "audit").iterdir() if path.is_file())
    assert not any(password.encode() in written for password in passwords)


def test_what_the_gate_is_configured_by_is_on_record_and_so_is_a_change(gate: MakeGate, postgres: Database) -> None:
    own = gate(postgres)
    digests = [hashlib.sha256(own.config.read_bytes()).hexdigest()]
    with own.config.open("a") as file:
        file.write("# changed\n")
    digests.append(hashlib.sha256(own.config.read_bytes()).hexdigest())
    own.process.send_signal(signal.SIGHUP)

    def starts() -> list[dict[str, Any]]:
        return own.audit("events", "--kind", "start")

    eventually(lambda: len(starts()) == 2)
    assert [each["detail"].rpartition(" ")[2] for each in starts()] == digests
    assert audit(own, "verify").returncode == 0


def test_credentials_are_not_changed_where_that_cannot_be_recorded(gate: MakeGate, postgres: Database) -> None:
    own = gate(postgres)
    assert own.stop() == 0
    kept = (own.state / "audit").rename(own.state / "away")
    (own.state / "audit").touch()
    own.command("agents", "add", "second", "--role", "reader", status=1)
    own.command("agents", "revoke", "agent", status=1)
    (own.state / "audit").unlink()
    kept.rename(own.state / "audit")
    assert [(each["name"], each["state"]) for each in json.loads(own.command("agents", "list", "--json"))] == [
        ("agent", "active")
    ]


def test_a_refused_login_is_on_record(gate: MakeGate, postgres: Database) -> None:
    own = gate(postgres)
    with Wire(own.port) as wire, pytest.raises(Exception, match=r"28P01|28000"):
        wire.log_in("agent", "wrong")

    def failed() -> list[dict[str, Any]]:
        return own.audit("sessions", "--failed")

    (session,) = eventually(failed)
    assert (session["user"], session["identity"], session["client"]) == ("agent", "", wire.address)


def test_a_replay_shows_what_the_client_was_shown(gate: MakeGate, postgres: Database) -> None:
    own = gate(postgres)
    with Wire(own.port).log_in("agent", own.password) as wire:
        shown = [each.cells for each in wire.query("SELECT id, pan FROM cards ORDER BY id") if each.kind == "D"]
    (session,) = eventually(lambda: [each for each in own.audit("sessions") if each["ended"]])
    replayed = own.command("audit", "replay", session["id"])
    for number, pan in shown:
        assert f"row: {number.decode()} | {pan.decode()}" in replayed
    raw = subprocess.run(
        [GATEPOST, "--config", own.config, "audit", "replay", session["id"], "--raw"], capture_output=True, check=True
    ).stdout
    assert all(pan in raw for _, pan in shown)


def test_a_raw_replay_is_every_byte_that_the_client_was_sent(gate: MakeGate, postgres: Database) -> None:
    """Masked rows in several parts, binary ones, a COPY, errors, denials among pipelined statements, notices."""
    own = gate(postgres, scripts=[DENIES])
    escape = "E'\\x1b]0;owned\\x07'"
    with Wire(own.port) as wire:
        tap = Tap(wire)
        wire.log_in("agent", own.password)
        before = len(tap.seen)
        wire.query(f"SELECT n, pan, {escape} FROM cards, generate_series(1, 3000) n")
        wire.send(
            *(part for n in range(5) for part in (parse(f"SELECT {n} + $1::int"), bind(parameters=[b"1"], binary=1))),
            execute(),
            SYNC,
            query("SELECT 'forbidden'"),
            query("SELECT 1/0"),
            parse("SELECT 'forbidden'"),
            bind(),
            execute(),
            SYNC,
            query("COPY (SELECT n, repeat('x', 100) FROM generate_series(1, 2000) n) TO STDOUT"),
            query("SELECT 2; SELECT 3"),
        )
        for _ in range(6):
            wire.read_until("Z")
    (session,) = eventually(lambda: [each for each in own.audit("sessions") if each["ended"]])
    command = [GATEPOST, "--config", own.config, "audit", "replay", session["id"]]
    raw = subprocess.run([*command, "--raw"], capture_output=True, check=True).stdout
    shown = tap.seen[before:]
    assert len(shown) > 200_000
    assert raw.endswith(shown)
    assert tap.seen.endswith(raw)
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert text.count("owned") > 3000
    assert all(character.isprintable() or character == "\n" for character in text)


def test_thousands_of_small_statements_are_all_there(gate: MakeGate, postgres: Database) -> None:
    own = gate(postgres)
    with Wire(own.port).log_in("agent", own.password) as wire:
        for start in range(0, 20000, 500):
            wire.send(*(query(f"SELECT {number}") for number in range(start, start + 500)))
            for _ in range(500):
                wire.read_until("Z")
    numbers = {each["text"] for each in own.audit("search", "--limit", "30000")}
    assert numbers == {f"SELECT {number}" for number in range(20000)}
    assert audit(own, "verify").returncode == 0


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_changed_byte_is_found(gate: MakeGate, postgres: Database, place: float) -> None:
    own = gate(postgres)
    with Wire(own.port).log_in("agent", own.password) as wire:
        for number in range(200):
            wire.query(f"SELECT 'statement {number}'")
    assert own.stop() == 0
    assert audit(own, "verify").returncode == 0
    (journal,) = (own.state / "audit").glob("*.journal")
    data = bytearray(journal.read_bytes())
    data[int(len(data.rstrip(b"\0")) * place)] ^= 1
    journal.write_bytes(data)
    done = audit(own, "verify")
    assert done.returncode == 1
    assert "changed" in done.stdout + done.stderr or "not what was written" in done.stdout + done.stderr
