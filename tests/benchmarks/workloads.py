"""What is measured, whatever the protocol: transactions, streams, idle sessions, memory while streaming."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, NamedTuple

from tests.benchmarks.relays import Relay
from tests.servers import Upstream

PLAIN, PANS = "stream_plain", "stream_pans"
SELECT, ROWS = "select-only", "20 rows with a PAN each"
ROWS_OF_RESULT = 20
NUMBERS = 10_000
PATIENCE = 120.0


class Transactions(NamedTuple):
    """Transactions a second, and seconds of processor time a transaction."""

    rate: float
    relay: float
    recorder: float


class Stream(NamedTuple):
    """Bytes a second, and seconds of processor time of the relay a byte."""

    rate: float
    relay: float
    recorder: float


class Load(ABC):
    """What is done to a database of one protocol, through whichever relay.

    Attributes:
        title: the protocol's name.
        program: what sends the statements.
        peer: the relay that gatepost's transactions are compared with.
        modes: how statements are sent, in the words of the program.
        bound_modes: those of them for which there is a bound. Rows are selected in the first.
        upstream: the database itself.
    """

    title: ClassVar[str]
    program: ClassVar[str]
    peer: ClassVar[str]
    modes: ClassVar[Sequence[str]]
    bound_modes: ClassVar[tuple[str, str]]
    upstream: Upstream

    def transactions(self, relay: Relay, workload: str, *, mode: str, clients: int, seconds: int) -> Transactions:
        """Selects, as many as go. The processor time of logging in is measured apart and taken off."""

        def measure(seconds: int) -> tuple[str, float, float]:
            before = relay.cpu()
            output = self._run(relay, workload, mode, clients, seconds)
            after = relay.cpu()
            return output, after.relay - before.relay, after.recorder - before.recorder

        _, *login = measure(0)
        output, *whole = measure(seconds)
        count, rate = self._counted(output)
        return Transactions(rate, *(max(all_ - once, 0) / count for all_, once in zip(whole, login, strict=True)))

    def stream(self, relay: Relay, table: str) -> Stream:
        """All rows of a table, counted and dropped."""
        with self._session(relay) as wire:
            before, started = relay.cpu(), time.perf_counter()
            size = self._drain(wire, f"SELECT * FROM {table}")
            seconds, after = time.perf_counter() - started, relay.cpu()
        return Stream(size / seconds, (after.relay - before.relay) / size, (after.recorder - before.recorder) / size)

    def idle(self, relay: Relay, sessions: int) -> float:
        """Bytes of the relay's memory that each of `sessions` idle sessions takes, after one statement each."""
        before = relay.memory()
        with ExitStack() as stack:
            for _ in range(sessions):
                stack.enter_context(self._session(relay)).query("SELECT 1")
            return (relay.memory() - before) / sessions

    def memory(self, relay: Relay, table: str, size: int) -> float:
        """Bytes of memory above idle, at most, while about `size` bytes are streamed as the answer of one statement."""
        with self._session(relay) as wire:
            times = 1 + size // self._drain(wire, f"SELECT * FROM {table}")
            idle = peak = relay.memory()
            done = threading.Event()

            def watch() -> None:
                nonlocal peak
                while not done.wait(0.05):
                    peak = max(peak, relay.memory())

            watcher = threading.Thread(target=watch)
            watcher.start()
            try:
                self._drain(wire, self._repeated(table, times))
            finally:
                done.set()
                watcher.join()
        return peak - idle

    @abstractmethod
    def _run(self, relay: Relay, workload: str, mode: str, clients: int, seconds: int) -> str:
        """What the program says that sends statements; with no seconds, each client sends one."""

    @abstractmethod
    def _counted(self, output: str) -> tuple[int, float]:
        """How many transactions that were, and how many a second."""

    @abstractmethod
    def _session(self, relay: Relay) -> Any:
        """A client that has logged in, as a context manager."""

    @abstractmethod
    def _drain(self, wire: Any, text: str) -> int:
        """The number of bytes of a statement's answer."""

    @abstractmethod
    def _repeated(self, table: str, times: int) -> str:
        """A statement that has a table's rows so many times."""


def drain(wire: Any, is_end: Callable[[bytes], bool]) -> int:
    """The bytes up to an end, which `is_end` sees in the last ones."""
    wire.socket.settimeout(PATIENCE)
    buffer = memoryview(bytearray(1 << 18))
    total, tail = 0, b""
    while not is_end(tail):
        count = wire.socket.recv_into(buffer)
        if not count:
            raise RuntimeError("the stream ended early")
        total += count
        tail = (tail + bytes(buffer[max(0, count - 16) : count]))[-16:]
    return total


def checked(command: Sequence[str], **environment: str) -> str:
    """What a program prints. Raises RuntimeError if it fails."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()} {done.stdout.strip()}")
    return done.stdout


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"nothing like {pattern} was said: {text}")
    return match[1]
