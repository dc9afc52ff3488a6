"""Commands of MySQL's protocol through a real gate: what works, what is denied, and that the session lives on."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mysql.connector
import pymysql
import pytest
from pymysql.constants import CLIENT, COMMAND
from tests import mysql_wire as wire
from tests.mysql_client import READ_ONLY_CURSOR, MySqlWire, Prepared
from tests.mysql_servers import MySqlDatabase, connect, mysql_front
from tests.servers import PATIENCE, Gate, MakeGate, eventually, gates

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


def test_fields_are_listed_with_card_numbers_masked(gate: Gate, mysql_server: MySqlDatabase) -> None:
    pan = mysql_server.pans[0]
    with mysql_server.connect() as connection, connection.cursor() as direct:
        direct.execute("DROP TABLE IF EXISTS fielded")
        columns = f"id INT DEFAULT 5, pan VARCHAR(19) DEFAULT '{pan}', big BIGINT DEFAULT {pan}, note TEXT"
        direct.execute(f"CREATE TABLE fielded ({columns})")
    listed = [[b"5", masked(pan), masked(pan), None]]
    for capabilities in (wire.CAPABILITIES, wire.CAPABILITIES & ~wire.DEPRECATE_EOF):
        with MySqlWire(gate.port, capabilities=capabilities).log_in("agent", gate.password) as talk:
            found = talk.fields("fielded")
            assert [column.name for column in found.columns] == ["id", "pan", "big", "note"]
            assert found.rows == listed
            assert [column.name for column in talk.fields("fielded", "p%").columns] == ["pan"]
            assert talk.fields("no_such").error == (1146, "42S02", "Table 'shop.no_such' doesn't exist")
            assert talk.command(wire.PING).error is None
    (found, *_) = eventually(lambda: gate.audit("search", "--text", "SHOW COLUMNS FROM `fielded`"))
    assert (found["verdict"], found["effect"]) == ("allow", "read")
    assert masked(pan).decode() in gate.command("audit", "replay", found["session"])


def masked(pan: str) -> bytes:
    return b"*" * (len(pan) - 4) + pan[-4:].encode()


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


def test_types_that_a_server_did_not_take_are_not_those_of_the_next_execution(gate: Gate) -> None:
    """MariaDB forgets what it has refused, and would read the next text as the integer that came before."""
    value = wire.counted(b"1234567")
    with MySqlWire(gate.port).log_in("agent", gate.password) as client:
        statement = client.prepare("SELECT HEX(?)")
        assert isinstance(statement, Prepared)
        first, refused, untold = b"\x01\x08\0", b"\x01\xff\0", b"\0"
        assert client.bind(statement, first, value)[0].error is None
        for types in (b"\x01\xf5\0", refused):
            if client.bind(statement, types, value)[0].error is not None:
                assert client.bind(statement, untold, value)[0].error is not None
            assert client.bind(statement, first, value)[0].rows == [[b"3736353433323107"]]


def test_what_came_ahead_of_a_malformed_execution_is_not_the_next_ones(gate: Gate) -> None:
    with MySqlWire(gate.port).log_in("agent", gate.password) as client:
        statement = client.prepare("SELECT HEX(?)")
        assert isinstance(statement, Prepared)
        client.send(wire.LONG_DATA, struct.pack("<IH", statement.number, 0) + b"x")
        (result,) = client.bind(statement, b"\x01\x03\0")
        assert result.error is not None
        assert "came ahead" in result.error[2]
        with pytest.raises((EOFError, ConnectionError)):
            client.bind(statement, b"\0", struct.pack("<I", 7))


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


def test_a_session_that_runs_is_ended_by_another_one(gate: Gate, mysql_server: MySqlDatabase) -> None:
    with connect(gate) as one, connect(gate) as other, ThreadPoolExecutor(1) as pool:
        running = pool.submit(_failed, one, "SELECT SLEEP(60) FROM customers")
        eventually(lambda: _is_sleeping(mysql_server))
        other.kill(one.thread_id())
        assert running.result(PATIENCE) == 1317
        eventually(lambda: not _is_sleeping(mysql_server))
        assert _failed(other, f"KILL {one.thread_id()}") == 1094
        other.ping(reconnect=False)
    (found, *_) = eventually(lambda: gate.audit("search", "--text", f"KILL {one.thread_id()}"))
    assert (found["verdict"], found["effect"]) == ("allow", "control")
    eventually(lambda: [each for each in gate.audit("sessions") if each["ending"] == "killed"])


def test_what_a_revoked_agent_runs_is_ended(gate: Gate, mysql_server: MySqlDatabase) -> None:
    password = gate.add_agent("leaver", "reader")
    with connect(gate, user="leaver", password=password) as one, ThreadPoolExecutor(1) as pool:
        running = pool.submit(_failed, one, "SELECT SLEEP(60) FROM customers")
        eventually(lambda: _is_sleeping(mysql_server))
        gate.command("agents", "revoke", "leaver")
        assert running.result(PATIENCE) == 1045
        eventually(lambda: not _is_sleeping(mysql_server))


def test_a_session_ends_itself(gate: Gate) -> None:
    connection = connect(gate)
    assert _failed(connection, f"KILL QUERY {connection.thread_id()}") == 1317
    connection.ping(reconnect=False)
    assert _failed(connection, f"KILL CONNECTION {connection.thread_id()}") == 1317
    assert _failed(connection, "SELECT 1") in (0, 2006, 2013)


def test_sessions_are_ended_at_whatever_worker_they_are(mysql_server: MySqlDatabase, gate_of_its_own: MakeGate) -> None:
    two = mysql_front(gate_of_its_own, mysql_server, settings="workers = 2")
    victims = [connect(two)]
    while len({each.thread_id() >> 20 for each in victims}) < 2:
        victims.append(connect(two))
    with connect(two) as killer, killer.cursor() as cursor:
        for each in victims:
            cursor.execute(f"KILL {each.thread_id()}")
            assert _failed(each, "SELECT 1") in (0, 1317, 2006, 2013)
        for each in victims:
            assert _failed(killer, f"KILL {each.thread_id()}") == 1094


def test_the_sessions_of_other_agents_are_as_if_they_were_not_there(gate: Gate, mysql_server: MySqlDatabase) -> None:
    password = gate.add_agent("foreigner", "reader")
    with connect(gate) as one, connect(gate, user="foreigner", password=password) as other:
        told = set()
        for number in (one.thread_id(), 77, (1 << 31) - 1, 1 << 31, 10**19):
            for verb in ("KILL", "KILL CONNECTION", "KILL QUERY"):
                with other.cursor() as cursor, pytest.raises(pymysql.Error) as refused:
                    cursor.execute(f"{verb} {number}")
                told.add(refused.value.args)
        with pytest.raises(pymysql.Error) as refused:
            other.kill(one.thread_id())
        told.add(refused.value.args)
        ((code, text),) = told
        assert code == 1094
        assert "no session of yours" in text
        one.ping(reconnect=False)


def _failed(connection: Any, statement: str) -> int:
    """The number of the error that a statement ends in."""
    with pytest.raises(pymysql.Error) as failed, connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()
    return int(failed.value.args[0])


@pytest.mark.parametrize("statement", ["KILL (SELECT 1)", "KILL USER agent", "KILL HARD 1", "KILL QUERY ID 1"])
def test_a_kill_of_what_is_no_session_is_refused(gate: Gate, statement: str) -> None:
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


def test_the_cheapest_gate_works(gate: Gate, mysql_server: MySqlDatabase, gate_of_its_own: MakeGate) -> None:
    bare = mysql_front(gate_of_its_own, mysql_server, plugins="")
    with connect(bare, client_flag=CLIENT.MULTI_STATEMENTS) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pan FROM cards ORDER BY id")
        assert [pan for (pan,) in cursor.fetchall()] == list(mysql_server.pans)
        cursor.execute("SELECT REPEAT('x', 33554500)")
        assert len(cursor.fetchall()[0][0]) == 33554500
        for text in ("KILL 99999", "SELECT 1; KILL 1", "SET sql_mode = 'ANSI_QUOTES'"):
            with pytest.raises(pymysql.Error, match="gatepost"):
                cursor.execute(text)
        cursor.execute("BEGIN; SELECT 1; COMMIT")
        assert cursor.nextset()
        assert cursor.fetchall() == ((1,),)
        with pytest.raises(pymysql.Error, match="no_such"):
            cursor.execute("SELECT no_such FROM cards")
    with mysql.connector.connect(
        host="127.0.0.1", port=bare.port, user="agent", password=bare.password, database="shop", use_pure=True
    ) as connection:
        cursor = connection.cursor(prepared=True)
        for number in (1, 2):
            cursor.execute("SELECT pan FROM cards WHERE id = %s", (number,))
            assert cursor.fetchall() == [(mysql_server.pans[number - 1],)]


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
