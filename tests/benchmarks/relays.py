"""What the benchmarks go through: nothing, haproxy, PgBouncer where it can, and gatepost in four configurations."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from tests.servers import Gate, Upstream, gates

from gatepost.demo.postgres import NOBODY
from gatepost_audit.store import Store

TICK = os.sysconf("SC_CLK_TCK")
LIMITS = "[limits]\nconnections = 5000\nunauthenticated = 5000\n"
_POLICY = '[plugins.policy.roles.reader]\nallow = [{ do = ["read", "write"], on = ["public.*", "shop.*"] }]\n'
GATES = {
    "gatepost, no plugin": "",
    "gatepost, everything": "[plugins.mask]\n[plugins.audit]\n",
    "gatepost, everything, `os`": '[plugins.mask]\n[plugins.audit]\nreads = "os"\nwrites = "os"\n',
    "gatepost, everything and a policy": f"{_POLICY}[plugins.mask]\n[plugins.audit]\n",
}
DIRECT, HAPROXY, PGBOUNCER = "direct", "haproxy", "PgBouncer"
BARE, FULL, FULL_OS, POLICY = GATES


class Cpu(NamedTuple):
    """Seconds of processor time."""

    relay: float
    recorder: float


class Relay(NamedTuple):
    """A way to the database.

    Attributes:
        workers, recorder: the processes that carry traffic, and the one that keeps the record.
        record: the folder of the record.
    """

    name: str
    port: int
    user: str
    password: str
    workers: tuple[psutil.Process, ...] = ()
    recorder: tuple[psutil.Process, ...] = ()
    record: Path | None = None

    def cpu(self) -> Cpu:
        return Cpu(_cpu(self.workers), _cpu(self.recorder))

    def settle(self) -> None:
        """Feed the store of the record, lest the indexer catch up while something else is measured."""
        if self.record is not None:
            with Store(self.record) as store:
                store.catch_up()

    def memory(self) -> int:
        """Bytes of memory of the workers, shared pages counted in part (PSS)."""
        return sum(process.memory_full_info().pss for process in self.workers)


def _cpu(processes: tuple[psutil.Process, ...]) -> float:
    """User and system time from /proc/PID/stat, fields 14 and 15 (proc(5)), all threads included."""
    total = 0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


@contextmanager
def relays(upstream: Upstream, protocol: str, folder: Path, only: Sequence[str] = ()) -> Iterator[list[Relay]]:
    """The relays whose names have one of the texts of `only`, running. What cannot be had here is said in one line."""

    def is_wanted(name: str) -> bool:
        return not only or any(part in name for part in only)

    with ExitStack() as stack:
        found = []
        if is_wanted(DIRECT):
            found.append(Relay(DIRECT, upstream.server.port, upstream.user, upstream.password))
        for name, program, start in ((HAPROXY, "haproxy", _haproxy), (PGBOUNCER, "pgbouncer", _pgbouncer)):
            if not is_wanted(name) or (name == PGBOUNCER and protocol != "postgres"):
                continue
            path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
            if path is None:
                print(f"{name} is not installed, so nothing is compared with it: apt-get install {program}")
            else:
                found.append(stack.enter_context(start(path, upstream)))
        make = stack.enter_context(gates(folder))
        for name in filter(is_wanted, GATES):
            found.append(_gatepost(name, make(upstream, protocol=protocol, plugins=GATES[name], settings=LIMITS)))
        yield found


def _gatepost(name: str, gate: Gate) -> Relay:
    record = gate.state / "audit" if gate.recorders else None
    return Relay(name, gate.port, "agent", gate.password, tuple(gate.workers), tuple(gate.recorders), record)


@contextmanager
def _haproxy(program: str, upstream: Upstream) -> Iterator[Relay]:
    def configuration(port: int) -> dict[str, str]:
        return {
            "haproxy.cfg": f"""\
global
  nbthread 1
  maxconn 5000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen shop
  bind 127.0.0.1:{port}
  server shop 127.0.0.1:{upstream.server.port}
"""
        }

    with _running([program, "-db", "-f", "haproxy.cfg"], configuration) as (port, process):
        yield Relay(HAPROXY, port, upstream.user, upstream.password, (process,))


@contextmanager
def _pgbouncer(program: str, upstream: Upstream) -> Iterator[Relay]:
    def configuration(port: int) -> dict[str, str]:
        return {
            "users": f'"{upstream.user}" "{upstream.password}"\n',
            "pgbouncer.ini": f"""\
[databases]
* = host=127.0.0.1 port={upstream.server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = users
pool_mode = session
max_client_conn = 5000
default_pool_size = 4000
ignore_startup_parameters = extra_float_digits
""",
        }

    with _running([program, "-q", "pgbouncer.ini"], configuration) as (port, process):
        yield Relay(PGBOUNCER, port, upstream.user, upstream.password, (process,))


@contextmanager
def _running(
    command: list[str], configuration: Callable[[int], dict[str, str]]
) -> Iterator[tuple[int, psutil.Process]]:
    """A program in a folder with its configuration files, once it listens; not as root, for PgBouncer refuses that."""
    with tempfile.TemporaryDirectory(prefix="gatepost-benchmark-") as name:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        folder = Path(name)
        for file, text in configuration(port).items():
            (folder / file).write_text(text)
        user: dict[str, int] = {}
        if os.geteuid() == 0:
            user = {"user": NOBODY, "group": NOBODY}
            for path in (folder, *folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
        log = folder / "log"
        with log.open("wb") as output:
            process = psutil.Popen(command, cwd=folder, stdout=output, stderr=output, **user)
        try:
            _wait_for_port(port, process, log)
            yield port, psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()


def _wait_for_port(port: int, process: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args} does not listen: {log.read_text()}") from None
            time.sleep(0.02)
        else:
            return
