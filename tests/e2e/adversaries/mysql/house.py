"""The shop that adversaries try to rob, in MySQL and MariaDB, and what they must not come away with.

The gate logs in as a user that may do everything, so that the database itself refuses nothing: what is refused, the
gate refuses. The three agents are those of PostgreSQL's shop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pymysql
from tests.cards import of_every_brand
from tests.e2e.adversaries.kept import MASK, ROLES, assert_kept
from tests.mysql_client import MySqlWire, Prepared, Result, texts
from tests.mysql_servers import MySqlDatabase, mysql_front
from tests.servers import Gate, MakeGate

DATABASE: Final = "house"
DENIED: Final = (1142, "42000")

SCHEMA: Final = """
DROP DATABASE IF EXISTS house;
DROP DATABASE IF EXISTS evil;
CREATE DATABASE house CHARACTER SET utf8mb4;
CREATE DATABASE evil CHARACTER SET utf8mb4;
DROP USER IF EXISTS keeper@'127.0.0.1';
CREATE USER keeper@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO keeper@'127.0.0.1' WITH GRANT OPTION;
USE house;
CREATE TABLE cards
  (id INT PRIMARY KEY, holder VARCHAR(60) NOT NULL, pan VARCHAR(19) NOT NULL UNIQUE, cvv CHAR(7) NOT NULL, meta JSON);
CREATE TABLE a (id INT PRIMARY KEY);
CREATE TABLE notes (note VARCHAR(200));
CREATE TABLE vault (
  id INT PRIMARY KEY, u BIGINT UNSIGNED, z BIGINT(20) UNSIGNED ZEROFILL, d DECIMAL(22, 2), f DOUBLE, b BIT(64),
  bin BINARY(24), vbin VARBINARY(30), blb BLOB, txt TEXT, js JSON, en ENUM({labels}), ch CHAR(30),
  u16 VARCHAR(40) CHARACTER SET utf16, u32 VARCHAR(40) CHARACTER SET utf32, l1 VARCHAR(40) CHARACTER SET latin1
);
CREATE TABLE u (k VARCHAR(60) PRIMARY KEY);
CREATE TABLE evil.cards (id INT, pan VARCHAR(19));
CREATE VIEW renamed AS SELECT id AS number, pan AS nick FROM cards;
SET GLOBAL log_bin_trust_function_creators = 1;
CREATE PROCEDURE p() DELETE FROM cards;
CREATE PROCEDURE signals() SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a procedure''s own error';
CREATE FUNCTION f() RETURNS INT MODIFIES SQL DATA RETURN 1;
CREATE FUNCTION says_it_does_nothing() RETURNS INT DETERMINISTIC NO SQL
BEGIN DELETE FROM cards; RETURN 1; END;
"""

# Everything that an adversary could have changed: definitions, rows, users and their rights, the server's settings.
DIGEST: Final = (
    "SELECT schema_name, default_character_set_name FROM information_schema.schemata ORDER BY 1",
    "SELECT table_schema, table_name, table_type, create_time FROM information_schema.tables"
    " WHERE table_schema IN ('house', 'evil') ORDER BY 1, 2",
    "SELECT table_schema, table_name, column_name, column_type FROM information_schema.columns"
    " WHERE table_schema IN ('house', 'evil') ORDER BY 1, 2, ordinal_position",
    "SELECT routine_schema, routine_name, routine_definition FROM information_schema.routines"
    " WHERE routine_schema IN ('house', 'evil') ORDER BY 1, 2",
    "SELECT trigger_schema, trigger_name FROM information_schema.triggers ORDER BY 1, 2",
    "SELECT event_schema, event_name FROM information_schema.events ORDER BY 1, 2",
    "SELECT grantee, privilege_type FROM information_schema.user_privileges ORDER BY 1, 2",
    "SELECT user, host FROM mysql.user ORDER BY 1, 2",
    "SELECT @@GLOBAL.sql_mode, @@GLOBAL.local_infile, @@GLOBAL.general_log, @@GLOBAL.character_set_server",
    "SELECT * FROM house.cards ORDER BY id",
    "SELECT * FROM house.vault ORDER BY id",
    "SELECT * FROM house.a ORDER BY id",
    "SELECT * FROM house.notes ORDER BY 1",
    "SELECT * FROM house.u ORDER BY 1",
    "SELECT * FROM evil.cards",
)

# Functions that only compute, and settings that a driver changes. A policy that names them needs each.
FUNCTIONS: Final = [
    "aes_encrypt",
    "ascii",
    "avg",
    "bit_length",
    "bit_or",
    "bit_xor",
    "cast",
    "coalesce",
    "compress",
    "concat",
    "concat_ws",
    "conv",
    "convert",
    "crc32",
    "database",
    "extractvalue",
    "format",
    "group_concat",
    "hex",
    "ifnull",
    "json_array",
    "json_arrayagg",
    "json_object",
    "json_table",
    "lag",
    "last_value",
    "left",
    "length",
    "lpad",
    "max",
    "mid",
    "min",
    "ord",
    "repeat",
    "replace",
    "reverse",
    "rpad",
    "sha2",
    "soundex",
    "st_geomfromtext",
    "std",
    "substr",
    "sum",
    "to_base64",
    "trim",
    "updatexml",
]
SETTINGS: Final = ["autocommit", "database", "time_zone"]
# What the three may do, as data of the example's Rego policy and in TOML.
REGO_DATA: Final = {
    "roles": {
        "reader": {
            "allow": [
                {
                    "do": ["select"],
                    "on": {"house.cards": ["id", "holder", "pan"], "house.{a,notes,renamed}": ["*"]},
                }
            ]
        },
        "analyst": {
            "allow": [{"do": ["select", "show"], "on": {"house.*": ["*"], "information_schema.columns": ["*"]}}]
        },
        "writer": {
            "allow": [
                {"do": ["select"], "on": {"house.*": ["*"]}},
                {"do": ["insert"], "on": {"house.{notes,u}": ["*"]}},
                {"do": ["update"], "on": {"house.cards": ["holder", "pan"]}},
            ]
        },
    },
    "functions": FUNCTIONS,
    "settings": SETTINGS,
}
POLICY: Final = """
[plugins.policy.roles.reader]
allow = [{ do = "select", on = ["house.cards(id, holder, pan)", "house.a", "house.notes", "house.renamed"] }]

[plugins.policy.roles.analyst]
allow = [{ do = "read", on = "house.*" }]

[plugins.policy.roles.writer]
allow = [
  { do = "select", on = "house.*" },
  { do = "insert", on = ["house.notes", "house.u"] },
  { do = "update", on = "house.cards(holder, pan)" },
]
"""


class House(NamedTuple):
    """The gate before the database, a direct connection to that, and what is to be kept from adversaries."""

    gate: Gate
    direct: pymysql.Connection[Any]
    passwords: dict[str, str]
    pans: Sequence[str]
    codes: Sequence[str]

    @contextmanager
    def enter(self, role: str = "reader") -> Iterator[MySqlWire]:
        """A session of the agent of a role."""
        with MySqlWire(self.gate.port).log_in(role, self.passwords[role], DATABASE) as wire:
            yield wire

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """The database is after it what it was before, as a direct connection sees it."""
        before = self._digest()
        yield
        assert self._digest() == before

    def _digest(self) -> list[Any]:
        return [asked(self.direct, query) for query in DIGEST]

    def assert_kept(self, results: Iterable[Result]) -> None:
        """No card number and no security code can be read out of what a client was sent."""
        assert_kept(decoded(results), self.pans, self.codes)


def asked(direct: pymysql.Connection[Any], query: str, values: Sequence[Any] = ()) -> Sequence[Any]:
    with direct.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def build(direct: pymysql.Connection[Any], password: str) -> tuple[Sequence[str], Sequence[str]]:
    """Make the shop's tables. Returns the card numbers and the security codes."""
    pans = of_every_brand()
    labels = ", ".join(f"'{pan}'" for pan in pans)
    codes = [f"cvv-{number:03}" for number in range(len(pans))]
    for statement in SCHEMA.format(password=password, labels=labels).split(";\n"):
        if statement.strip():
            asked(direct, statement)
    with direct.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cards VALUES (%s, %s, %s, %s, %s)",
            [
                (number, f"Holder {number}", pan, code, json.dumps({"pans": [pan]}))
                for number, (pan, code) in enumerate(zip(pans, codes, strict=True), 1)
            ],
        )
        cursor.execute("INSERT INTO a SELECT id FROM cards")
        cursor.execute(
            "INSERT INTO vault SELECT id, pan, pan, pan, pan, CAST(pan AS UNSIGNED), pan, pan, pan,"
            " CONCAT('x', pan, 'y'), JSON_OBJECT('p', pan), pan, pan, pan, pan, pan FROM cards"
        )
    return pans, codes


@contextmanager
def open_house(database: MySqlDatabase, make: MakeGate, plugins: str) -> Iterator[House]:
    """Build the shop and put a gate before it, whose policy is `plugins`."""
    inspector = """
[plugins.secrets.targets.shop.inspector]
user = "keeper"
password = "file:upstream.password"
"""
    with database.connect() as direct:
        pans, codes = build(direct, database.password)
        keeper = database._replace(user="keeper")
        gate = mysql_front(make, keeper, plugins=inspector + plugins + MASK, target=f'database = "{DATABASE}"')
        passwords = {role: gate.add_agent(role, role) for role in ROLES}
        yield House(gate, direct, passwords, pans, codes)


def decoded(results: Iterable[Result]) -> Iterator[str]:
    """Everything that a client was sent, as texts: cells by their types, the rest as it is."""
    for result in results:
        for column in result.columns:
            yield from column.names
        for row in result.rows:
            for cell, column in zip(row, result.columns, strict=True):
                yield from texts(cell, column)
        yield result.end.decode("latin-1")


def prepared(wire: MySqlWire, text: str) -> list[Result]:
    """The results of a statement that is prepared and executed once, its definitions at the preparation among them."""
    statement = wire.prepare(text)
    if isinstance(statement, Result):
        return [statement]
    results = [Result(statement.columns, [], b"\0\0\0\2\0\0\0"), *wire.execute(statement)]
    close(wire, statement)
    return results


def close(wire: MySqlWire, statement: Prepared) -> None:
    wire.send(0x19, statement.number.to_bytes(4, "little"))


def in_every_way(wire: MySqlWire, text: str) -> Iterator[list[Result]]:
    """The results of a statement as a text, and prepared with results in binary."""
    yield wire.query(text)
    yield prepared(wire, text)


def assert_denied(results: Sequence[Result]) -> None:
    """One ordinary error that says why, and nothing else."""
    (result,) = results
    assert result.error is not None, result
    assert result.error[:2] == DENIED, result.error
    assert "(rule " in result.error[2]


def assert_serving(wire: MySqlWire) -> None:
    """The connection lives on."""
    (result,) = wire.query("SELECT 1")
    assert result.rows == [[b"1"]]
