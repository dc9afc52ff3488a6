"""Commands of MySQL's protocol through a real gate: what works, what is denied, and that the session lives on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import mysql.connector
import pymysql
import pytest
from pymysql.constants import CLIENT, COMMAND
from tests.mysql_client import READ_ONLY_CURSOR, MySqlWire, Prepared
from tests.mysql_servers import MySqlDatabase, connect, mysql_front
from tests.servers import Gate, MakeGate, eventually, gates

NO_DELETE = """
from gatepost import Deny, hookimpl

@hookimpl
def on_statement(session, statement):
    if any(use.verb == "delete" for use in statement.facts.objects):
        return Deny(reason="rows are not deleted here", rule="no_delete", hint="Set deleted_at instead.")
    return None
"""

# Only executions, so that what is prepared is not what may run.
OTHER_WORDS = """
from gatepost import Rewrite, hookimpl

@hookimpl
def on_statement(session, statement):
    if "'once '" in statement.text and not statement.is_preparation:
        return Rewrite(text=statement.text.replace("'once '", "'twice '"))
    return None
"""


@pytest.fixture(scope="module")
def gate(mysql_server: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate with every plugin, and scripts that deny deletions and rewrite executions."""
    with gates(tmp_path_factory.mktemp("mysqldenials")) as make:
        yield mysql_front(make, mysql_server, scripts=[NO_DELETE, OTHER_WORDS])


@pytest.fixture
def cursor(gate: Gate) -> Iterator[Any]:
    with connect(gate, client_flag=CLIENT.MULTI_STATEMENTS) as connection, connection.cursor() as cursor:
        yield cursor


def test_a_denial_says_why_and_the_session_lives_on(cursor: Any) -> None:
    with pytest.raises(pymysql.Error) as denied:
        cursor.execute("DELETE FROM orders")
    code, text = denied.value.args
    assert code == 1142
    assert text == "rows are not deleted here (rule script0: no_delete). Hint: Set deleted_at instead."
    cursor.execute("SELECT COUNT(*) > 0 FROM orders")
    assert cursor.fetchall() == ((1,),)


def test_a_batch_is_denied_as_a_whole(cursor: Any) -> None:
    cursor.execute("SELECT COUNT(*) FROM orders")
    before = cursor.fetchall()
    with pytest.raises(pymysql.Error, match="not deleted here"):
        cursor.execute("INSERT INTO orders (customer) VALUES (1); DELETE FROM orders")
    cursor.execute("SELECT COUNT(*) FROM orders")
    assert cursor.fetchall() == before


def test_several_results(cursor: Any) -> None:
    cursor.execute("SELECT 1; SELECT 'a', 'b'; SET @x = 1; SELECT pan FROM cards WHERE id = 1")
    assert cursor.fetchall() == ((1,),)
    assert cursor.nextset()
    assert cursor.fetchall() == (("a", "b"),)
    assert cursor.nextset()
    assert cursor.nextset()
    ((pan,),) = cursor.fetchall()
    assert pan.startswith("********")
    assert not cursor.nextset()


def test_an_error_amid_several_results(cursor: Any) -> None:
    cursor.execute("SELECT 1; SELECT no_such FROM cards; SELECT 3")
    assert cursor.fetchall() == ((1,),)
    with pytest.raises(pymysql.Error, match="no_such"):
        cursor.nextset()
    cursor.execute("SELECT 2")
    assert cursor.fetchall() == ((2,),)


def test_results_of_a_procedure(mysql_server: MySqlDatabase, cursor: Any) -> None:
    with mysql_server.connect() as connection, connection.cursor() as direct:
        direct.execute("DROP PROCEDURE IF EXISTS two")
        direct.execute("CREATE PROCEDURE two() BEGIN SELECT 1; SELECT pan FROM cards WHERE id = 1; END")
    cursor.execute("CALL two()")
    assert cursor.fetchall() == ((1,),)
    assert cursor.nextset()
    ((pan,),) = cursor.fetchall()
    assert pan.startswith("********")
    cursor.execute("SELECT 2")
    assert cursor.fetchall() == ((2,),)


def test_transactions(gate: Gate) -> None:
    with connect(gate, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders (customer, total) VALUES (1, 77.25)")
        connection.rollback()
        cursor.execute("SELECT COUNT(*) FROM orders WHERE total = 77.25")
        assert cursor.fetchall() == ((0,),)
        assert cursor.execute("UPDATE orders SET total = total + 1 WHERE customer = 1") == 1
        connection.rollback()


def test_another_database(gate: Gate) -> None:
    with connect(gate) as connection, connection.cursor() as cursor:
        connection.select_db("information_schema")
        cursor.execute("SELECT DATABASE()")
        assert cursor.fetchall() == (("information_schema",),)
        with pytest.raises(pymysql.Error):
            connection.select_db("no_such")
        cursor.execute("SELECT DATABASE()")
        assert cursor.fetchall() == (("information_schema",),)


def test_texts_over_16_megabytes(gate: Gate) -> None:
    text = "x" * (1 << 24)
    with connect(gate, max_allowed_packet=1 << 26) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT LENGTH('{text}')")
        # It is longer than what may be judged.
        assert cursor.fetchall() == ((len(text),),)


@pytest.mark.parametrize(
    "command",
    [
        COMMAND.COM_FIELD_LIST,
        COMMAND.COM_CREATE_DB,
        COMMAND.COM_SHUTDOWN,
        COMMAND.COM_PROCESS_INFO,
        COMMAND.COM_DEBUG,
        COMMAND.COM_CHANGE_USER,
        COMMAND.COM_BINLOG_DUMP,
        COMMAND.COM_REGISTER_SLAVE,
    ],
)
def test_commands_that_are_refused(gate: Gate, command: int) -> None:
    with connect(gate) as connection, connection.cursor() as cursor:
        connection._execute_command(command, b"x\0")
        with pytest.raises(pymysql.Error) as refused:
            connection._read_ok_packet()
        assert refused.value.args[0] == 1047
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)


def test_prepared_statements(gate: Gate) -> None:
    login = {"host": "127.0.0.1", "port": gate.port, "user": "agent", "password": gate.password, "database": "shop"}
    connection = mysql.connector.connect(**login, use_pure=True)
    cursor = connection.cursor(prepared=True)
    cursor.execute("SELECT %s, %s, %s, %s", (1, "two", None, 4.5))
    assert cursor.fetchall() == [(1, "two", None, 4.5)]
    with pytest.raises(mysql.connector.Error, match="not deleted here"):
        cursor.execute("DELETE FROM orders WHERE id = %s", (1,))
    second = connection.cursor(prepared=True)
    second.execute("SELECT pan FROM cards WHERE id IN (%s, %s)", (1, 2))
    assert all(pan.startswith("********") for (pan,) in second.fetchall())
    connection.close()


def test_what_is_prepared_runs_in_other_words(gate: Gate) -> None:
    with MySqlWire(gate.port).log_in("agent", gate.password) as client:
        statement = client.prepare("SELECT CONCAT('once ', ?) AS n, pan FROM cards WHERE id <= ? ORDER BY id")
        assert isinstance(statement, Prepared)
        for flags in (0, READ_ONLY_CURSOR, 0):
            (result,) = client.execute(statement, [b"7", b"2"], flags=flags)
            assert result.error is None
            assert [(cell, pan[:8]) for cell, pan in result.rows] == [(b"twice 7", b"********")] * 2
        other = client.prepare("SELECT ?")
        assert isinstance(other, Prepared)
        assert client.execute(other, [b"x"])[0].rows == [[b"x"]]


def test_statements_are_on_record_and_can_be_replayed(gate: Gate) -> None:
    with connect(gate) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name AS replayed, pan FROM customers JOIN cards ON customer = customers.id LIMIT 2")
        cursor.fetchall()
        with pytest.raises(pymysql.Error):
            cursor.execute("DELETE FROM customers")
    (found,) = eventually(lambda: gate.audit("search", "--text", "replayed"))
    replayed = gate.command("audit", "replay", found["session"])
    assert "Customer 1" in replayed
    assert "not deleted here" in replayed
    assert gate.audit("search", "--verdict", "deny", "--text", "customers")


def test_a_statement_is_cancelled_by_another_session(gate: Gate, mysql_server: MySqlDatabase) -> None:
    with connect(gate) as one, connect(gate) as other, one.cursor() as cursor:
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.append(cursor.execute("SELECT SLEEP(60) FROM cards"))
                outcome.append(cursor.fetchall())
            except pymysql.Error as error:
                outcome.append(error.args[0])

        thread = threading.Thread(target=run)
        thread.start()
        eventually(lambda: _is_sleeping(mysql_server))
        with other.cursor() as canceller:
            canceller.execute(f"KILL QUERY {one.thread_id()}")
        thread.join(30)
        assert not thread.is_alive()
        assert outcome
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)


def _is_sleeping(server: MySqlDatabase) -> bool:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'")
        ((count,),) = cursor.fetchall()
    return bool(count)


@pytest.mark.parametrize("statement", ["KILL 1", "KILL CONNECTION 1", "KILL (SELECT 1)", "KILL USER agent"])
def test_no_session_is_ended(gate: Gate, statement: str) -> None:
    with connect(gate) as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.Error, match="gatepost"):
            cursor.execute(statement)
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)


def test_a_database_that_is_not_there(gate: Gate) -> None:
    with pytest.raises(pymysql.Error, match="connect to another"):
        connect(gate, database="no_such")


def test_a_client_without_utf8(gate: Gate) -> None:
    with pytest.raises(pymysql.Error, match="utf8mb4"):
        connect(gate, charset="latin1")


def test_local_files_are_not_asked_for(gate: Gate) -> None:
    with connect(gate, local_infile=True) as connection, connection.cursor() as cursor, pytest.raises(pymysql.Error):
        cursor.execute("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE customers")


def test_the_cheapest_gate_works(gate: Gate, mysql_server: MySqlDatabase, gate_of_its_own: MakeGate) -> None:
    bare = mysql_front(gate_of_its_own, mysql_server, plugins="")
    with connect(bare) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pan FROM cards ORDER BY id")
        assert [pan for (pan,) in cursor.fetchall()] == list(mysql_server.pans)
        cursor.execute("SELECT REPEAT('x', 33554500)")
        assert len(cursor.fetchall()[0][0]) == 33554500
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)


@pytest.fixture
def gate_of_its_own(tmp_path: Any) -> Iterator[MakeGate]:
    with gates(tmp_path) as make:
        yield make


def test_memory_does_not_grow_with_the_result(mysql_gate: Gate) -> None:
    with connect(mysql_gate, cursorclass=pymysql.cursors.SSCursor) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
        before = _memory(mysql_gate)
        # Each row has a card number in it, so that plugins look at and change all of them.
        cursor.execute("SELECT cards.pan, REPEAT('x', 8000) FROM cards, customers a, customers b LIMIT 16000")
        most = before
        rows = 0
        while some := cursor.fetchmany(1000):
            rows += len(some)
            most = max(most, _memory(mysql_gate))
        assert rows == 16000
        assert most - before < 64 << 20


def _memory(gate: Gate) -> int:
    return sum(worker.memory_info().rss for worker in gate.workers)
