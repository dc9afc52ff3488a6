"""What MySQL and MariaDB say of statements and values beside rows, with no policy that would deny the question.

Warnings, errors, process lists, logs, profiles and traces quote what was asked; no card number is in what they quote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from tests.mysql_client import MySqlWire, Prepared, Result, texts
from tests.mysql_servers import MySqlDatabase, database, flavour_of, mysql_front
from tests.servers import Gate, gates

PAN = "4111111111111111"
MASK = "************1111"
BOTH = {"mariadb", "mysql"}
SCHEMA = """
DROP TABLE IF EXISTS told;
CREATE TABLE told (id INT PRIMARY KEY AUTO_INCREMENT, n INT, short VARCHAR(4), day DATE, pan VARCHAR(30) UNIQUE);
INSERT INTO told VALUES (1, 1, 'x', NULL, '4111111111111111');
CREATE USER IF NOT EXISTS watcher@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL ON *.* TO watcher@'127.0.0.1';
SET GLOBAL log_output = 'TABLE', GLOBAL general_log = 1, GLOBAL slow_query_log = 1, GLOBAL long_query_time = 0
"""
# MariaDB measures nothing unless it is told to when it starts.
MEASURING = {
    "mariadb": [
        "--performance-schema=ON",
        "--performance-schema-consumer-events-statements-history=ON",
        "--performance-schema-consumer-events-statements-current=ON",
        "--log-bin=binlog",
        "--performance-schema-consumer-events-statements-history-long=ON",
        "--performance-schema-instrument=statement/%=ON",
    ],
    "mysql": [],
}


class Watched(NamedTuple):
    gate: Gate
    server: MySqlDatabase

    def enter(self) -> MySqlWire:
        return MySqlWire(self.gate.port).log_in("agent", self.gate.password)


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A server that keeps what it is asked, and a gate that may ask it for that."""
    folder = tmp_path_factory.mktemp("watched")
    with database(flavour_of(request.param), folder, MEASURING[request.param]) as server, gates(folder) as make:
        with server.connect() as connection, connection.cursor() as cursor:
            for statement in SCHEMA.format(password=server.password).split(";\n"):
                cursor.execute(statement)
        yield Watched(mysql_front(make, server._replace(user="watcher")), server)


def shown(results: Sequence[Result]) -> str:
    """All that a client was sent, as text."""
    found = []
    for result in results:
        found += [name for column in result.columns for name in column.names]
        for row in result.rows:
            for cell, column in zip(row, result.columns, strict=True):
                found += texts(cell, column)
        found.append(result.end.decode("latin-1"))
    return "\n".join(found)


def assert_masked(results: Sequence[Result]) -> None:
    """They quote a card number, of which the last four digits are shown."""
    everything = shown(results)
    assert PAN not in everything
    assert MASK in everything


def in_every_way(wire: MySqlWire, text: str) -> Iterator[list[Result]]:
    yield wire.query(text)
    prepared = wire.prepare(text)
    yield wire.execute(prepared) if isinstance(prepared, Prepared) else [prepared]


# Each warns with words that quote a value, in a session that is not strict.
WARN = [
    f"INSERT INTO told (n) VALUES ('x{PAN}')",
    f"UPDATE told SET n = 'x{PAN}' WHERE id = 1",
    f"INSERT IGNORE INTO told (pan) VALUES ('{PAN}')",
    f"SELECT CAST('{PAN}x' AS SIGNED), '{PAN}x' + 0, STR_TO_DATE('x{PAN}', '%Y-%m')",
    "SELECT CAST(CONCAT(pan, 'x') AS SIGNED) FROM told WHERE id = 1",
    f"SELECT 1 FROM told WHERE n = '{PAN}x'",
    f"DROP TABLE IF EXISTS `{PAN}`",
]
# Each fails, as a text and with the value bound, with words that quote it.
FAIL = [
    "INSERT INTO told (n) VALUES (CONCAT('x', ?))",
    "INSERT INTO told (day) VALUES (?)",
    "INSERT INTO told (pan) VALUES (?)",
    "UPDATE told SET n = CONCAT('x', ?) WHERE id = 1",
]


@pytest.mark.parametrize("ask", ["SHOW WARNINGS", "SHOW WARNINGS LIMIT 1"])
@pytest.mark.parametrize("text", WARN)
def test_a_warning(watched: Watched, text: str, ask: str) -> None:
    with watched.enter() as wire:
        for statement in ("SET sql_mode = ''", "BEGIN"):
            assert wire.query(statement)[0].error is None
        for results in in_every_way(wire, text):
            assert results[-1].error is None
            assert PAN not in shown(results)
            assert_masked(wire.query(ask))
        prepared = wire.prepare(ask)
        if watched.server.flavour == "mysql":
            assert isinstance(prepared, Result), "it is not prepared there"
        else:
            assert isinstance(prepared, Prepared)
            wire.query(text)
            assert_masked(wire.execute(prepared))


@pytest.mark.parametrize("text", FAIL)
def test_an_error(watched: Watched, text: str) -> None:
    with watched.enter() as wire:
        assert wire.query("SET sql_mode = 'STRICT_ALL_TABLES'")[0].error is None
        prepared = wire.prepare(text)
        assert isinstance(prepared, Prepared)
        for results in (wire.query(text.replace("?", f"'{PAN}'")), wire.execute(prepared, [PAN.encode()])):
            assert results[-1].error is not None
            assert_masked(results)
            for ask in ("SHOW WARNINGS", "SHOW ERRORS"):
                assert_masked(wire.query(ask))


def test_a_diagnostic(watched: Watched) -> None:
    with watched.enter() as wire:
        wire.query(f"INSERT INTO told (pan) VALUES ('{PAN}')")
        assert wire.query("GET DIAGNOSTICS CONDITION 1 @text = MESSAGE_TEXT")[0].error is None
        for results in in_every_way(wire, "SELECT @text"):
            assert_masked(results)


# What is asked, and which servers have something to tell there.
TOLD = {
    f"SHOW FULL PROCESSLIST /* {PAN} */": BOTH,
    f"SELECT info FROM information_schema.processlist WHERE '{PAN}' <> 'x'": BOTH,
    f"SELECT processlist_info FROM performance_schema.threads WHERE '{PAN}' <> 'x'": {"mysql"},
    "SELECT sql_text, digest_text, message_text FROM performance_schema.events_statements_history": BOTH,
    "SELECT sql_text FROM performance_schema.events_statements_history_long": {"mariadb"},
    f"SELECT sql_text FROM performance_schema.events_statements_current WHERE '{PAN}' <> 'x'": BOTH,
    "SELECT * FROM performance_schema.events_statements_summary_by_digest": BOTH,
    "SELECT sql_text FROM performance_schema.prepared_statements_instances": BOTH,
    "SELECT * FROM performance_schema.user_variables_by_thread": BOTH,
    "SELECT argument FROM mysql.general_log": BOTH,
    "SELECT sql_text FROM mysql.slow_log": BOTH,
    "SHOW PROFILES": BOTH,
    "SELECT * FROM information_schema.optimizer_trace": BOTH,
    "SHOW ENGINE INNODB STATUS": set(),
    f"SELECT trx_query FROM information_schema.innodb_trx WHERE '{PAN}' <> 'x'": BOTH,
    "SHOW BINLOG EVENTS": BOTH,
    "SELECT min_value, max_value FROM mysql.column_stats": {"mariadb"},
    "SELECT @kept": BOTH,
}


@pytest.mark.parametrize("ask", TOLD)
def test_what_a_server_keeps_of_what_it_was_asked(watched: Watched, ask: str) -> None:
    with watched.enter() as other, watched.enter() as wire:
        for statement in (
            "SET profiling = 1",
            "SET optimizer_trace = 'enabled=on'",
            f"SET @kept = '{PAN}'",
            f"INSERT INTO told (pan) VALUES ('{PAN}')",
            "ANALYZE TABLE told PERSISTENT FOR ALL",
            "BEGIN",
            f"UPDATE told SET short = 'y' WHERE pan = '{PAN}'",
            f"SELECT id FROM told WHERE pan = '{PAN}'",
        ):
            wire.query(statement)
        prepared = other.prepare(f"SELECT id FROM told WHERE pan = ? OR pan = '{PAN}'")
        assert isinstance(prepared, Prepared)
        other.execute(prepared, [PAN.encode()])
        as_text, in_binary = in_every_way(wire, ask)
        assert PAN not in shown(in_binary)
        if watched.server.flavour in TOLD[ask]:
            assert_masked(as_text)
        assert PAN not in shown(as_text)
