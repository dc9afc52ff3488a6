"""The system's MariaDB, where there is one: a server of one's own in a temporary folder, gone when its context ends."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pymysql
from msgspec import Struct

from gatepost.demo.shop import card_numbers

START_SECONDS = 60.0
USER = "shop_owner"
SOCKET = "socket"  # in the data folder
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
_SCHEMA = "CREATE TABLE cards (id INT PRIMARY KEY, brand VARCHAR(30), pan VARCHAR(19) NOT NULL)"


class MySqlFailed(Exception):
    """The server could not be started; the text ends with its own last words."""


class MySqlShop(Struct, frozen=True, kw_only=True):
    """A running server with cards in its database "shop", as their owner sees it."""

    port: int
    user: str
    password: str
    pans: Sequence[str]

    def __repr__(self) -> str:
        return f"MySqlShop(port={self.port})"


def installed() -> tuple[str, str] | None:
    """The programs that serve, and that make a data folder; None where there are none."""
    server, install = shutil.which("mariadbd", path=_PATH), shutil.which("mariadb-install-db", path=_PATH)
    return (server, install) if server and install else None


@contextmanager
def running(programs: tuple[str, str]) -> Iterator[MySqlShop]:
    """Make a server, furnish it, and remove it at the end. Raises MySqlFailed."""
    server, install = programs
    with tempfile.TemporaryDirectory(prefix="gatepost-mysql-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        common = ["--no-defaults", f"--datadir={folder / 'data'}"]
        if os.geteuid() == 0:
            common.append("--user=root")
        # By the socket alone, and from the user that it is for: "normal" lets whoever reaches the port be root.
        superuser = pwd.getpwuid(os.geteuid()).pw_name
        roots = ["--auth-root-authentication-method=socket", f"--auth-root-socket-user={superuser}"]
        made = subprocess.run(  # noqa: S603
            [install, *common, *roots, "--skip-test-db"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise MySqlFailed(f"mariadb-install-db failed: {(made.stdout + made.stderr).strip()}")
        port, log = _free_port(), folder / "log"
        place = [f"--socket={SOCKET}", f"--pid-file={folder / 'pid'}", f"--port={port}"]
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                [server, *common, *place, "--bind-address=127.0.0.1"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C on the terminal is for us: we stop it in order
            )
        try:
            yield _furnish(_connect(process, folder / "data", superuser, log), port)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _connect(process: subprocess.Popen[bytes], folder: Path, superuser: str, log: Path) -> pymysql.Connection:
    deadline = time.monotonic() + START_SECONDS
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    place = f"/proc/self/fd/{held}/{SOCKET}"  # however long the folder's path is: a socket's may have 107 bytes
    try:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                return pymysql.connect(unix_socket=place, user=superuser, autocommit=True)
            except pymysql.OperationalError:
                time.sleep(0.05)
    finally:
        os.close(held)
    raise MySqlFailed(f"MariaDB did not start: {log.read_text(errors='replace').strip()}")


def _furnish(connection: pymysql.Connection, port: int) -> MySqlShop:
    password = secrets.token_urlsafe(18)
    cards = card_numbers(20, secrets.SystemRandom())
    with connection, connection.cursor() as cursor:
        for statement in ("CREATE DATABASE shop", "USE shop", _SCHEMA):
            cursor.execute(statement)
        rows = [(number, brand, pan) for number, (brand, pan) in enumerate(cards, 1)]
        cursor.executemany("INSERT INTO cards VALUES (%s, %s, %s)", rows)
        cursor.execute(f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY %s", (password,))
        cursor.execute(f"GRANT ALL ON shop.* TO {USER}@'127.0.0.1'")
    return MySqlShop(port=port, user=USER, password=password, pans=[pan for _, pan in cards])
