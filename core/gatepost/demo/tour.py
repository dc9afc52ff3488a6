"""The steps of the demo. Each says in a line what it shows, shows it, and checks that it is so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from msgspec import Struct
from psycopg import sql
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from gatepost.demo import shop as tables
from gatepost.demo.gate import Gate, command
from gatepost.demo.mysql import MySqlShop
from gatepost.demo.postgres import Server

MYSQL_DENIED = 1142


class DemoFailed(Exception):
    """A step did not show what it should."""


class Shop(Struct, frozen=True, kw_only=True):
    """The database of the demo, as whoever owns it sees it."""

    server: Server
    user: str
    password: str
    pans: Sequence[str]

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.server.port, user=self.user, password=self.password, dbname="shop"
        )


def furnish(server: Server) -> Shop:
    """A database "shop" in `server`, owned by a user that is not the superuser."""
    user, password = "shop_owner", server.password[::-1]
    with psycopg.connect(
        host="127.0.0.1",
        port=server.port,
        user=server.user,
        password=server.password,
        dbname="postgres",
        autocommit=True,
    ) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(user), sql.Literal(password))
        )
        connection.execute(sql.SQL("CREATE DATABASE shop OWNER {}").format(sql.Identifier(user)))
    owner = Shop(server=server, user=user, password=password, pans=())
    with owner.connect() as connection:
        pans = tables.build(connection)
    return Shop(server=server, user=user, password=password, pans=pans)


class Tour:
    """The steps, in order.

    Args:
        console: where they are shown.
        shop: the database, past the gate.
        mysql: another one, which speaks MySQL's protocol, if there is one.
        gate: the gate in front of it.
        script: the script plugin that the gate runs with.
    """

    def __init__(self, console: Console, shop: Shop, mysql: MySqlShop | None, gate: Gate, script: Path) -> None:
        self._console = console
        self._shop = shop
        self._mysql = mysql
        self._gate = gate
        self._script = script

    def run(self) -> None:
        """Raises DemoFailed."""
        with psycopg.connect(self._gate.url, autocommit=True) as connection:
            steps: tuple[Callable[[psycopg.Connection], None], ...] = (
                self._connected,
                self._masked_in_text,
                self._masked_in_binary,
                self._denied,
                self._error,
            )
            for step in steps:
                step(connection)
        self._in_mysql()
        self._replayed()
        self._verified()
        self._tampered()

    def _explain(self, title: str, line: str) -> None:
        self._console.print()
        self._console.rule(Text(title, style="bold"), align="left")
        self._console.print(line, markup=False)

    def _statement(self, text: str) -> None:
        self._console.print(Syntax(text, "sql", background_color="default", word_wrap=True))

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise DemoFailed(what)

    def _check_masked(self, shown: object) -> None:
        text = str(shown)
        pans = [*self._shop.pans, *(self._mysql.pans if self._mysql else ())]
        self._check(not any(pan in text for pan in pans), "a card number was shown in the clear")

    def _show_rows(self, cursor: psycopg.Cursor[Any]) -> list[tuple[Any, ...]]:
        rows = cursor.fetchall()
        self._show_table([column.name for column in cursor.description or ()], rows)
        return rows

    def _show_table(self, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        self._check_masked(rows)
        table = Table(*names, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        self._console.print(table)

    def _connected(self, connection: psycopg.Connection) -> None:
        self._explain(
            "An agent connects",
            f"It is {self._gate.agent}, with a password that gatepost issued; the database's own stays with gatepost.",
        )
        text = "SELECT current_user AS database_user, current_database()"
        self._statement(text)
        rows = self._show_rows(connection.execute(text))
        self._check(rows == [(self._shop.user, "shop")], "the gate logged in as somebody else")

    def _masked_in_text(self, connection: psycopg.Connection) -> None:
        self._explain(
            "Card numbers leave masked",
            "The database holds them in the clear. The agent sees the last four digits, and all else as it is.",
        )
        text = (
            "SELECT name, brand, pan, expires FROM cards JOIN customers ON customers.id = customer "
            "ORDER BY cards.id LIMIT 5"
        )
        self._statement(text)
        rows = self._show_rows(connection.execute(text))
        for row, pan in zip(rows, self._shop.pans, strict=False):
            self._check(
                row[2][-4:] == pan[-4:] and len(row[2]) == len(pan), "a mask does not keep the last four digits"
            )

    def _masked_in_binary(self, connection: psycopg.Connection) -> None:
        self._explain(
            "In binary too",
            "A bigint and a numeric stay numbers that a driver reads: a 9, zeros, and the last four digits.",
        )
        text = "SELECT pan::int8 AS bigint, pan::numeric AS numeric, ARRAY[pan] AS array FROM cards ORDER BY id LIMIT 5"
        self._statement(text)
        rows = self._show_rows(connection.execute(text, binary=True))
        self._check(all(isinstance(row[0], int) for row in rows), "a masked bigint is no number")

    def _denied(self, connection: psycopg.Connection) -> None:
        self._explain(
            "A plugin of ten lines denies a statement",
            "It judges what a statement does, so a DELETE within a SELECT is denied too; the connection lives on.",
        )
        self._console.print(Syntax(self._script.read_text(), "python", background_color="default"))
        text = "WITH old AS (DELETE FROM orders WHERE amount < 100 RETURNING id) SELECT count(*) FROM old"
        self._statement(text)
        count = "SELECT count(*) FROM orders"
        before = connection.execute(count).fetchone()
        told = self._error_of(connection, text)
        self._check(told.sqlstate == "42501", "the statement was not denied")
        self._check(connection.execute(count).fetchone() == before, "orders were deleted")

    def _error(self, connection: psycopg.Connection) -> None:
        self._explain(
            "Errors are masked as well",
            "The database quotes a card number in this error; the agent sees its last four digits.",
        )
        text = "INSERT INTO cards SELECT 1000, customer, brand, pan, expires FROM cards WHERE id = 1"
        self._statement(text)
        with self._shop.connect() as direct:
            try:
                direct.execute(text)
            except psycopg.errors.UniqueViolation as error:
                self._check(self._shop.pans[0] in str(error), "the database's own error quotes no card number")
        told = self._error_of(connection, text)
        self._check(told.sqlstate == "23505", "the error is another one")

    def _error_of(self, connection: psycopg.Connection, text: str) -> psycopg.errors.Diagnostic:
        """Run a statement that must fail, and show how."""
        try:
            connection.execute(text)
        except psycopg.Error as error:
            self._check_masked(error)
            told = error.diag
            for title, said in (
                (f"ERROR {told.sqlstate}:", told.message_primary),
                ("DETAIL:", told.message_detail),
                ("HINT:", told.message_hint),
            ):
                if said:
                    self._console.print(f"{title} {said}", style="yellow", markup=False)
            return told
        raise DemoFailed("a statement ran that should have failed")

    def _in_mysql(self) -> None:
        title = "The same for MySQL and MariaDB"
        if self._mysql is None or self._gate.mysql_port is None:
            self._explain(title, "There is no MariaDB on this machine to show it with; mariadb-server would be one.")
            return
        self._explain(title, "The same agent, policy and record, in MySQL's protocol.")
        with (
            pymysql.connect(
                host="127.0.0.1",
                port=self._gate.mysql_port,
                user=self._gate.agent,
                password=self._gate.password,
                database="shop",
            ) as connection,
            connection.cursor() as cursor,
        ):
            text = "SELECT brand, pan FROM cards ORDER BY id LIMIT 3"
            self._statement(text)
            cursor.execute(text)
            rows = cursor.fetchall()
            self._show_table([each[0] for each in cursor.description], rows)
            self._check(rows[0][1][-4:] == self._mysql.pans[0][-4:], "a mask does not keep the last four digits")
            text = "DELETE FROM cards"
            self._statement(text)
            try:
                cursor.execute(text)
            except pymysql.Error as error:
                number, said = error.args
                self._check(number == MYSQL_DENIED, "the statement was not denied")
                self._console.print(f"ERROR {number}: {said}", style="yellow", markup=False)
            else:
                raise DemoFailed("a statement ran that should have failed")
            cursor.execute("SELECT COUNT(*) FROM cards")
            self._check(cursor.fetchone() == (len(self._mysql.pans),), "cards were deleted")

    def _gatepost(self, folder: Path, *arguments: str) -> tuple[int, str]:
        """Run a command as its user would, and return its exit status and what it said."""
        done = command(folder, *arguments)
        said = done.stdout + done.stderr
        self._check_masked(said)
        return done.returncode, said

    def _show_command(self, said: str, *arguments: str) -> None:
        self._console.print(f"$ gatepost {' '.join(arguments)}", style="cyan", markup=False)
        self._console.print(said.rstrip(), markup=False, soft_wrap=True)

    def _replayed(self) -> None:
        self._explain("The session is on record", "What was asked, what was decided, and what the agent was shown.")
        status, said = self._gatepost(self._gate.folder, "audit", "sessions", "--identity", self._gate.agent, "--json")
        sessions = (
            [each for each in map(json.loads, said.splitlines()) if each["target"] == "shop"] if not status else []
        )
        self._check(bool(sessions), f"no session is on record: {said}")
        session = sessions[-1]["id"]
        arguments = ("audit", "replay", session)
        status, said = self._gatepost(self._gate.folder, *arguments)
        self._check(status == 0, said)
        self._check("DELETE FROM orders" in said and self._shop.pans[0][-4:] in said, "the record is not complete")
        self._show_command(said, *arguments)

    def _verified(self) -> None:
        self._explain(
            "The record proves itself", "Every entry carries the hash of all before it, and checkpoints are signed."
        )
        arguments = ("audit", "verify")
        status, said = self._gatepost(self._gate.folder, *arguments)
        self._check(status == 0, f"the record was not verified: {said}")
        self._show_command(said, *arguments)

    def _tampered(self) -> None:
        self._explain("One byte is changed", "In a copy of the record, and the same command finds where.")
        copy = self._gate.folder / "copy"
        copy.mkdir(mode=0o700)
        for name in ("gatepost.toml", "state"):
            source = self._gate.folder / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("*.sock"))
            else:
                shutil.copy(source, copy / name)
        for name in ("database.password", "mysql.password"):
            (copy / name).touch()
        journal = max((copy / "state" / "audit").glob("*.journal"), key=lambda file: file.stat().st_size)
        data = bytearray(journal.read_bytes())
        place = data.index(b"DELETE FROM orders")
        data[place] ^= 1
        journal.write_bytes(data)
        arguments = ("audit", "verify")
        status, said = self._gatepost(copy, *arguments)
        self._check(status != 0, "a changed record was verified")
        self._show_command(said, *arguments)
        shutil.rmtree(copy)
