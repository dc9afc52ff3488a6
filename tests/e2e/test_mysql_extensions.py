"""What only MySQL or only MariaDB has in its protocol, through a real gate to the real server."""

from __future__ import annotations

import contextlib
import os
import pty
import secrets
import subprocess
from collections.abc import Iterator
from typing import Any

import mysql.connector
import pytest
from tests import mysql_wire as wire
from tests.mysql_client import READ_ONLY_CURSOR, MySqlWire, Prepared
from tests.mysql_servers import MySqlDatabase, the_command
from tests.servers import PATIENCE, Gate, eventually

PAN = "4111111111111111"
MASKED = "************1111"
READ = "SELECT mysql_query_attribute_string('{name}') AS {alias}"


@pytest.fixture(scope="module")
def attributes(mysql_server: MySqlDatabase) -> None:
    """A server that lets SQL read attributes."""
    if mysql_server.flavour != "mysql":
        pytest.skip("MariaDB has no query attributes")
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("INSTALL COMPONENT 'file://component_query_attributes'")


@pytest.fixture
def connection(attributes: None, mysql_gate: Gate) -> Iterator[Any]:
    connection = mysql.connector.connect(
        host="127.0.0.1",
        port=mysql_gate.port,
        user="agent",
        password=mysql_gate.password,
        database="shop",
        use_pure=True,
    )
    yield connection
    connection.close()


@pytest.mark.parametrize("is_prepared", [False, True])
def test_query_attributes_reach_the_server_and_the_record(connection: Any, mysql_gate: Gate, is_prepared: bool) -> None:
    alias = "a" + secrets.token_hex(8)
    cursor = connection.cursor(prepared=is_prepared)
    text = READ.format(name="purpose", alias=alias)
    cursor.add_attribute("purpose", "month's end")
    cursor.add_attribute("card", PAN)
    cursor.add_attribute(f"about {PAN}", 7)
    cursor.execute(text)
    assert cursor.fetchall() == [("month's end",)]
    cursor.clear_attributes()
    cursor.execute(text)
    assert cursor.fetchall() == [(None,)]

    def recorded() -> list[Any]:
        found = mysql_gate.audit("search", "--text", alias)
        return [each["attributes"] for each in found if each["ran"] is not None]

    first, second = eventually(lambda: found if len(found := recorded()) == 2 else None)
    assert first == [["purpose", ["month's end"]], ["card", [MASKED]], [f"about {MASKED}", ["7"]]]
    assert second == []


def test_a_parameter_beside_attributes(connection: Any) -> None:
    cursor = connection.cursor(prepared=True)
    cursor.add_attribute("purpose", "a test")
    for number in (1, 2):
        cursor.execute("SELECT id, mysql_query_attribute_string('purpose') FROM customers WHERE id = %s", (number,))
        assert cursor.fetchall() == [(number, "a test")]


def test_a_card_number_in_an_attribute_is_masked_on_its_way_back(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.add_attribute("card", PAN)
    cursor.execute("SELECT mysql_query_attribute_string('card')")
    assert cursor.fetchall() == [(MASKED,)]


MARIADB = wire.CAPABILITIES & ~wire.IS_MYSQL | wire.PROGRESS | wire.EXTENDED_METADATA | wire.CACHE_METADATA


@pytest.fixture
def mariadb(mysql_gate: Gate, mysql_server: MySqlDatabase) -> Iterator[MySqlWire]:
    """A client that speaks all that MariaDB alone has."""
    if mysql_server.flavour != "mariadb":
        pytest.skip("MySQL has none of it")
    with MySqlWire(mysql_gate.port, capabilities=MARIADB).log_in("agent", mysql_gate.password) as client:
        yield client


def test_mariadbs_own_capabilities(mariadb: MySqlWire) -> None:
    assert not mariadb.offered & wire.IS_MYSQL
    assert mariadb.offered >> 32 == (wire.PROGRESS | wire.EXTENDED_METADATA | wire.CACHE_METADATA) >> 32


def test_what_mariadb_says_of_types(mariadb: MySqlWire) -> None:
    (result,) = mariadb.query(
        "SELECT JSON_OBJECT('pan', pan) AS j, CAST('::1' AS INET6) AS i, POINT(1, 2) AS p FROM cards WHERE id = 1"
    )
    assert result.error is None
    assert [column.more for column in result.columns] == [{1: "json"}, {0: "inet6"}, {0: "point"}]
    ((document, *_),) = result.rows
    assert document is not None
    assert b"********" in document


def test_rows_are_masked_whose_columns_are_left_out(mariadb: MySqlWire, mysql_server: MySqlDatabase) -> None:
    prepared = mariadb.prepare("SELECT id, pan, CAST(pan AS UNSIGNED) FROM cards WHERE id <= ? ORDER BY id")
    assert isinstance(prepared, Prepared)
    for times in range(3):
        (result,) = mariadb.execute(prepared, [b"2"])
        assert [cells[0] for cells in result.rows] == [b"1", b"2"]
        assert not {pan.encode() for pan in mysql_server.pans} & {cell for cells in result.rows for cell in cells}
        assert [cells[1] for cells in result.rows] == [
            b"*" * (len(pan) - 4) + pan[-4:].encode() for pan in mysql_server.pans[:2]
        ]
        assert mariadb.skipped == times + 1


def test_columns_that_have_changed_come_again(mariadb: MySqlWire) -> None:
    mariadb.query("CREATE OR REPLACE TABLE changing (a INT)")
    mariadb.query("INSERT INTO changing VALUES (1)")
    prepared = mariadb.prepare("SELECT a FROM changing")
    assert isinstance(prepared, Prepared)
    skipped = []
    for change in ("INT", "VARCHAR(20)", "BIGINT"):
        mariadb.query(f"ALTER TABLE changing MODIFY a {change}")
        for _ in range(2):
            (result,) = mariadb.execute(prepared)
            assert result.rows == [[b"1"]]
            skipped.append(mariadb.skipped)
    assert skipped == [0, 1, 1, 2, 2, 3]
    mariadb.query("DROP TABLE changing")


def test_a_cursor_whose_columns_are_left_out(mariadb: MySqlWire) -> None:
    prepared = mariadb.prepare("SELECT id, pan FROM cards ORDER BY id")
    assert isinstance(prepared, Prepared)
    (opened,) = mariadb.execute(prepared, flags=READ_ONLY_CURSOR)
    fetched = mariadb.fetch(prepared, opened.columns, 3)
    assert [cells[0] for cells in fetched.rows] == [b"1", b"2", b"3"]
    assert all(cells[1] is not None and cells[1].startswith(b"********") for cells in fetched.rows)


def test_results_of_a_procedure_have_their_columns(mariadb: MySqlWire) -> None:
    mariadb.query("CREATE OR REPLACE PROCEDURE twice() BEGIN SELECT 1; SELECT 'a', pan FROM cards WHERE id = 1; END")
    prepared = mariadb.prepare("CALL twice()")
    assert isinstance(prepared, Prepared)
    for _ in range(2):
        one, two, _ = mariadb.execute(prepared)
        assert one.rows == [[b"1"]]
        assert two.rows[0][1] is not None
        assert two.rows[0][1].startswith(b"********")


def test_progress(mariadb: MySqlWire, mysql_gate: Gate) -> None:
    mariadb.query("CREATE OR REPLACE TABLE slow (a INT, KEY (a)) ENGINE = Aria AS SELECT seq AS a FROM seq_1_to_1000")
    mariadb.progress.clear()
    (altered,) = mariadb.query("ALTER TABLE slow FORCE, ALGORITHM = COPY")
    assert altered.error is None
    assert any(told.text == "Enabling keys" and told.stage == 2 for told in mariadb.progress)
    mariadb.progress.clear()
    (checked,) = mariadb.query("CHECK TABLE slow EXTENDED")
    assert checked.rows[-1][-1] == b"OK"
    assert mariadb.progress
    mariadb.query("DROP TABLE slow")


def test_the_command_shows_progress(mysql_server: MySqlDatabase, mysql_gate: Gate) -> None:
    if mysql_server.flavour != "mariadb":
        pytest.skip("MySQL tells of no progress")
    # It shows progress on a terminal alone.
    terminal, other = pty.openpty()
    process = subprocess.Popen(
        [*the_command(mysql_gate), "--no-auto-rehash"],
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
        env=os.environ | {"TERM": "dumb"},
    )
    os.close(other)
    os.write(
        terminal,
        b"CREATE OR REPLACE TABLE slow (a INT, KEY (a)) ENGINE = Aria AS SELECT seq AS a FROM seq_1_to_1000;\n"
        b"ALTER TABLE slow FORCE, ALGORITHM = COPY;\nDROP TABLE slow;\nquit\n",
    )
    shown = b""
    with contextlib.suppress(OSError):  # that is how a terminal ends
        while data := os.read(terminal, 1 << 16):
            shown += data
    os.close(terminal)
    assert process.wait(PATIENCE) == 0
    assert b"Stage: 2 of 2 'Enabling keys'" in shown
    assert b"ERROR" not in shown


def test_the_record_shows_progress_and_rows_without_their_columns(mariadb: MySqlWire, mysql_gate: Gate) -> None:
    name = "t" + secrets.token_hex(8)
    mariadb.query(f"CREATE TABLE {name} (a INT, KEY (a)) ENGINE = Aria AS SELECT 1 AS a")
    mariadb.query(f"ALTER TABLE {name} FORCE, ALGORITHM = COPY")
    prepared = mariadb.prepare(f"SELECT a FROM {name}")
    assert isinstance(prepared, Prepared)
    mariadb.execute(prepared)

    def recorded() -> list[Any]:
        return [each for each in mysql_gate.audit("search", "--text", name) if each["ran"] is not None]

    _, altered, executed = eventually(lambda: found if len(found := recorded()) == 3 else None)
    (answer,) = mysql_gate.audit("show", altered["id"])
    assert [each["kind"] for each in answer["answer"]][-2:] == ["notice", "tag"]
    (answer,) = mysql_gate.audit("show", executed["id"])
    assert [each["kind"] for each in answer["answer"]] == ["row", "tag"]
    assert answer["answer"][0]["cells"] == ["\\x000001000000"]
    mariadb.query(f"DROP TABLE {name}")
