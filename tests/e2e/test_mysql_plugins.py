"""Plugins that know no protocol, in front of MySQL servers: tags, policy, and limits of rows."""

from __future__ import annotations

from collections.abc import Iterator

import pymysql
import pytest
from tests.mysql_client import MySqlWire, Prepared
from tests.mysql_servers import MySqlDatabase, connect, mysql_front
from tests.servers import Gate, MakeGate, gates

COMMAND_RESET_CONNECTION = 0x1F

PLUGINS = """\
[plugins.policy.roles.reader]
require_catalogue = false
allow = [
  { do = "read", on = "shop.customers", rows = 3 },
  { do = "read", on = ["shop.cards", "shop.dated"] },
  { do = "set", on = ["autocommit", "character_set_*"] },
]
[plugins.mask]
[[plugins.mask.columns]]
match = "customers.name"
tag = "name"
[[plugins.mask.columns]]
match = "cards.expires"
tag = "expiry"
[[plugins.mask.columns]]
match = "dated.expires"
tag = "expiry"
[plugins.audit]
"""


@pytest.fixture(scope="module")
def policed(mysql_server: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gates(tmp_path_factory.mktemp("mysqlpoliced")) as make:
        yield mysql_front(make, mysql_server, plugins=PLUGINS)


READ_ONLY = """
from gatepost import Restriction, hookimpl

@hookimpl
def on_connect(session, target):
    return Restriction(read_only=True)
"""


@pytest.fixture
def cursor(policed: Gate) -> Iterator[pymysql.cursors.Cursor]:
    with connect(policed) as connection, connection.cursor() as cursor:
        yield cursor


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("SELECT id, name FROM customers WHERE id = 1", (1, "[removed]")),
        ("SELECT id, UPPER(name) AS n FROM customers WHERE id = 1", (1, "[removed]")),
        ("SELECT * FROM cards WHERE id = 1", None),
        ("SELECT x FROM (SELECT expires AS x FROM cards WHERE id = 1) d", ("[removed]",)),
    ],
)
def test_tagged_columns(cursor: pymysql.cursors.Cursor, query: str, row: tuple[object, ...] | None) -> None:
    cursor.execute(query)
    (found,) = cursor.fetchall()
    assert found == row or (row is None and "12/31" not in found)


@pytest.mark.parametrize("type_", ["DATE", "DATETIME", "TIMESTAMP", "TIME", "YEAR", "INT", "JSON", "VARCHAR(10)"])
def test_a_type_that_holds_no_text_shows_null(policed: Gate, mysql_server: MySqlDatabase, type_: str) -> None:
    value = {"INT": "1231", "YEAR": "2031", "JSON": "'{}'", "TIME": "'12:31'"}.get(type_, "'2031-12-31'")
    with mysql_server.connect() as connection, connection.cursor() as direct:
        direct.execute("DROP TABLE IF EXISTS dated")
        direct.execute(f"CREATE TABLE dated (id INT, expires {type_})")
        direct.execute(f"INSERT INTO dated VALUES (1, {value})")
    # MariaDB's JSON is a text.
    is_text = type_ == "VARCHAR(10)" or (type_ == "JSON" and mysql_server.flavour == "mariadb")
    with MySqlWire(policed.port).log_in("agent", policed.password) as wire:
        prepared = wire.prepare("SELECT id, expires FROM dated")
        assert isinstance(prepared, Prepared)
        for results in (wire.query("SELECT id, expires FROM dated"), wire.execute(prepared)):
            assert results[0].rows == [[b"1", b"[removed]" if is_text else None]]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM orders",
        "SELECT 1 FROM customers JOIN orders ON customer = customers.id",
        "UPDATE cards SET brand = 'x' WHERE id = 1",
        "DROP TABLE cards",
        "SELECT f(name) FROM customers",
        "/*!50000 SELECT * FROM orders */",
        "SELECT LOAD_FILE('/etc/hostname')",
        "CALL two()",
        "SELECT 1; SELECT * FROM orders",
        "SET GLOBAL max_connections = 1",
        "SELECT * FROM mysql.user",
    ],
)
def test_what_no_rule_allows_is_denied(cursor: pymysql.cursors.Cursor, statement: str) -> None:
    with pytest.raises(pymysql.Error) as denied:
        cursor.execute(statement)
    assert denied.value.args[0] == 1142
    cursor.execute("SELECT 1")
    assert cursor.fetchall() == ((1,),)


def test_names_are_judged_as_those_of_the_current_database(policed: Gate) -> None:
    with connect(policed, database="information_schema") as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.Error, match=r"information_schema\.customers"):
            cursor.execute("SELECT 1 FROM customers")
        cursor.execute("SELECT id FROM shop.customers WHERE id = 2")
        assert cursor.fetchall() == ((2,),)


def test_no_row_too_many_leaves(cursor: pymysql.cursors.Cursor) -> None:
    cursor.execute("SELECT id FROM customers LIMIT 3")
    assert len(cursor.fetchall()) == 3
    with pytest.raises(pymysql.Error, match="more than 3 rows"):
        cursor.execute("SELECT id FROM customers")
    cursor.execute("SELECT id FROM customers WHERE id = 2")
    assert cursor.fetchall() == ((2,),)


def test_a_session_that_may_only_read(mysql_server: MySqlDatabase, gate: MakeGate) -> None:
    front = mysql_front(gate, mysql_server, plugins="", scripts=[READ_ONLY])
    setting = "tx_read_only" if mysql_server.flavour == "mariadb" else "transaction_read_only"
    with connect(front) as connection, connection.cursor() as cursor:
        for statement in (
            "INSERT INTO orders (customer) VALUES (1)",
            "SET SESSION TRANSACTION READ WRITE",
            "START TRANSACTION READ WRITE",
            f"SET {setting} = 0",
            "CALL two()",
        ):
            with pytest.raises(pymysql.Error, match="may only read"):
                cursor.execute(statement)
        # The database enforces it by itself, after a reset as well.
        for _ in range(2):
            cursor.execute(f"SELECT @@session.{setting}")
            assert cursor.fetchall() == ((1,),)
            connection._execute_command(COMMAND_RESET_CONNECTION, b"")
            connection._read_ok_packet()
