"""Cancel requests: for what runs, for what is held, at another worker, and only with the session's own key."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors
from tests.e2e.scripts import HOLDS
from tests.servers import Database, Gate, MakeGate, eventually
from tests.wire import Wire, query


def running(postgres: Database, mark: str) -> int:
    """How many statements with this text in them the database runs."""
    text = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()"
    with postgres.connect() as connection:
        return int(connection.execute(text, (f"%{mark}%",)).fetchone()[0])


@pytest.fixture
def busy(each_gate: Gate, postgres: Database) -> Iterator[Wire]:
    """A session whose statement runs until it is cancelled."""
    with Wire(each_gate.port).log_in("agent", each_gate.password) as wire:
        wire.send(query("SELECT pg_sleep(100) /* busy */"))
        eventually(lambda: running(postgres, "/* busy */"))
        yield wire


def cancel(port: int, request: bytes) -> None:
    """Send a cancel request on a connection of its own; it is done when the peer has closed."""
    with Wire(port) as wire:
        wire.send(request)
        assert wire.rest() == b""


def test_a_running_statement_ends_as_cancelled_and_the_session_lives_on(busy: Wire, each_gate: Gate) -> None:
    cancel(each_gate.port, busy.cancel_request())
    answer = busy.read_until("Z")
    assert [each.fields["C"] for each in answer if each.kind == "E"] == ["57014"]
    assert [each.kind for each in busy.query("SELECT 1")] == list("TDCZ")


def test_a_wrong_key_cancels_nothing(busy: Wire, each_gate: Gate, postgres: Database) -> None:
    request = busy.cancel_request()
    cancel(each_gate.port, request[:-1] + bytes([request[-1] ^ 1]))
    cancel(each_gate.port, request[:8] + (busy.number + 1).to_bytes(4) + request[12:])
    assert running(postgres, "/* busy */")
    cancel(each_gate.port, request)
    busy.read_until("Z")


def test_the_key_is_not_the_database_s_own(each_gate: Gate, postgres: Database) -> None:
    with Wire(each_gate.port).log_in("agent", each_gate.password) as wire:
        (row,) = [each for each in wire.query("SELECT pg_backend_pid()") if each.kind == "D"]
        assert row.cells != [str(wire.number).encode()]
        with Wire(postgres.server.port) as direct:
            direct.send(wire.cancel_request())


def test_a_held_statement_is_cancelled_before_it_runs(gate: MakeGate, postgres: Database) -> None:
    holding = gate(postgres, scripts=[HOLDS])
    with Wire(holding.port).log_in("agent", holding.password) as wire:
        wire.send(query("BEGIN"), query("CREATE TABLE held_and_cancelled /* hold me */ (a int)"))
        wire.read_until("Z")
        holding.log.wait_for("holding")
        cancel(holding.port, wire.cancel_request())
        answer = wire.read_until("Z")
        assert [each.kind for each in answer] == ["E", "Z"]
        assert answer[0].fields["C"] == "57014"
        assert answer[1].body == b"E"
        assert wire.query("ROLLBACK")[-1].body == b"I"
        assert [each.kind for each in wire.query("SELECT 1")] == list("TDCZ")
    with postgres.connect() as connection:
        assert connection.execute("SELECT to_regclass('held_and_cancelled')").fetchone() == (None,)


def test_cancels_reach_the_worker_that_has_the_session(gate: MakeGate, postgres: Database) -> None:
    two = gate(postgres, settings="workers = 2")

    def work(connection: psycopg.Connection) -> None:
        with pytest.raises(errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(100) /* two workers */")

    with ThreadPoolExecutor(10) as pool:
        connections = [psycopg.connect(two.address, autocommit=True) for _ in range(10)]
        started = [pool.submit(work, connection) for connection in connections]
        eventually(lambda: running(postgres, "/* two workers */") == len(connections))
        for connection in connections:
            connection.cancel()
        for each in started:
            each.result(60)
    for connection in connections:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.close()
