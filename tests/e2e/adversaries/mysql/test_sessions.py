"""Sessions that try to mean something else by what they say: modes, encodings, databases and commands."""

from __future__ import annotations

import pytest
from tests import mysql_wire
from tests.e2e.adversaries.mysql.house import House, assert_denied, assert_serving, in_every_way
from tests.mysql_client import MySqlWire, Result
from tests.wire import WireError

SET_OTHERWISE = [
    "SET sql_mode='ANSI_QUOTES'; SELECT concat(\"pan\") FROM cards",
    "SET sql_mode='ANSI_QUOTES'",
    "SET sql_mode=ANSI",
    "SET sql_mode='NO_BACKSLASH_ESCAPES'",
    "SET sql_mode=CONCAT('ANSI_', 'QUOTES')",
    "SET @@session.sql_mode='NO_BACKSLASH_ESCAPES'; SELECT '\\'; DROP TABLE cards; -- '",
    "SET sql_log_bin=0",
    "SET SESSION sql_log_bin=0",
    "SET GLOBAL general_log=1",
    "SET PERSIST max_connections=1",
    "SET @@GLOBAL.local_infile=1",
    "SET NAMES sjis",
    "SET NAMES gbk",
    "SET character_set_results=utf16",
    "SET character_set_results=ucs2",
    "SET character_set_results=utf32",
    "SET character_set_results=NULL",
    "SET CHARACTER SET utf32",
    "SET character_set_client=gbk",
    "SET ROLE ALL",
    "SET SESSION AUTHORIZATION root",
    "SET foreign_key_checks=0",
    "SET session_track_system_variables='*'",
    "SET pseudo_thread_id=1",
    "SET debug='d'",
    "SET STATEMENT sql_mode='ANSI_QUOTES' FOR SELECT \"pan\"",
]
TOLD = [
    "SELECT sql_text FROM performance_schema.events_statements_history",
    "SELECT digest_text FROM performance_schema.events_statements_summary_by_digest",
    "SELECT info FROM information_schema.processlist",
    "SELECT * FROM performance_schema.threads",
    "SELECT * FROM performance_schema.user_variables_by_thread",
    "SELECT histogram FROM information_schema.column_statistics",
    "SELECT * FROM mysql.column_stats",
    "SELECT * FROM mysql.general_log",
    "SELECT * FROM mysql.user",
    "SELECT authentication_string FROM mysql.global_priv",
    "SELECT view_definition FROM information_schema.views",
    "SELECT routine_definition FROM information_schema.routines",
    "SHOW FULL PROCESSLIST",
    "SHOW CREATE PROCEDURE p",
    "SHOW BINLOG EVENTS",
    "SHOW GRANTS FOR root@localhost",
    "SHOW ENGINE INNODB STATUS",
    "SELECT pan FROM evil.cards",
    "USE evil; SELECT pan FROM cards",
]


@pytest.mark.parametrize("role", ["reader", "analyst", "writer"])
@pytest.mark.parametrize("text", SET_OTHERWISE)
def test_81_82_98_a_session_stays_what_it_is(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for results in in_every_way(wire, text):
            assert_denied(results)
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("text", TOLD)
def test_95_what_the_server_tells_of_others_is_denied(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for results in in_every_way(wire, text):
            assert_denied(results)
        assert_serving(wire)


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (0x05, b"evil2"),  # CREATE_DB
        (0x06, b"house"),  # DROP_DB
        (0x07, b"\x01"),  # REFRESH
        (0x08, b""),  # SHUTDOWN
        (0x0A, b""),  # PROCESS_INFO
        (0x0C, b"\x01\0\0\0"),  # PROCESS_KILL
        (0x0D, b""),  # DEBUG
        (0x11, b"keeper\0\0house\0"),  # CHANGE_USER
        (0x12, b"\x04\0\0\0\0\0\x01\0\0\0"),  # BINLOG_DUMP
        (0x13, b"house\0cards"),  # TABLE_DUMP
        (0x15, b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),  # REGISTER_SLAVE
        (0x1E, b"\0" * 20),  # BINLOG_DUMP_GTID
        (0x20, b""),  # CLONE
    ],
)
def test_92_a_command_that_is_no_statement_is_refused(house: House, command: int, body: bytes) -> None:
    with house.unchanged(), house.enter("analyst") as wire:
        assert wire.command(command, body).error is not None
        assert_serving(wire)


def test_92_listed_fields_tell_no_card_number(house: House) -> None:
    """They tell what SHOW COLUMNS does, of any table, but for the card numbers in it."""
    with house.unchanged(), house.enter("analyst") as wire:
        listed = [wire.fields("cards"), wire.fields("vault"), wire.fields("vault", "e%"), wire.fields("renamed")]
        assert all(found.columns for found in listed)
        house.assert_kept(listed)
        assert_serving(wire)


@pytest.mark.parametrize("role", ["reader", "analyst"])
def test_92_another_database_means_its_own_tables(house: House, role: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        wire.command(mysql_wire.INIT_DB, b"evil")
        for results in in_every_way(wire, "SELECT pan FROM cards"):
            assert_denied(results)
        for results in in_every_way(wire, "SELECT pan FROM house.cards"):
            house.assert_kept(results)
        assert_serving(wire)


def test_92_a_reset_connection_is_masked_as_before(house: House) -> None:
    with house.unchanged(), house.enter() as wire:
        assert wire.command(0x1F).error is None
        for results in in_every_way(wire, "SELECT REVERSE(pan), pan FROM house.cards"):
            assert results[-1].rows
            house.assert_kept(results)
        assert_serving(wire)


def test_122_compression_is_not_agreed_on(house: House) -> None:
    """What compressed packets would hold is not judged: a client that asks for them speaks plain ones."""
    for flag in (1 << 5, 1 << 26):
        wire = MySqlWire(house.gate.port, capabilities=mysql_wire.CAPABILITIES | flag)
        with wire.log_in("reader", house.passwords["reader"], "house"):
            assert_serving(wire)


def test_another_database_is_not_logged_in_to_unjudged(house: House) -> None:
    """The target has one database, whatever the client asks for."""
    with MySqlWire(house.gate.port).log_in("reader", house.passwords["reader"], "evil") as wire:
        (result,) = wire.query("SELECT DATABASE()")
        assert result.rows == [[b"house"]]


def test_a_wrong_password_is_told_without_the_database_s_login(house: House) -> None:
    with pytest.raises(WireError) as failed, MySqlWire(house.gate.port) as wire:
        wire.log_in("reader", "wrong", "house")
    assert "keeper" not in str(failed.value)


def test_123_session_tracking_shows_no_more(house: House) -> None:
    with house.unchanged(), house.enter("analyst") as wire:
        for text in ("SET time_zone = (SELECT pan FROM cards LIMIT 1)", "SET @x = (SELECT pan FROM cards LIMIT 1)"):
            house.assert_kept(wire.query(text))
        statement = wire.prepare("SELECT pan FROM cards")
        assert not isinstance(statement, Result)
        assert_serving(wire)
