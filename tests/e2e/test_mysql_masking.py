"""No card number leaves a MySQL database in the clear: the mechanisms of leaks that its protocol and types have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mysql.connector
import pymysql
import pytest
from tests.mysql_servers import MySqlDatabase, connect, mysql_front
from tests.servers import Gate, MakeGate

PAN = "4111111111111111"
NUMBER = int(PAN)
OTHER_PAN = "5500000000000004"


@pytest.fixture(scope="module")
def vault(mysql_server: MySqlDatabase) -> None:
    """A table with a card number in a column of every type that can hold one."""
    statements = [
        "DROP TABLE IF EXISTS vault",
        "CREATE TABLE vault ("
        " id INT PRIMARY KEY, i BIGINT, u BIGINT UNSIGNED, z BIGINT(20) UNSIGNED ZEROFILL, d DECIMAL(20, 0),"
        " d2 DECIMAL(20, 2), f DOUBLE, b BIT(64), bin BINARY(20), vbin VARBINARY(40), blb BLOB, txt TEXT, js JSON,"
        f" en ENUM('none', '{PAN}'), st SET('none', '{PAN}'), ch CHAR(30), vc VARCHAR(100), l1 VARCHAR(40)"
        " CHARACTER SET latin1, u16 VARCHAR(40) CHARACTER SET utf16, UNIQUE KEY (vc))",
        f"INSERT INTO vault VALUES (1, {PAN}, {PAN}, {PAN}, {PAN}, {PAN}, {PAN}, {PAN}, '{PAN}', '{PAN}', '{PAN}',"
        f" 'card {PAN[:4]} {PAN[4:8]} {PAN[8:12]} {PAN[12:]} of', '{{\"pan\": \"{PAN}\", \"n\": {PAN}}}', '{PAN}',"
        f" '{PAN}', '{PAN}', '{PAN}', '{PAN}', '{PAN}')",
        "INSERT INTO vault (id) VALUES (2)",
    ]
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


COLUMNS = ["i", "u", "z", "d", "d2", "f", "b", "bin", "vbin", "blb", "txt", "js", "en", "st", "ch", "vc", "l1", "u16"]


@pytest.fixture
def text(mysql_gate: Gate) -> Iterator[pymysql.cursors.Cursor]:
    with connect(mysql_gate) as connection, connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def binary(mysql_gate: Gate) -> Iterator[Any]:
    connection = mysql.connector.connect(
        host="127.0.0.1",
        port=mysql_gate.port,
        user="agent",
        password=mysql_gate.password,
        database="shop",
        use_pure=True,
    )
    yield connection.cursor(prepared=True)
    connection.close()


def holds(value: Any) -> bool:
    """A card number is in a value that a driver gave, however it is written there."""
    if isinstance(value, set | tuple | list):
        return any(map(holds, value))
    if isinstance(value, bytes | bytearray):
        return PAN.encode() in value or int.from_bytes(value) == NUMBER or PAN.encode("utf-16-be") in value
    if isinstance(value, float):
        return value == float(NUMBER)
    return PAN in str(value).replace(" ", "")


@pytest.mark.usefixtures("vault")
@pytest.mark.parametrize("column", COLUMNS)
def test_text_rows(text: pymysql.cursors.Cursor, column: str) -> None:
    text.execute(f"SELECT {column} FROM vault ORDER BY id")
    (value,), (null,) = text.fetchall()
    assert value is not None
    assert null is None
    assert not holds(value)


@pytest.mark.usefixtures("vault")
@pytest.mark.parametrize("column", COLUMNS)
def test_binary_rows(binary: Any, column: str) -> None:
    binary.execute(f"SELECT {column} FROM vault ORDER BY id")
    (value,), (null,) = binary.fetchall()
    assert value is not None
    assert null is None
    assert not holds(value)


@pytest.mark.usefixtures("vault")
def test_a_masked_number_is_one_still(text: pymysql.cursors.Cursor, binary: Any) -> None:
    for cursor in (text, binary):
        cursor.execute("SELECT i, u, d FROM vault WHERE id = 1")
        (row,) = cursor.fetchall()
        assert [str(value)[-4:] for value in row] == ["1111"] * 3
        assert all(len(str(value)) == len(PAN) for value in row)


@pytest.mark.usefixtures("vault")
@pytest.mark.parametrize(
    "query",
    [
        "SELECT CONCAT('x', vc) FROM vault",
        "SELECT GROUP_CONCAT(vc SEPARATOR '') FROM vault",
        "SELECT JSON_ARRAYAGG(vc) FROM vault",
        "SELECT CAST(vc AS BINARY) FROM vault",
        "SELECT CAST(vc AS UNSIGNED) FROM vault",
        "SELECT i + 0e0 FROM vault",
        "SELECT vc FROM vault UNION SELECT 'x'",
        f"SELECT '{PAN}'",
        f"SELECT 1 AS `{PAN}`",
        f"SELECT `{PAN}`.id FROM vault AS `{PAN}`",
        "SELECT * FROM information_schema.processlist WHERE info LIKE '%4111111111111111%'",
        "SHOW COLUMNS FROM vault LIKE 'en'",
    ],
)
def test_expressions_and_names(mysql_gate: Gate, query: str) -> None:
    with connect(mysql_gate) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        assert not any(map(holds, cursor.fetchall()))
        assert not holds(list(cursor.description))


@pytest.mark.usefixtures("vault")
@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT INTO vault (id, vc) VALUES (3, '{PAN}')",
        "SELECT extractvalue(1, concat(0x7e, (SELECT vc FROM vault WHERE id = 1)))",
        f"SELECT * FROM `{PAN}`",
        f"SELECT {PAN} FROM",
        f"INSERT INTO vault (id, i) VALUES ('{PAN}x', 1)",
    ],
)
def test_errors(text: pymysql.cursors.Cursor, statement: str) -> None:
    with pytest.raises(pymysql.Error) as failed:
        text.execute(statement)
    assert failed.value.args[0] != 1142
    assert not holds(failed.value.args[1])


@pytest.mark.usefixtures("vault")
def test_warnings(text: pymysql.cursors.Cursor) -> None:
    text.execute(f"SELECT CAST('{PAN}x' AS SIGNED) FROM vault WHERE id = 1")
    text.fetchall()
    text.execute("SHOW WARNINGS")
    warnings = text.fetchall()
    assert warnings
    assert not any(map(holds, warnings))


@pytest.mark.usefixtures("vault")
def test_an_id_that_a_statement_has_chosen(mysql_gate: Gate) -> None:
    with connect(mysql_gate) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE vault SET id = 1 WHERE id = LAST_INSERT_ID(i) - i + 1")
        assert not holds(connection.insert_id())


@pytest.mark.parametrize(
    "statement",
    [
        "SET character_set_results = utf16",
        "SET character_set_results = NULL",
        "SET NAMES ucs2",
        "SET NAMES latin1",
        "SET CHARACTER SET utf32",
        "SET @@session.character_set_client = gbk",
        "SET character_set_results = @x",
        "SET sql_mode = 'ANSI_QUOTES'",
        "SET sql_mode = 4",
        "SET sql_mode = NO_BACKSLASH_ESCAPES",
        "SET sql_mode = CONCAT(@@sql_mode, ',ANSI')",
        "SET @s = CONCAT('DR', 'OP TABLE cards'); PREPARE p FROM @s; EXECUTE p",
        "PREPARE p FROM 'SELECT 1'",
    ],
)
def test_what_would_change_how_texts_are_read_is_denied(mysql_gate: Gate, statement: str) -> None:
    with connect(mysql_gate) as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.Error, match="gatepost") as denied:
            cursor.execute(statement)
        assert denied.value.args[0] == 1142
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)


def test_what_a_procedure_has_changed_is_noticed(mysql_gate: Gate, mysql_server: MySqlDatabase) -> None:
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP PROCEDURE IF EXISTS turn")
        cursor.execute("CREATE PROCEDURE turn() SET character_set_results = utf16")
    connection = connect(mysql_gate)
    with connection.cursor() as cursor, pytest.raises(pymysql.Error, match="character_set_results"):
        cursor.execute("CALL turn()")
        cursor.execute("SELECT pan FROM cards")


def test_a_row_over_16_megabytes(text: pymysql.cursors.Cursor) -> None:
    text.execute(f"SELECT RPAD('{PAN}', 16777300, 'x'), '{OTHER_PAN}'")
    ((long, short),) = text.fetchall()
    assert len(long) == 16777300
    assert not holds(long[:100])
    assert long[:17] == "*" * 12 + PAN[-4:] + "x"
    assert short == "*" * 12 + OTHER_PAN[-4:]
    text.execute("SELECT 1")
    assert text.fetchall() == ((1,),)


TAGGED = """
[plugins.mask]
[[plugins.mask.columns]]
match = "cards.pan"
tag = "pan"
[plugins.audit]
"""


def test_what_cannot_be_read_shows_no_tagged_column_where_there_is_no_policy(
    gate: MakeGate, mysql_server: MySqlDatabase
) -> None:
    front = mysql_front(gate, mysql_server, plugins=TAGGED)
    with connect(front) as connection, connection.cursor() as cursor:
        for statement in (
            "SELECT {fn REVERSE(pan)} FROM cards",
            "EXPLAIN FORMAT=TREE FOR SCHEMA shop SELECT 1 FROM cards WHERE pan < '45'",
            "SELECT REVERSE(pan) FROM cards WHERE " + "1 + " * 30_000 + "1",
        ):
            with pytest.raises(pymysql.Error, match="cannot be read") as denied:
                cursor.execute(statement)
            assert denied.value.args[0] == 1142
        cursor.execute("SELECT id FROM cards WHERE id = 1")
        assert cursor.fetchall() == ((1,),)
