"""Credentials of ours through a running gate, with a client that knows nothing of it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from tests.servers import Database, Gate, MakeGate, eventually
from tests.wire import Wire, query


def connect(gate: Gate, password: str) -> psycopg.Connection:
    return psycopg.connect(gate.address, password=password, autocommit=True)


def test_wrong_passwords_lock_an_agent_out_until_it_is_unlocked(postgres: Database, gate: MakeGate) -> None:
    running = gate(postgres, plugins="", settings="workers = 2")
    with connect(running, running.password):
        pass

    refusals = set()
    for password in ["wrong"] * 10 + [running.password]:
        with pytest.raises(psycopg.OperationalError) as caught:
            connect(running, password)
        refusals.add(str(caught.value).rpartition("FATAL:")[2])
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(running.address, user="nobody")
    unknown = str(caught.value).rpartition("FATAL:")[2]
    assert refusals == {unknown.replace("nobody", "agent")}

    running.log.wait_for("login of 'agent' from 127.0.0.1")
    running.log.wait_for(": locked")
    running.log.wait_for(": unknown")
    running.command("agents", "unlock", "agent")
    with connect(running, running.password):
        pass
    assert running.password not in str(running.log)


def test_rotation_and_revocation_reach_the_running_gate(postgres: Database, gate: MakeGate) -> None:
    running = gate(postgres, plugins="")
    with Wire(running.port).log_in("agent", running.password) as session:
        running.command("agents", "rotate", "agent")
        with pytest.raises(psycopg.OperationalError):
            connect(running, running.password)
        session.send(query("SELECT 1"))
        assert [answer.kind for answer in session.read_until()] == list("TDCZ")

        running.command("agents", "revoke", "agent")
        farewell = session.read()
        assert farewell.kind == "E"
        assert "revoked" in farewell.fields["M"]
        assert session.rest() == b""


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_what_an_agent_runs_ends_with_its_credentials(postgres: Database, gate: MakeGate, end: str) -> None:
    running = gate(postgres, plugins="")
    lifetime = ["--expires", "10s"] if end == "expired" else []
    issued = running.command("agents", "add", "worker", "--role", "reader", *lifetime, "--json")
    write = f"INSERT INTO {end} SELECT 1 FROM pg_sleep(600)"

    def run() -> str:
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(json.loads(issued)["urls"]["shop"], port=running.port, dbname="shop").execute(write)
        return str(caught.value)

    with postgres.connect() as direct, ThreadPoolExecutor(1) as threads:
        direct.execute(f"CREATE TABLE {end} (x int)")
        direct.execute(f"GRANT ALL ON {end} TO clerk")
        backend = "SELECT pid FROM pg_stat_activity WHERE query = %s AND state = 'active'"
        error = threads.submit(run)
        eventually(lambda: direct.execute(backend, [write]).fetchone())
        if end == "revoked":
            running.command("agents", "revoke", "worker")

        assert end in error.result()
        eventually(lambda: not direct.execute(backend, [write]).fetchone())
        direct.execute(f"DROP TABLE {end}")


def test_many_connections_at_once_are_no_attack(postgres: Database, gate: MakeGate) -> None:
    running = gate(postgres, plugins="", settings="workers = 2")

    with ThreadPoolExecutor(30) as threads:
        connections = list(threads.map(lambda _: connect(running, running.password), range(30)))

    for connection in connections:
        connection.close()
