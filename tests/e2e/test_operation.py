"""Signals, reloads and limits: what whoever runs the gate relies on."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors
from tests.e2e.scripts import HOLDS
from tests.servers import NOTHING, Database, MakeGate, configuration, eventually
from tests.wire import Wire, startup

WAITS = "SELECT pg_advisory_xact_lock(4711), 'at last'"


def is_waiting(postgres: Database) -> bool:
    with postgres.connect() as connection:
        return connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND objid = 4711").fetchone() is not None


def test_sigterm_lets_statements_end_and_closes_what_is_idle(gate: MakeGate, postgres: Database) -> None:
    draining = gate(postgres)
    with (
        postgres.connect() as blocker,
        psycopg.connect(draining.address, autocommit=True) as busy,
        Wire(draining.port).log_in("agent", draining.password) as idle,
        ThreadPoolExecutor() as pool,
    ):
        blocker.execute("SELECT pg_advisory_lock(4711)")
        answer = pool.submit(lambda: busy.execute(WAITS).fetchone())
        eventually(lambda: is_waiting(postgres))
        draining.process.send_signal(signal.SIGTERM)
        farewell = idle.read()
        assert (farewell.kind, farewell.fields["C"]) == ("E", "57P01")
        assert idle.rest() == b""
        with pytest.raises((ConnectionError, EOFError, psycopg.OperationalError)):
            psycopg.connect(draining.address).execute("SELECT 1")
        blocker.execute("SELECT pg_advisory_unlock(4711)")
        assert answer.result(30) == ("", "at last")
        assert draining.process.wait(30) == 0


def test_sigterm_waits_for_open_transactions_no_longer_than_it_is_told(gate: MakeGate, postgres: Database) -> None:
    draining = gate(postgres, settings="[limits]\ndrain = 0.5\n")
    with Wire(draining.port).log_in("agent", draining.password) as wire:
        wire.query("BEGIN")
        draining.process.send_signal(signal.SIGTERM)
        farewell = wire.read()
        assert (farewell.kind, farewell.fields["C"]) == ("E", "57P01")
        assert draining.process.wait(30) == 0


def test_a_reload_serves_new_sessions_by_the_new_configuration(gate: MakeGate, postgres: Database) -> None:
    reloading = gate(postgres)
    pan = postgres.pans[0]
    with psycopg.connect(reloading.address, autocommit=True) as before:
        assert before.execute("SELECT pan FROM cards WHERE id = 1").fetchone() != (pan,)
    reloading.config.write_text(configuration(postgres, NOTHING))
    reloading.process.send_signal(signal.SIGHUP)
    reloading.log.wait_for("was reloaded")

    def is_clear() -> bool:
        try:
            with psycopg.connect(reloading.address) as after:
                return after.execute("SELECT pan FROM cards WHERE id = 1").fetchone() == (pan,)
        except psycopg.OperationalError:
            return False  # a worker that is about to leave has taken it

    eventually(is_clear)


def test_a_reload_does_not_cut_a_transaction(gate: MakeGate, postgres: Database) -> None:
    reloading = gate(postgres)
    with psycopg.connect(reloading.address) as connection:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        reloading.process.send_signal(signal.SIGHUP)
        reloading.log.wait_for("was reloaded")
        assert connection.execute("SELECT pg_backend_pid()").fetchone() == (pid,)
        connection.commit()


def test_a_reload_of_a_wrong_configuration_changes_nothing(gate: MakeGate, postgres: Database) -> None:
    reloading = gate(postgres)
    with psycopg.connect(reloading.address, autocommit=True) as connection:
        reloading.config.write_text(configuration(postgres, "[plugins.mask]\nmistake = 1\n"))
        reloading.process.send_signal(signal.SIGHUP)
        said = reloading.log.wait_for("was not reloaded")
        assert "mistake" in said
        assert str(reloading.config) in said
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with psycopg.connect(reloading.address) as connection:
        assert connection.execute("SELECT pan FROM cards WHERE id = 1").fetchone() != (postgres.pans[0],)


def test_a_wrong_configuration_does_not_start(gate: MakeGate, postgres: Database) -> None:
    running = gate(postgres)
    running.config.write_text(configuration(postgres, "[plugins.mask]\nmistake = 1\n"))
    running.command("check", status=2)
    running.command("run", status=2)


def test_a_gate_that_cannot_read_its_secret_does_not_start(gate: MakeGate, postgres: Database) -> None:
    stopped = gate(postgres)
    stopped.stop()
    stopped.config.write_text(configuration(postgres, NOTHING).replace("upstream.password", "none.password"))
    warning = json.loads(stopped.command("check", "--json"))["problems"][0]
    assert (warning["severity"], warning["key"]) == ("warning", "plugins.secrets.targets.shop.password")
    assert "none.password cannot be read" in warning["message"]
    stopped.command("run", status=2)


def test_a_second_gate_on_the_same_state_does_not_start(gate: MakeGate, postgres: Database) -> None:
    gate(postgres).command("run", status=2)


def test_more_clients_than_allowed_are_told_so(gate: MakeGate, postgres: Database) -> None:
    small = gate(postgres, settings="[limits]\nconnections = 2\n")
    with Wire(small.port).log_in("agent", small.password) as first:
        second = Wire(small.port).log_in("agent", small.password)
        with Wire(small.port) as third:
            third.send(startup("agent", "shop"))
            assert third.read().fields["C"] == "53300"
        second.close()

        def is_free() -> bool:
            try:
                Wire(small.port).log_in("agent", small.password).close()
            except Exception:
                return False
            return True

        eventually(is_free)
        first.query("SELECT 1")


def test_strangers_cannot_take_the_places_of_all(gate: MakeGate, postgres: Database) -> None:
    small = gate(postgres, settings="[limits]\nunauthenticated = 2\n")
    with Wire(small.port).log_in("agent", small.password) as known, Wire(small.port), Wire(small.port):
        with Wire(small.port) as third:
            third.send(startup("agent", "shop"))
            assert third.read().fields["C"] == "53300"
        assert [each.kind for each in known.query("SELECT 1")] == list("TDCZ")


def test_a_handshake_that_takes_too_long_is_ended(gate: MakeGate, postgres: Database) -> None:
    hasty = gate(postgres, settings="[limits]\nhandshake = 0.5\n")
    with (
        Wire(hasty.port).log_in("agent", hasty.password) as known,
        Wire(hasty.port) as silent,
        Wire(hasty.port) as halfway,
    ):
        halfway.send(startup("agent", "shop"))
        assert halfway.read().kind == "R"
        silent.rest()
        halfway.rest()
        hasty.log.wait_for(silent.address)
        hasty.log.wait_for(halfway.address)
        assert [each.kind for each in known.query("SELECT 1")] == list("TDCZ")


def test_a_session_that_is_idle_too_long_is_ended(gate: MakeGate, postgres: Database) -> None:
    hasty = gate(postgres, settings="[limits]\nidle = 0.5\n")
    with Wire(hasty.port).log_in("agent", hasty.password) as wire:
        farewell = wire.read()
        assert (farewell.kind, farewell.fields["C"]) == ("E", "57P05")


def test_a_statement_larger_than_allowed_is_refused_before_it_is_buffered(gate: MakeGate, postgres: Database) -> None:
    small = gate(postgres, settings="[limits]\nmessage_bytes = 100000\n")
    with Wire(small.port).log_in("agent", small.password) as wire:
        wire.send(b"Q" + (1_000_000_000).to_bytes(4))
        refusal = wire.read()
        assert (refusal.kind, refusal.fields["C"]) == ("E", "54000")
        assert wire.rest() == b""


def test_sigterm_denies_what_is_held(gate: MakeGate, postgres: Database) -> None:
    holding = gate(postgres, scripts=[HOLDS], settings="[limits]\ndrain = 0.5\n")
    with Wire(holding.port).log_in("agent", holding.password) as wire:
        wire.send(b"Q" + (4 + 20).to_bytes(4) + b"CREATE TABLE hold me"[:19] + b"\0")
        holding.process.send_signal(signal.SIGTERM)
        wire.rest()
        assert holding.process.wait(30) == 0


def test_two_workers_serve_alike(gate: MakeGate, postgres: Database) -> None:
    two = gate(postgres, settings="workers = 2")
    assert len(two.workers) == 2
    for n in range(20):
        with psycopg.connect(two.address) as connection:
            assert connection.execute("SELECT %s::int", (n,)).fetchone() == (n,)


def test_a_worker_that_dies_is_replaced(gate: MakeGate, postgres: Database) -> None:
    one = gate(postgres)
    connection = psycopg.connect(one.address)
    (worker,) = one.workers
    worker.kill()
    with pytest.raises(errors.OperationalError):
        connection.execute("SELECT 1")

    def serves() -> bool:
        try:
            with psycopg.connect(one.address) as again:
                return again.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    eventually(serves)
    assert [process.pid for process in one.workers] != [worker.pid]
