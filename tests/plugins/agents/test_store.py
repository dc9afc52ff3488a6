from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.plugins.agents.gate import issue

from gatepost_agents.store import FILE, Store


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
