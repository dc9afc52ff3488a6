"""What is measured: transactions by pgbench, streams, idle sessions, memory while streaming."""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.relays import Relay
from tests.servers import Database
from tests.wire import Wire, query

from gatepost.demo.shop import card_numbers

PLAIN, PANS = "stream_plain", "stream_pans"
ROWS_OF_RESULT = 20
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


def prepare(database: Database, rows: int, folder: Path) -> None:
    """Fill the tables: pgbench's, cards for the 20-row select, and two to stream of about 110 bytes a row."""
    run = [*_pgbench(database), f"--port={database.server.port}", f"--username={database.user}"]
    _checked([*run, "--initialize", "--scale=2", "--quiet", "shop"], database.password)
    numbers = card_numbers(10_000, random.SystemRandom())
    with database.connect() as connection:
        connection.execute(f"CREATE TABLE numbers (id int, pan text); GRANT SELECT ON numbers TO {database.user}")
        with connection.cursor().copy("COPY numbers FROM STDIN") as copy:
            for number, (_, pan) in enumerate(numbers):
                copy.write_row((number, pan))
        name = "'customer ' || substr(md5(i::text), 1, 14) AS name"
        town = "substr(md5((i / 7)::text), 1, 12) AS town"
        note = "translate(md5(i::text) || md5((i + 1)::text), '0123456789', 'ghijklmnop') AS note"
        for table, column in ((PLAIN, "substr(md5(pan), 1, 16)"), (PANS, "pan")):
            connection.execute(f"""
                CREATE UNLOGGED TABLE {table} AS
                SELECT i::text AS id, {name}, {column} AS card, {town}, {note}
                FROM generate_series(1, {rows}) i JOIN numbers n ON n.id = i % {len(numbers)};
                GRANT SELECT ON {table} TO {database.user};
            """)
        connection.execute(f"""
            CREATE TABLE wallet (id int PRIMARY KEY, holder text, pan text, expires text);
            INSERT INTO wallet SELECT id, 'holder ' || id, pan, '12/29' FROM numbers;
            GRANT SELECT ON wallet TO {database.user};
        """)
        connection.execute("VACUUM ANALYZE")
    (folder / "rows.sql").write_text(
        f"\\set first random(1, {len(numbers) - ROWS_OF_RESULT})\n"
        f"SELECT * FROM wallet WHERE id BETWEEN :first AND :first + {ROWS_OF_RESULT - 1};\n"
    )


def _pgbench(database: Database) -> list[str]:
    return [str(database.server.binaries / "pgbench"), "--host=127.0.0.1", "--no-vacuum"]


def _checked(command: list[str], password: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, "PGPASSWORD": password}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def transactions(
    relay: Relay, database: Database, *, mode: str, clients: int, seconds: int, script: Path | None = None
) -> Transactions:
    """pgbench: select-only, or `script`. The processor time of logging in is measured apart and taken off."""
    command = [
        *_pgbench(database),
        f"--port={relay.port}",
        f"--username={relay.user}",
        f"--client={clients}",
        f"--protocol={mode}",
        *([f"--file={script}"] if script else ["--select-only"]),
    ]

    def measure(length: str) -> tuple[str, float, float]:
        before = relay.cpu()
        output = _checked([*command, length, "shop"], relay.password)
        after = relay.cpu()
        return output, after.relay - before.relay, after.recorder - before.recorder

    _, *login = measure("--transactions=1")
    output, *whole = measure(f"--time={seconds}")
    count = int(_found(r"transactions actually processed: (\d+)", output))
    rate = float(_found(r"tps = ([\d.]+) \(without", output))
    return Transactions(rate, *(max(all_ - once, 0) / count for all_, once in zip(whole, login, strict=True)))


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"pgbench said nothing like {pattern}: {text}")
    return match[1]


def stream(relay: Relay, table: str) -> Stream:
    """All rows of a table, counted and dropped."""
    with Wire(relay.port).log_in(relay.user, relay.password) as wire:
        before, started = relay.cpu(), time.perf_counter()
        size = _drain(wire, f"SELECT * FROM {table}")
        seconds, after = time.perf_counter() - started, relay.cpu()
    return Stream(size / seconds, (after.relay - before.relay) / size, (after.recorder - before.recorder) / size)


def _drain(wire: Wire, text: str) -> int:
    """The number of bytes of a statement's answer. The tables hold no upper-case letter, so the end is unmistakable."""
    wire.socket.settimeout(PATIENCE)
    wire.send(query(text))
    buffer = memoryview(bytearray(1 << 18))
    total, tail = 0, b""
    while not tail.endswith(b"Z\0\0\0\x05I"):
        count = wire.socket.recv_into(buffer)
        if not count:
            raise RuntimeError("the stream ended early")
        total += count
        tail = (tail + bytes(buffer[max(0, count - 6) : count]))[-6:]
    return total


def idle(relay: Relay, sessions: int) -> float:
    """Bytes of the relay's memory that each of `sessions` idle sessions takes, after one statement each."""
    before = relay.memory()
    with ExitStack() as stack:
        for _ in range(sessions):
            wire = stack.enter_context(Wire(relay.port))
            wire.log_in(relay.user, relay.password).query("SELECT 1")
        return (relay.memory() - before) / sessions


def memory(relay: Relay, table: str, size: int) -> float:
    """Bytes of memory above idle, at most, while about `size` bytes are streamed as the answer of one statement."""
    with Wire(relay.port).log_in(relay.user, relay.password) as wire:
        repeat = 1 + size // _drain(wire, f"SELECT * FROM {table}")
        idle = peak = relay.memory()
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, relay.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            _drain(wire, f"SELECT t.* FROM {table} t, generate_series(1, {repeat})")
        finally:
            done.set()
            watcher.join()
    return peak - idle
