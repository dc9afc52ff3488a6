"""MariaDB under load: sysbench, and a client that reads streams."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import mysql_wire
from tests.benchmarks.relays import HAPROXY, Relay
from tests.benchmarks.workloads import NUMBERS, PANS, PLAIN, ROWS, ROWS_OF_RESULT, Load, checked, drain, found
from tests.mysql_client import MySqlWire
from tests.mysql_servers import MySqlDatabase, database, mariadb

from gatepost.demo.shop import card_numbers

# As many as pgbench's accounts.
ACCOUNTS = 200_000
_EMULATION = {"text": "disable", "prepared": "auto"}

_SELECT = f"""\
function thread_init()
  connection = sysbench.sql.driver():connect()
  statement = connection:prepare("SELECT balance FROM accounts WHERE id = ?")
  id = statement:bind_create(sysbench.sql.type.INT)
  statement:bind_param(id)
end

function event()
  id:set(sysbench.rand.uniform(1, {ACCOUNTS}))
  statement:execute()
end
"""
_ROWS = f"""\
function thread_init()
  connection = sysbench.sql.driver():connect()
end

function event()
  local first = sysbench.rand.uniform(1, {NUMBERS - ROWS_OF_RESULT})
  connection:query("SELECT * FROM wallet WHERE id BETWEEN " .. first .. " AND " .. first + {ROWS_OF_RESULT - 1})
end
"""


class MySqlLoad(Load):
    """The load, and the tables for it: those of PostgreSQL, as far as they go."""

    title, program, peer = "MySQL", "sysbench", HAPROXY
    modes = ("text", "prepared")
    bound_modes = ("text", "prepared")

    def __init__(self, upstream: MySqlDatabase, sysbench: str, rows: int, folder: Path) -> None:
        self.upstream = upstream
        self._sysbench = sysbench
        self._select, self._rows = folder / "select.lua", folder / "rows.lua"
        self._select.write_text(_SELECT)
        self._rows.write_text(_ROWS)
        self._prepare(rows)

    def _prepare(self, rows: int) -> None:
        """Fill the tables: accounts, cards for the 20-row select, and two to stream of about 110 bytes a row."""
        numbers = card_numbers(NUMBERS, random.SystemRandom())
        note = "CONCAT(MD5(seq), MD5(seq + 1))"
        for digit, letter in zip("0123456789", "ghijklmnop", strict=True):
            note = f"REPLACE({note}, '{digit}', '{letter}')"
        name = "CONCAT('customer ', SUBSTR(MD5(seq), 1, 14)) AS name"
        town = "SUBSTR(MD5(seq DIV 7), 1, 12) AS town"
        with self.upstream.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE numbers (id INT PRIMARY KEY, pan VARCHAR(19))")
            cursor.executemany(
                "INSERT INTO numbers VALUES (%s, %s)", [(at, pan) for at, (_, pan) in enumerate(numbers)]
            )
            for table, column in ((PLAIN, "SUBSTR(MD5(pan), 1, 16)"), (PANS, "pan")):
                cursor.execute(f"""
                    CREATE TABLE {table} AS SELECT CAST(seq AS CHAR) AS id, {name}, {column} AS card, {town},
                      {note} AS note FROM seq_1_to_{rows} JOIN numbers ON numbers.id = seq % {NUMBERS}
                """)
            cursor.execute("CREATE TABLE wallet (id INT PRIMARY KEY, holder TEXT, pan TEXT, expires TEXT)")
            cursor.execute("INSERT INTO wallet SELECT id, CONCAT('holder ', id), pan, '12/29' FROM numbers")
            cursor.execute("CREATE TABLE accounts (id INT PRIMARY KEY, branch INT, balance INT, filler CHAR(84))")
            cursor.execute(f"INSERT INTO accounts SELECT seq, seq % 2, 0, '' FROM seq_1_to_{ACCOUNTS}")
            cursor.execute(f"ANALYZE TABLE {PLAIN}, {PANS}, wallet, accounts")

    def _run(self, relay: Relay, workload: str, mode: str, clients: int, seconds: int) -> str:
        command = [
            self._sysbench,
            "--db-driver=mysql",
            "--mysql-host=127.0.0.1",
            f"--mysql-port={relay.port}",
            f"--mysql-user={relay.user}",
            f"--mysql-password={relay.password}",
            "--mysql-db=shop",
            f"--db-ps-mode={_EMULATION[mode]}",
            f"--threads={clients}",
            f"--time={seconds}",
            *([] if seconds else [f"--events={clients}"]),
            str(self._rows if workload == ROWS else self._select),
            "run",
        ]
        return checked(command)

    def _counted(self, output: str) -> tuple[int, float]:
        count = int(found(r"total number of events: +(\d+)", output))
        return count, count / float(found(r"total time: +([\d.]+)s", output))

    def _session(self, relay: Relay) -> MySqlWire:
        return MySqlWire(relay.port).log_in(relay.user, relay.password)

    def _drain(self, wire: MySqlWire, text: str) -> int:
        """The tables hold letters and digits in short cells, so the head of the last packet is unmistakable."""
        wire.send(mysql_wire.QUERY, text.encode())
        return drain(wire, lambda tail: tail[-11:-8] == b"\x07\0\0" and tail[-7:-4] == b"\xfe\0\0")

    def _repeated(self, table: str, times: int) -> str:
        return f"SELECT t.* FROM {table} t JOIN seq_1_to_{times}"


@contextmanager
def loaded(folder: Path, *, rows: int, connections: int) -> Iterator[MySqlLoad]:
    """A server of one's own with everything in it. Raises RuntimeError if there is none."""
    flavour, sysbench = mariadb(), shutil.which("sysbench")
    if flavour is None or sysbench is None:
        raise RuntimeError("MySQL is measured with MariaDB and sysbench: apt-get install mariadb-server sysbench")
    home = folder / "mariadb"
    home.mkdir()
    options = (f"--max-connections={connections}", "--innodb-buffer-pool-size=512M", "--back-log=1000")
    with database(flavour, home, options) as upstream:
        yield MySqlLoad(upstream, sysbench, rows, folder)
