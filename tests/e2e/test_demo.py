"""`gatepost demo`, as a newcomer runs it."""

from __future__ import annotations

import getpass
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pymysql
import pytest
from tests.servers import GATEPOST

from gatepost.demo import mysql


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for temporary files that PostgreSQL's own user can reach, as it cannot reach pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_it_shows_everything_and_leaves_nothing(folder: Path) -> None:
    done = subprocess.run(
        [GATEPOST, "demo", "--once"], capture_output=True, text=True, check=False, env={"TMPDIR": str(folder)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in (
        "orders are never deleted",
        "already exists",
        "MySQL and MariaDB",
        "audit replay",
        "was changed",
        "nothing is left",
    ):
        assert shown in done.stdout
    assert list(folder.iterdir()) == []


def test_nobody_is_let_into_its_mariadb_without_a_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = mysql.installed()
    if programs is None:
        pytest.skip("no MariaDB: install the system's mariadb-server")
    longer = folder / ("long" * 30)  # a socket's path may have 107 bytes
    longer.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(longer))
    with mysql.running(programs) as shop:
        for user in ("root", "", getpass.getuser(), shop.user):
            with pytest.raises(pymysql.OperationalError, match="Access denied"):
                pymysql.connect(host="127.0.0.1", port=shop.port, user=user)


def test_a_signal_ends_it_in_order(folder: Path) -> None:
    process = subprocess.Popen([GATEPOST, "demo"], stdout=subprocess.PIPE, text=True, env={"TMPDIR": str(folder)})
    assert process.stdout is not None
    next(line for line in process.stdout if "An agent connects" in line)
    below = psutil.Process(process.pid).children(recursive=True)
    assert below
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert psutil.wait_procs(below, timeout=10)[1] == []
    assert list(folder.iterdir()) == []
