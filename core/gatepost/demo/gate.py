"""The demo's gatepost: a configuration in a temporary folder, and a real `gatepost run` that serves it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from gatepost.demo.mysql import MySqlShop
from gatepost.demo.postgres import Server

STOP_SECONDS = 45.0

CONFIGURATION = """\
state = "state"

[limits]
drain = 2

[targets.shop]
protocol = "postgres"
listen = "127.0.0.1:0"
upstream = "127.0.0.1:{port}"
database = "shop"
{mysql_target}
[plugins.agents]

[plugins.secrets.targets.shop]
user = "{user}"
password = "file:database.password"
{mysql_login}
[plugins.mask]

[plugins.audit]
"""

MYSQL_TARGET = """
[targets.shop_mysql]
protocol = "mysql"
listen = "127.0.0.1:0"
upstream = "127.0.0.1:{port}"
database = "shop"
"""

MYSQL_LOGIN = """
[plugins.secrets.targets.shop_mysql]
user = "{user}"
password = "file:mysql.password"
"""


class GateFailed(Exception):
    """gatepost could not be started, or a command of it failed; the text ends with what it said."""


class Gate(Struct, frozen=True, kw_only=True):
    """A running gate with one agent.

    Attributes:
        folder: its configuration, its state and its log.
        port: where agents find it.
        mysql_port: where they find it with MySQL's protocol, None if there is no such target.
        agent, password: the credentials that it has issued.
    """

    folder: Path
    port: int
    agent: str
    password: str
    process: subprocess.Popen[str]
    mysql_port: int | None = None

    def __repr__(self) -> str:
        return f"Gate(port={self.port})"

    @property
    def url(self) -> str:
        return f"postgresql://{self.agent}:{self.password}@127.0.0.1:{self.port}/shop"


def prepare(folder: Path, server: Server, user: str, password: str, mysql: MySqlShop | None = None) -> None:
    """Write the configuration of a gate in front of `server`, which logs in there as `user`, and of `mysql`."""
    target = MYSQL_TARGET.format(port=mysql.port) if mysql else ""
    login = MYSQL_LOGIN.format(user=mysql.user) if mysql else ""
    text = CONFIGURATION.format(port=server.port, user=user, mysql_target=target, mysql_login=login)
    (folder / "gatepost.toml").write_text(text)
    _keep(folder / "database.password", password)
    if mysql:
        _keep(folder / "mysql.password", mysql.password)


def _keep(file: Path, secret: str) -> None:
    file.touch(mode=0o600)
    file.write_text(secret)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `gatepost ARGUMENTS` on the configuration in `folder`."""
    return subprocess.run(  # noqa: S603
        _gatepost(folder, *arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _gatepost(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "gatepost", "--config", str(folder / "gatepost.toml"), *arguments]


@contextmanager
def running(folder: Path, script: Path) -> Iterator[Gate]:
    """Issue an agent's credentials, then serve with `script` as a further plugin.

    Raises:
        GateFailed: it did not start.
    """
    agent = "agent-7"
    issued = command(folder, "agents", "add", agent, "--role", "reader", "--acting-for", "you", "--json")
    if issued.returncode:
        raise GateFailed(f"gatepost agents add: {issued.stderr.strip()}")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            _gatepost(folder, "--script", str(script), "run"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # a Ctrl-C on the terminal is for us: we stop it in order
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise GateFailed(f"gatepost run: {(folder / 'log').read_text().strip()}")
        ports = {name: int(place.rpartition(":")[2]) for name, place in json.loads(line)["targets"].items()}
        password = json.loads(issued.stdout)["password"]
        yield Gate(
            folder=folder,
            port=ports["shop"],
            mysql_port=ports.get("shop_mysql"),
            agent=agent,
            password=password,
            process=process,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
