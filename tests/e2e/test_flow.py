"""Slow readers, clients that vanish, and memory that does not grow with a result."""

from __future__ import annotations

import socket
import struct

import psycopg
import pytest
from tests.e2e.scripts import HOLDS
from tests.servers import Database, Gate, MakeGate, eventually
from tests.wire import Wire, query

MEGABYTE = 1 << 20
RESULT = "SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, {}) n"
LONG_RESULT = RESULT.format(500000) + " /* long */"


@pytest.fixture(params=["[plugins.mask]\n[plugins.audit]\n", ""], ids=["full", "bare"])
def own_gate(request: pytest.FixtureRequest, gate: MakeGate, postgres: Database) -> Gate:
    return gate(postgres, plugins=request.param)


def waits_for_its_client(postgres: Database) -> bool:
    with postgres.connect() as connection:
        text = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%/* long */' AND wait_event = 'ClientWrite'"
        return connection.execute(text).fetchone() is not None


def is_gone(postgres: Database) -> bool:
    with postgres.connect() as connection:
        text = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%/* long */' AND pid <> pg_backend_pid()"
        return connection.execute(text).fetchone() is None


def memory(gate: Gate) -> int:
    return sum(process.memory_full_info().uss for process in (*gate.workers, *gate.recorders))


def test_a_slow_reader_stops_its_own_upstream_and_nobody_else(own_gate: Gate, postgres: Database) -> None:
    with psycopg.connect(own_gate.address, autocommit=True) as other:
        other.execute("SELECT 1")
        before = memory(own_gate)
        with Wire(own_gate.port).log_in("agent", own_gate.password) as slow:
            slow.send(query(LONG_RESULT))
            eventually(lambda: waits_for_its_client(postgres))
            for n in range(200):
                assert other.execute("SELECT %s::int", (n,)).fetchone() == (n,)
            assert memory(own_gate) - before < 32 * MEGABYTE
            assert sum(1 for each in slow.read_until("Z") if each.kind == "D") == 500000
        eventually(lambda: is_gone(postgres))


def test_a_client_that_vanishes_in_the_middle_of_a_result(own_gate: Gate, postgres: Database) -> None:
    wire = Wire(own_gate.port).log_in("agent", own_gate.password)
    wire.send(query(LONG_RESULT))
    eventually(lambda: waits_for_its_client(postgres))
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()
    eventually(lambda: is_gone(postgres))
    with psycopg.connect(own_gate.address) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_client_that_vanishes_in_the_middle_of_a_copy(own_gate: Gate, postgres: Database) -> None:
    with postgres.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS abandoned; CREATE TABLE abandoned (a text)")
        connection.execute(f"GRANT ALL ON abandoned TO {postgres.user}")
    wire = Wire(own_gate.port).log_in("agent", own_gate.password)
    wire.send(query("COPY abandoned FROM STDIN /* long */"))
    assert wire.read().kind == "G"
    wire.send(b"d" + struct.pack("!I", 4 + 6) + b"first\n")
    wire.close()
    eventually(lambda: is_gone(postgres))
    with postgres.connect() as connection:
        assert connection.execute("SELECT count(*) FROM abandoned").fetchone() == (0,)


def test_a_client_that_vanishes_while_its_statement_is_held(gate: MakeGate, postgres: Database) -> None:
    holding = gate(postgres, scripts=[HOLDS])
    wire = Wire(holding.port).log_in("agent", holding.password)
    wire.send(query("CREATE TABLE held_and_left /* hold me */ (a int)"))
    holding.log.wait_for("holding")
    wire.close()
    holding.log.wait_for("let go")
    with postgres.connect() as connection:
        assert connection.execute("SELECT to_regclass('held_and_left')").fetchone() == (None,)


def test_what_is_sent_ahead_of_a_held_statement_is_bounded(gate: MakeGate, postgres: Database) -> None:
    holding = gate(postgres, scripts=[HOLDS], settings="[limits]\ndrain = 1\n")
    with Wire(holding.port).log_in("agent", holding.password) as wire:
        wire.send(query("SELECT 'hold me'"))
        holding.log.wait_for("holding")
        before = memory(holding)
        wire.socket.setblocking(False)
        ahead = query("SELECT 1") * 10000
        sent = 0
        with pytest.raises(BlockingIOError):
            while sent < 200 * MEGABYTE:
                sent += wire.socket.send(ahead)
        assert memory(holding) - before < 16 * MEGABYTE


def test_a_held_session_does_not_disturb_others(gate: MakeGate, postgres: Database) -> None:
    holding = gate(postgres, scripts=[HOLDS])
    with Wire(holding.port).log_in("agent", holding.password) as wire:
        wire.send(query("SELECT 'hold me'"))
        holding.log.wait_for("holding")
        with psycopg.connect(holding.address) as other:
            assert other.execute("SELECT 1").fetchone() == (1,)


def test_memory_does_not_grow_with_the_result(own_gate: Gate) -> None:
    with Wire(own_gate.port).log_in("agent", own_gate.password) as wire:
        wire.query(RESULT.format(25000))  # what is loaded and kept for the first large result is no growth
        before = memory(own_gate)
        wire.send(query(LONG_RESULT))
        read = sum(len(each.body) for each in wire.read_until("Z"))
        assert read > 450 * MEGABYTE
        assert memory(own_gate) - before < 64 * MEGABYTE
