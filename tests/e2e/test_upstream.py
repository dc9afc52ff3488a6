"""A database that is down, goes away, or refuses: the client is told in the protocol's form, and it is on record."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.servers import Database, Gate, MakeGate, database, eventually
from tests.wire import Wire, query, startup


@pytest.fixture
def own_database(binaries: Path) -> Iterator[Database]:
    """A database to break."""
    with database(binaries) as running:
        yield running


def refusal(gate: Gate) -> dict[str, str]:
    """The error that a login ends in, after which the connection closes."""
    with Wire(gate.port) as wire:
        wire.send(startup("agent", "shop"))
        wire.authenticate(gate.password)
        error = wire.read_until("E")[-1]
        assert wire.rest() == b""
        return error.fields


def test_a_database_that_is_down(gate: MakeGate, own_database: Database) -> None:
    own = gate(own_database)
    psutil.Process(own_database.server.pid).send_signal(signal.SIGINT)
    eventually(lambda: refused(own_database.server.port))
    told = refusal(own)
    assert told["S"] == "FATAL"
    assert told["C"] == "08006"
    assert told["H"]
    (session,) = own.audit("sessions")
    assert session["identity"] == "agent"
    assert "cannot be reached" in str(session["reason"])


def refused(port: int) -> bool:
    try:
        Wire(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_database_that_is_killed_in_the_middle_of_a_result(gate: MakeGate, own_database: Database) -> None:
    own = gate(own_database)
    with Wire(own.port).log_in("agent", own.password) as wire:
        (row,) = [each.cells for each in wire.query("SELECT pg_backend_pid()") if each.kind == "D"]
        wire.send(query("SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 500000) n"))
        while wire.read().kind != "D":
            pass
        psutil.Process(int(row[0])).kill()
        last = wire.read_until("E")[-1].fields
        assert (last["S"], last["C"]) == ("FATAL", "08006")
        assert wire.rest() == b""

    def ended() -> list[dict[str, Any]]:
        return [each for each in own.audit("search", "--text", "500000") if each["ended"]]

    (statement,) = eventually(ended)
    assert not statement["complete"]


def test_a_database_that_does_not_know_our_password(gate: MakeGate, own_database: Database) -> None:
    own = gate(own_database)
    (own.folder / "upstream.password").write_text("no longer this one")
    told = refusal(own)
    assert told["C"].startswith("08")
    assert "clerk" not in str(told)
    assert "no longer this one" not in f"{own.log}{told}"


def test_a_database_name_that_does_not_exist(full_gate: Gate) -> None:
    with Wire(full_gate.port) as wire:
        wire.send(startup("agent", "no_such_database"))
        wire.authenticate(full_gate.password)
        told = wire.read_until("E")[-1].fields
        assert told["C"] == "08006"
        assert "No database has the name" in told["H"]


def test_something_that_is_no_database(gate: MakeGate, own_database: Database) -> None:
    own = gate(own_database)
    other = own.port
    config = own.config.read_text().replace(str(own_database.server.port), str(other))
    own.config.write_text(config)
    own.process.send_signal(signal.SIGHUP)
    own.log.wait_for("was reloaded")
    eventually(lambda: refusal(own)["C"].startswith("08"))


def test_the_database_never_sees_the_agent_s_password_nor_name(full_gate: Gate, postgres: Database) -> None:
    with Wire(full_gate.port).log_in("agent", full_gate.password) as wire:
        (row,) = [each.cells for each in wire.query("SELECT session_user, current_user") if each.kind == "D"]
        assert row == [b"clerk", b"clerk"]


def test_no_secret_is_in_a_file_or_a_process_s_arguments(full_gate: Gate, postgres: Database) -> None:
    secrets = [full_gate.password.encode(), postgres.password.encode()]
    Wire(full_gate.port).log_in("agent", full_gate.password).close()
    for file in full_gate.state.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert not any(secret in data for secret in secrets), file
    shown = subprocess.run(["ps", "-ef"], capture_output=True, check=False).stdout if Path("/bin/ps").exists() else b""
    assert not any(secret in shown or secret.decode() in str(full_gate.log) for secret in secrets)
