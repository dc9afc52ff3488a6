from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import structs
from tests.plugins.agents.gate import issue

from gatepost_agents import scram
from gatepost_agents.store import FILE, Agent, Store


def test_workers_may_open_a_new_store_at_the_same_moment(tmp_path: Path) -> None:
    workers = 16
    together = threading.Barrier(workers)

    def start(_: int) -> None:
        together.wait()
        Store(tmp_path / "state" / FILE, durable=False).close()

    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(start, range(workers)))


def test_the_store_is_open_to_its_owner_alone(tmp_path: Path) -> None:
    issue(tmp_path / "state")

    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "state").iterdir()} == {0o600}


def test_a_change_that_finds_no_room_leaves_the_store_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path / FILE, durable=False)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    agent = Agent(name="bot", roles=("reader",), acting_for="", keys=scram.derive(scram.generate()), created=0)

    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.add(structs.replace(agent, roles=("x" * 100_000,)))

    assert store.add(agent)
    assert store.find("bot") == agent
    store.close()


def test_attempts_leave_the_files_small(tmp_path: Path) -> None:
    issue(tmp_path)
    store = Store(tmp_path / FILE, durable=False)
    for _ in range(500):
        store.begin_attempt("bot", now=0, limit=10, lockout=1800)
        store.end_attempts("bot")

    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 500_000
    store.close()


def test_a_store_of_before_is_opened_without_what_it_has_not(tmp_path: Path) -> None:
    issue(tmp_path)
    older = sqlite3.connect(tmp_path / FILE)
    for column in ("mysql_native", "caching_sha2"):
        older.execute(f"ALTER TABLE agents DROP COLUMN {column}")
    older.commit()
    older.close()

    store = Store(tmp_path / FILE, durable=True)
    agent = store.find("bot")

    assert agent is not None
    assert agent.keys.stored_key
    assert (agent.keys.mysql_native, agent.keys.caching_sha2) == (b"", b"")
    keys = scram.derive(scram.generate())
    store.rotate("bot", keys)
    rotated = store.find("bot")
    assert rotated is not None
    assert rotated.keys == keys
    store.close()
