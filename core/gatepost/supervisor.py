"""`gatepost run`: the process that starts services and workers, restarts them, reloads and stops them.

It touches no session. Everything is loaded before workers are forked, so a wrong configuration stops the start (or
leaves a reload without effect), and workers share the memory of what was loaded.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import logging
import os
import resource
import secrets
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import uvloop

from gatepost import config as configuration
from gatepost import loading, state
from gatepost import log as logs
from gatepost.calling import failure
from gatepost.config import Config
from gatepost.errors import ConfigFault, Fault
from gatepost.gateway import LocalGateway
from gatepost.plugins import Plugins
from gatepost.server import Server, listeners, open_files_needed, worker_slots

_GC_THRESHOLDS: Final = (20_000, 5, 5)

log = logging.getLogger("gatepost.supervisor")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_SECRET_BYTES: Final = 32
_slot: Final = struct.Struct("!I")
_STABLE_SECONDS: Final = 5.0
_LONGEST_BACKOFF: Final = 5.0
_KILL_SECONDS: Final = 10.0
_CONFIG_STATUS: Final = 2


class Child(msgspec.Struct, kw_only=True):
    """A process that is to be kept running.

    `slot`: its place among the workers, None for a service. `is_ready`: it listens. `status`: how it ended last.
    `retiring`: it is not restarted when it ends. `replaced`: it was told to end, and starts again with a new `main`.
    """

    name: str
    main: Callable[[], None]
    slot: int | None = None
    is_ready: bool = False
    pid: int = 0
    started_at: float = 0.0
    failures: int = 0
    status: int = 0
    due_at: float | None = None
    retiring: bool = False
    replaced: bool = False

    @property
    def is_worker(self) -> bool:
        return self.slot is not None


def run(config: Config, scripts: Sequence[Path] = ()) -> int:
    """Run the gateway until SIGTERM or SIGINT. Returns the exit status.

    Raises:
        ConfigFault: the configuration cannot be used; nothing was started.
        OSError: a file in the state folder cannot be used; the same.
    """
    os.umask(0o077)
    lock = _lock(state.folder(config))
    try:
        return Supervisor(config, scripts).run()
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    """Keep two gateways out of one state folder. Raises: ConfigFault, OSError."""
    lock = os.open(folder / "gatepost.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(lock)
        raise ConfigFault(
            f"another gatepost is running in {folder}",
            key="state",
            hint="Stop it, or give this one a folder of its own.",
        ) from None
    return lock


def _gate_secret(folder: Path) -> bytes:
    """The gate's own secret, made at the first start.

    It must outlast a restart: the salts that unknown users are shown derive from it, and those of real ones stay.
    """
    file = folder / "gate.secret"
    if not file.exists():
        new = folder / "gate.secret.new"
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as created:
                created.write(secrets.token_bytes(_SECRET_BYTES))
                created.flush()
                os.fsync(created.fileno())
            new.rename(file)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(file)) from error
    secret = file.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise ConfigFault(f"{file} is damaged", hint="Remove it; a new one is made.")
    return secret


class Supervisor:
    """The parent of all of gatepost's processes."""

    def __init__(self, config: Config, scripts: Sequence[Path]) -> None:
        self._scripts = scripts
        self._gate_secret = _gate_secret(config.state)
        self._children: list[Child] = []
        self._reserved: dict[str, socket.socket] = {}
        self._next_slot = 0
        self._is_open = False
        self._outgoing: list[Child] = []
        self._stopping_since: float | None = None
        self._config = config
        self._plugins = self._prepare(config)
        self._selector = selectors.DefaultSelector()
        self._ready_read, self._ready_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> int:
        wake_read, wake_write = socket.socketpair()
        for end in (wake_read, wake_write):
            end.setblocking(False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wake_write.fileno())
        self._selector.register(wake_read, selectors.EVENT_READ)
        self._selector.register(self._ready_read, selectors.EVENT_READ)
        self._start_generation()
        status = 0
        while self._children:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is wake_read:
                    for signal_number in wake_read.recv(4096):
                        self._signalled(signal_number)
                else:
                    self._note_ready()
            self._reap()
            if failed := self._failed_to_start():
                log.error("%s could not start; stopping", failed.name)
                status = _CONFIG_STATUS if failed.status == _CONFIG_STATUS else 1
                self._stop()
            self._restart_due()
            self._hurry()
        return status

    def _prepare(self, config: Config) -> Plugins:
        """Load all that a worker needs, and reserve the ports. Raises: ConfigFault."""
        plugins = loading.load(config, self._scripts)
        gateway = LocalGateway(config, plugins)
        logs.configure(config.log, gateway.redact)
        for listener in listeners(config, gateway):
            name = listener.target.name
            kept = self._reserved.get(name)
            if kept is None or not _same_address(kept, listener.host, listener.port):
                self._reserved[name] = _reserve(name, listener.host, listener.port)
        _raise_file_limit(open_files_needed(config))
        return plugins

    def _start_generation(self) -> None:
        gc.collect()
        gc.freeze()
        # Only sessions leave cycles behind, statements do not; to look for some after every few hundred objects takes a
        # tenth of the time.
        gc.set_threshold(*_GC_THRESHOLDS)
        self._start_services()
        ports = {name: reserved.getsockname()[1] for name, reserved in self._reserved.items()}
        for slot in worker_slots(self._next_slot, self._config.workers):
            self._start(Child(name=f"worker {slot}", main=self._worker_main(slot, ports), slot=slot))
        self._next_slot += self._config.workers

    def _start_services(self) -> None:
        """Start the services that are new; tell those that go on to begin again, those that are gone to end."""
        services = {each.name: each for each in self._plugins.services(LocalGateway(self._config, self._plugins))}
        for child in [child for child in self._children if not child.is_worker and not child.retiring]:
            service = services.pop(child.name, None)
            if service is None:
                child.retiring = True
                self._send(child, signal.SIGTERM)
            else:
                child.main = service.run
                child.replaced = True
                self._send(child, signal.SIGHUP)
        for service in services.values():
            self._start(Child(name=service.name, main=service.run))

    def _worker_main(self, slot: int, ports: dict[str, int]) -> Callable[[], None]:
        config, plugins = self._config, self._plugins

        async def serve() -> None:
            server = Server(config, plugins, ports, slot, self._gate_secret)
            await server.run(lambda: self._tell_ready(slot))

        def main() -> None:
            uvloop.run(serve())

        return main

    def _tell_ready(self, slot: int) -> None:
        """In a worker: its listeners are open."""
        os.write(self._ready_write, _slot.pack(slot))

    def _note_ready(self) -> None:
        """Announce the gate when all its workers listen; let the workers of a former configuration go."""
        slots = {slot for (slot,) in _slot.iter_unpack(os.read(self._ready_read, 1024 * _slot.size))}
        for child in self._children:
            child.is_ready = child.is_ready or child.slot in slots
        current = [child for child in self._children if child.is_worker and child not in self._outgoing]
        if self._stopping_since is not None or not all(child.is_ready for child in current):
            return
        if not self._is_open:
            self._is_open = True
            self._announce()
        if self._outgoing:
            for child in self._outgoing:
                child.retiring = True
                self._send(child, signal.SIGTERM)
            self._outgoing = []
            log.info("the configuration was reloaded")

    def _start(self, child: Child) -> None:
        self._children = [each for each in self._children if each is not child] + [child]
        parent = os.getpid()
        child.due_at = None
        child.is_ready = False
        child.started_at = time.monotonic()
        child.pid = os.fork()
        if child.pid == 0:
            _become(child, parent, self._config.state)
        log.debug("started %s, process %d", child.name, child.pid)

    def _announce(self) -> None:
        addresses = {}
        for name, reserved in self._reserved.items():
            host, port = reserved.getsockname()[:2]
            addresses[name] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if sys.stdout.isatty():
            for name, address in addresses.items():
                print(f"gatepost: {name} is at {address}", flush=True)  # noqa: T201
        else:
            print(json.dumps({"event": "ready", "targets": addresses}), flush=True)  # noqa: T201
        log.info("ready: %s", ", ".join(f"{name} at {address}" for name, address in addresses.items()))

    def _signalled(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number == signal.SIGHUP and self._stopping_since is None:
            self._reload()

    def _reload(self) -> None:
        """Replace workers and services by new ones with the new configuration, or keep all if it is wrong."""
        if self._config.file is None:
            return
        try:
            config = configuration.load(self._config.file)
            if config.state != self._config.state:
                raise ConfigFault("the state folder cannot change while gatepost runs", key="state")
            plugins = self._prepare(config)
        except Fault as fault:
            log.error("the configuration was not reloaded: %s%s", fault, f". {fault.hint}" if fault.hint else "")
            return
        self._outgoing = [child for child in self._children if child.is_worker and not child.retiring]
        self._config, self._plugins = config, plugins
        for name in set(self._reserved) - set(config.targets):
            self._reserved.pop(name).close()
        self._start_generation()

    def _stop(self) -> None:
        if self._stopping_since is not None:
            return
        self._stopping_since = time.monotonic()
        for child in self._children:
            child.retiring = True
            if child.is_worker:
                self._send(child, signal.SIGTERM)
        self._children = [child for child in self._children if child.pid]
        self._stop_services()

    def _stop_services(self) -> None:
        """Services outlive the workers that use them."""
        if self._stopping_since is not None and not any(child.is_worker for child in self._children):
            for child in self._children:
                self._send(child, signal.SIGTERM)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = next((child for child in self._children if child.pid == pid), None)
            if child is None:
                continue
            child.pid = 0
            if child.retiring:
                self._children.remove(child)
                self._stop_services()
                continue
            if child.replaced:
                child.replaced = False
                child.due_at = time.monotonic()
                continue
            lived = time.monotonic() - child.started_at
            child.failures = child.failures + 1 if lived < _STABLE_SECONDS else 0
            child.due_at = time.monotonic() + min(0.1 * 2**child.failures - 0.1, _LONGEST_BACKOFF)
            child.status = os.waitstatus_to_exitcode(status)
            if self._failed_to_start() is not child:
                log.error("%s ended (%s) and is started again", child.name, _describe(status))

    def _failed_to_start(self) -> Child | None:
        """Before the gate was ever open, a worker that ends is an error of the start."""
        if self._is_open or self._stopping_since is not None:
            return None
        return next((child for child in self._children if child.is_worker and child.due_at is not None), None)

    def _restart_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.due_at is not None and child.due_at <= now and not child.retiring:
                self._start(child)

    def _hurry(self) -> None:
        """Kill what has not ended long after it should have."""
        if self._stopping_since is None:
            return
        if time.monotonic() - self._stopping_since > self._config.limits.drain + _KILL_SECONDS:
            for child in self._children:
                self._send(child, signal.SIGKILL)

    def _patience(self) -> float | None:
        dues = [child.due_at for child in self._children if child.due_at is not None]
        if self._stopping_since is not None:
            dues.append(self._stopping_since + self._config.limits.drain + _KILL_SECONDS)
        return max(0.0, min(dues) - time.monotonic()) + 0.01 if dues else None

    def _send(self, child: Child, number: signal.Signals) -> None:
        if child.pid:
            os.kill(child.pid, number)


def _become(child: Child, parent: int, folder: Path) -> NoReturn:
    """In a new process: be that child, and end with it."""
    status = 1
    try:
        os.chdir(folder)
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN if not child.is_worker else signal.SIG_DFL)
        _settle(child.name, parent)
        child.main()
        status = 0
    except KeyboardInterrupt:
        status = 0
    except Fault as fault:
        status = _CONFIG_STATUS if isinstance(fault, ConfigFault) else status
        log.error("%s: %s%s", child.name, fault, f". {fault.hint}" if fault.hint else "")
    except Exception as error:
        log.error("%s", failure("gatepost", child.name, error))
    finally:
        sys.stdout.flush()
        os._exit(status)


def _settle(name: str, parent: int) -> None:
    """Take a name for `ps`, and end by SIGTERM when the supervisor has gone, however it went (prctl(2))."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"status {os.waitstatus_to_exitcode(status)}"


def _reserve(name: str, host: str, port: int) -> socket.socket:
    """Hold a port that workers will listen on. Raises: ConfigFault."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    try:
        # Without SO_REUSEPORT first: it would let us share a port with another gatepost unawares.
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(address)
    except OSError as error:
        raise ConfigFault(f"cannot listen on {host}:{port}: {error.strerror}", key=f"targets.{name}.listen") from error
    return held


def _same_address(held: socket.socket, host: str, port: int) -> bool:
    now_host, now_port = held.getsockname()[:2]
    return bool(now_host == host and port in (0, now_port))


def _raise_file_limit(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
        if hard < needed:
            log.warning("at most %d files may be open; limits.connections needs %d", hard, needed)
