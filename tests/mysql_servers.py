"""Real servers for tests: MariaDB and MySQL, with the shop in them; as fixtures.

MariaDB is the system's. MySQL is the one that `.ci/mysql` has unpacked into the folder .mysql, or into another that
GATEPOST_MYSQL names; where there is none its tests are skipped, and the run says so.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pymysql
import pytest
from tests.certificates import Authority
from tests.servers import PATIENCE, Gate, MakeGate, gates

from gatepost.demo.shop import card_numbers

SCHEMA = """\
CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(60) NOT NULL, email VARCHAR(120) NOT NULL);
CREATE TABLE cards (
  id INT PRIMARY KEY, customer INT NOT NULL, brand VARCHAR(30) NOT NULL, pan VARCHAR(19) NOT NULL UNIQUE,
  expires CHAR(5) NOT NULL
);
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT NOT NULL, total DECIMAL(10, 2), placed DATETIME);
"""
CUSTOMERS = 50


class Flavour(NamedTuple):
    """A kind of server: its programs' folder, and what it is started with.

    Attributes:
        server, client: how to call `mysqld` or `mariadbd`, and `mariadb`.
    """

    name: str
    server: tuple[str, ...]
    install: tuple[str, ...]
    options: tuple[str, ...]


class MySqlServer(NamedTuple):
    port: int


class MySqlDatabase(NamedTuple):
    """A server with the shop in its database "shop", open to `user`."""

    flavour: str
    server: MySqlServer
    socket: Path
    root_password: str
    user: str
    password: str
    pans: Sequence[str]

    def connect(self, **options: Any) -> pymysql.Connection[Any]:
        """A direct connection as the superuser."""
        return pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            password=self.root_password,
            database="shop",
            autocommit=True,
            charset="utf8mb4",
            **options,
        )


def mariadb() -> Flavour | None:
    server, install = shutil.which("mariadbd", path=_PATH), shutil.which("mariadb-install-db", path=_PATH)
    if server is None or install is None:
        return None
    common = ("--no-defaults", "--user=root") if os.geteuid() == 0 else ("--no-defaults",)
    roots = ("--auth-root-authentication-method=socket", "--auth-root-socket-user=root")
    return Flavour(
        "mariadb",
        (server, *common),
        (install, *common, *roots, "--skip-test-db", "--innodb-log-file-size=4M"),
        ("--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0", "--plugin-load-add=auth_ed25519"),
    )


def mysql() -> Flavour | None:
    """MySQL from a folder into which its packages were unpacked, with a loader and libraries of its own."""
    root = Path(os.environ.get("GATEPOST_MYSQL") or Path(__file__).parents[1] / ".mysql")
    if not (root / "usr/sbin/mysqld").exists():
        return None
    libraries = root / "usr/lib/x86_64-linux-gnu"
    common = ("--no-defaults", "--user=root") if os.geteuid() == 0 else ("--no-defaults",)
    server = (
        str(libraries / "ld-linux-x86-64.so.2"),
        "--library-path",
        f"{libraries}:{root / 'usr/lib/mysql/private'}",
        str(root / "usr/sbin/mysqld"),
        *common,
        f"--basedir={root / 'usr'}",
        f"--lc-messages-dir={root / 'usr/share/mysql'}",
        f"--plugin-dir={root / 'usr/lib/mysql/plugin'}",
    )
    options = (
        "--innodb-redo-log-capacity=64M",
        "--innodb-flush-log-at-trx-commit=0",
        "--mysqlx=OFF",
        "--secure-file-priv=NULL",
    )
    return Flavour("mysql", server, (*server, "--initialize-insecure"), options)


_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


@contextmanager
def database(flavour: Flavour, folder: Path, options: Sequence[str] = ()) -> Iterator[MySqlDatabase]:
    """A server of one's own; `with_tls` and `without_tls` give options."""
    data, log = folder / "data", folder / "log"
    # A MariaDB that starts removes temporary tables that it finds: those of others must not be there.
    temporary = folder / "tmp"
    temporary.mkdir()
    place = Path("/tmp") / f"gatepost-{secrets.token_hex(6)}.sock"  # a socket's path may have 107 bytes
    with log.open("wb") as output:
        install = (*flavour.install, f"--datadir={data}", f"--tmpdir={temporary}")
        done = subprocess.run(install, stdout=output, stderr=output, timeout=4 * PATIENCE, check=False)
        assert done.returncode == 0, log.read_text()
        # Other users of the machine reach the socket and the port, and root can read and write files.
        root_password = secrets.token_hex(16)
        first = folder / "first.sql"
        first.touch(mode=0o600)
        first.write_text(f"ALTER USER root@localhost IDENTIFIED BY '{root_password}';\n")
        port = _free_port()
        process = subprocess.Popen(
            [
                *flavour.server,
                f"--datadir={data}",
                f"--tmpdir={temporary}",
                f"--socket={place}",
                f"--pid-file={folder / 'pid'}",
                f"--port={port}",
                f"--init-file={first}",
                "--bind-address=127.0.0.1",
                "--max-allowed-packet=256M",
                *flavour.options,
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        password = "upstream-" + secrets.token_hex(8)
        pans = _build(_connected(process, place, root_password, log), flavour.name, password)
        yield MySqlDatabase(flavour.name, MySqlServer(port), place, root_password, "clerk", password, pans)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        place.unlink(missing_ok=True)


def with_tls(authority: Authority, folder: Path) -> Sequence[str]:
    """Options by which a server shows a certificate for 127.0.0.1, of files of its own, and asks clients for one."""
    files = folder / "server.pem", folder / "server.key"
    for file, issued in zip(files, authority.server(), strict=True):
        shutil.copy(issued, file)
    return (f"--ssl-ca={authority.certificate}", f"--ssl-cert={files[0]}", f"--ssl-key={files[1]}")


def without_tls(flavour: Flavour) -> Sequence[str]:
    return ("--skip-ssl",) if flavour.name == "mariadb" else ("--tls-version=",)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _connected(process: subprocess.Popen[bytes], place: Path, root_password: str, log: Path) -> pymysql.Connection[Any]:
    deadline = time.monotonic() + 2 * PATIENCE
    while True:
        try:
            return pymysql.connect(unix_socket=str(place), user="root", password=root_password, autocommit=True)
        except pymysql.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


def _build(connection: pymysql.Connection[Any], flavour: str, password: str) -> Sequence[str]:
    cards = card_numbers(CUSTOMERS, random.SystemRandom())
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE shop CHARACTER SET utf8mb4")
        cursor.execute("USE shop")
        for statement in SCHEMA.split(";\n"):
            if statement:
                cursor.execute(statement)
        numbers = range(1, CUSTOMERS + 1)
        cursor.executemany(
            "INSERT INTO customers VALUES (%s, %s, %s)",
            [(number, f"Customer {number}", f"c{number}@shop.example") for number in numbers],
        )
        cursor.executemany(
            "INSERT INTO cards VALUES (%s, %s, %s, %s, '12/31')",
            [(number, number, brand, pan) for number, (brand, pan) in zip(numbers, cards, strict=True)],
        )
        cursor.executemany(
            "INSERT INTO orders (customer, total, placed) VALUES (%s, %s, '2026-01-02 03:04:05')",
            [(number, f"{number}.50") for number in numbers],
        )
        cursor.execute(f"CREATE USER clerk@'127.0.0.1' IDENTIFIED BY '{password}'")
        cursor.execute("GRANT ALL ON shop.* TO clerk@'127.0.0.1'")
    return [pan for _, pan in cards]


def flavour_of(name: str) -> Flavour:
    """ "mariadb" or "mysql"; where that is not installed, the test is skipped."""
    flavour = {"mariadb": mariadb, "mysql": mysql}[name]()
    if flavour is None:
        hint = "install the system's mariadb-server" if name == "mariadb" else "run .ci/mysql"
        reason = f"no {name} server: {hint}"
        pytest.fail(reason) if os.environ.get("CI") and name == "mariadb" else pytest.skip(reason)
    return flavour


@pytest.fixture(scope="session", params=["mariadb", "mysql"])
def mysql_server(
    request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MySqlDatabase]:
    """MariaDB and MySQL in turn, with TLS."""
    folder = tmp_path_factory.mktemp(request.param)
    with database(flavour_of(request.param), folder, with_tls(authority, folder)) as running:
        yield running


@pytest.fixture(scope="session")
def plain_mysql_server(
    mysql_server: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MySqlDatabase]:
    """The same without TLS."""
    flavour = flavour_of(mysql_server.flavour)
    with database(flavour, tmp_path_factory.mktemp("plain"), without_tls(flavour)) as running:
        yield running


@pytest.fixture(scope="session")
def mysql_gate(
    mysql_server: MySqlDatabase, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """A gate with every plugin in front of it, shared by the tests that leave it as it is. TLS is optional."""
    certificate, key = authority.server()
    with gates(tmp_path_factory.mktemp("mysqlgate")) as make:
        yield mysql_front(
            make, mysql_server, target=f'tls.mode = "optional"\ntls.certificate = "{certificate}"\ntls.key = "{key}"'
        )


def mysql_front(make: MakeGate, upstream: MySqlDatabase, **options: Any) -> Gate:
    """A gate in front of a MySQL server; `options` are those of `tests.servers.gates`."""
    return make(upstream, protocol="mysql", **options)


def the_command(gate: Gate) -> list[str]:
    """How to call `mariadb` as the agent; options may follow."""
    command = shutil.which("mariadb")
    if command is None:
        reason = "no mariadb command: install the system's mariadb-client"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    place = ["--host=127.0.0.1", f"--port={gate.port}", "--user=agent", "--database=shop"]
    return [command, "--no-defaults", *place, f"--password={gate.password}"]


def connect(gate: Gate, **options: Any) -> pymysql.Connection[Any]:
    """PyMySQL, as the agent."""
    return pymysql.connect(
        **{
            "host": "127.0.0.1",
            "port": gate.port,
            "user": "agent",
            "password": gate.password,
            "database": "shop",
            "autocommit": True,
            **options,
        }
    )
