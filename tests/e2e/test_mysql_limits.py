"""Limits of rows before MySQL and MariaDB: what the client gets, and what stays of a change that shows too many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.mysql_client import MySqlWire, Prepared, Result
from tests.mysql_servers import MySqlDatabase, mysql_front
from tests.servers import Gate, gates

SCRIPT = """
from gatepost import Limit, hookimpl

@hookimpl
def on_statement(statement):
    return Limit(rows=5, rule="five", hint="Change 5 deals at most.")
"""
SCHEMA = """
CREATE TABLE deals (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(20)) ENGINE=InnoDB;
CREATE TABLE plain (id INT PRIMARY KEY) ENGINE=MyISAM;
INSERT INTO deals (id) VALUES (1), (2), (3), (4), (5), (6), (7), (8);
INSERT INTO plain SELECT id FROM deals;
CREATE PROCEDURE sweep() BEGIN DELETE FROM deals WHERE id < 7; SELECT id FROM plain; END
"""
DROPPED = ("DROP TABLE deals, plain", "DROP PROCEDURE sweep")
MANY = {
    "delete": "DELETE FROM deals WHERE id < 7 RETURNING id",
    "insert": "INSERT INTO deals (note) SELECT 'x' FROM deals RETURNING id",
    "replace": "REPLACE INTO deals (id, note) SELECT id, 'x' FROM plain RETURNING id, note",
}
FEW = "DELETE FROM deals WHERE id < 3 RETURNING id"


@pytest.fixture(scope="module")
def limited(mysql_server: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gates(tmp_path_factory.mktemp("mysqllimited")) as make:
        yield mysql_front(make, mysql_server, scripts=[SCRIPT])


@pytest.fixture(autouse=True)
def direct(mysql_server: MySqlDatabase) -> Iterator[Any]:
    """A direct connection, and the deals as they were."""
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        for statement in SCHEMA.strip().split(";\n"):
            cursor.execute(statement)
        yield cursor
        for statement in DROPPED:
            cursor.execute(statement)


@pytest.fixture
def wire(limited: Gate) -> Iterator[MySqlWire]:
    with MySqlWire(limited.port).log_in("agent", limited.password) as wire:
        yield wire


@pytest.fixture
def returning(mysql_server: MySqlDatabase) -> None:
    """MySQL has no RETURNING: what it changes shows no rows, but by procedures."""
    if mysql_server.flavour == "mysql":
        pytest.skip("MySQL has no RETURNING")


def ids(cursor: Any) -> list[int]:
    cursor.execute("SELECT id FROM deals ORDER BY id")
    return [number for (number,) in cursor.fetchall()]


def run(wire: MySqlWire, text: str, *, is_prepared: bool = False, flags: int = 0) -> Result:
    if not is_prepared:
        (result,) = wire.query(text)
        return result
    prepared = wire.prepare(text)
    assert isinstance(prepared, Prepared), prepared
    (result,) = wire.execute(prepared, flags=flags)
    return result


def one(wire: MySqlWire, text: str) -> bytes | None:
    (row,) = run(wire, text).rows
    return row[0]


def assert_undone(result: Result) -> None:
    assert len(result.rows) == 5
    assert result.error is not None
    assert result.error[:2] == (1142, "42000")
    assert "more than 5 rows" in result.error[2]
    assert "is undone (rule" in result.error[2]


@pytest.mark.usefixtures("returning")
@pytest.mark.parametrize(("is_prepared", "flags"), [(False, 0), (True, 0), (True, 1)])
@pytest.mark.parametrize("what", MANY)
def test_what_shows_too_many_rows_is_undone(
    wire: MySqlWire, direct: Any, what: str, is_prepared: bool, flags: int
) -> None:
    assert_undone(run(wire, MANY[what], is_prepared=is_prepared, flags=flags))
    assert ids(direct) == [*range(1, 9)]
    assert one(wire, "SELECT @@autocommit") == b"1"
    # The next one is a transaction of its own again.
    result = run(wire, FEW, is_prepared=is_prepared, flags=flags)
    assert (result.error, len(result.rows), result.status & 3) == (None, 2, 2)
    assert ids(direct) == [*range(3, 9)]


@pytest.mark.usefixtures("returning")
@pytest.mark.parametrize("begin", ["BEGIN", "SET autocommit = 0"])
def test_a_transaction_keeps_what_was_before(wire: MySqlWire, direct: Any, begin: str) -> None:
    assert run(wire, begin).error is None
    assert run(wire, "INSERT INTO deals (id) VALUES (100)").error is None
    assert_undone(run(wire, MANY["delete"]))
    assert run(wire, "UPDATE deals SET note = 'y' WHERE id = 100").error is None
    assert run(wire, FEW).status & 1
    assert ids(direct) == [*range(1, 9)]
    assert run(wire, "COMMIT").error is None
    assert ids(direct) == [*range(3, 9), 100]


@pytest.mark.usefixtures("returning")
def test_locks_of_tables_stay(wire: MySqlWire, direct: Any) -> None:
    assert run(wire, "LOCK TABLES deals WRITE").error is None
    assert_undone(run(wire, MANY["delete"]))
    assert run(wire, FEW).error is None
    # Another table is out of reach for as long as the locks are there.
    error = run(wire, "SELECT id FROM plain").error
    assert error is not None
    assert error[0] == 1100


@pytest.mark.usefixtures("returning")
def test_a_table_without_transactions_keeps_what_was_changed_and_the_error_says_so(
    wire: MySqlWire, direct: Any
) -> None:
    result = run(wire, "DELETE FROM plain WHERE id < 7 RETURNING id")
    assert result.error is not None
    assert "but in tables without transactions" in result.error[2]
    direct.execute("SELECT id FROM plain ORDER BY id")
    assert direct.fetchall() == ((7,), (8,))


@pytest.mark.usefixtures("returning")
def test_an_error_of_the_statement_s_own(wire: MySqlWire, direct: Any) -> None:
    for text in ("INSERT INTO deals (id) VALUES (1) RETURNING id", "DELETE FROM nowhere RETURNING id"):
        for is_prepared in (False, "nowhere" not in text):
            error = run(wire, text, is_prepared=is_prepared).error
            assert error is not None
            assert error[0] in (1062, 1146)
    assert one(wire, "SELECT @@autocommit") == b"1"
    assert ids(direct) == [*range(1, 9)]


@pytest.mark.usefixtures("returning")
def test_an_id_that_was_generated_is_known_still(wire: MySqlWire) -> None:
    result = run(wire, "INSERT INTO deals (note) VALUES ('x') RETURNING id")
    assert one(wire, "SELECT LAST_INSERT_ID()") == result.rows[0][0]


def test_what_a_procedure_has_changed_stays_and_the_error_says_so(wire: MySqlWire, direct: Any) -> None:
    result = wire.query("CALL sweep()")[-1]
    assert result.error is not None
    assert "more than 5 rows" in result.error[2]
    assert "stays so" in result.error[2]
    assert ids(direct) == [7, 8]


def test_what_is_only_read_has_nothing_to_undo(wire: MySqlWire) -> None:
    error = run(wire, "SELECT id FROM deals").error
    assert error is not None
    assert "are shown (rule" in error[2]
