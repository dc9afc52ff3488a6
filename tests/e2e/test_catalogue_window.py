"""Tagged columns while the catalogue is not known: a view of them under other names shows nothing then.

The window is held open by the database: it lets the inspector not in, or lets its reading wait for a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pymysql
import pytest
from tests.mysql_servers import MySqlDatabase, connect
from tests.servers import PATIENCE, Database, Gate, MakeGate

PASSWORD = "inspector-password"
INSPECTED = """
[plugins.secrets.targets.shop.inspector]
user = "inspector"
database = "shop"
password = "env:INSPECTOR_PASSWORD"
"""
MASKED = f"""{INSPECTED}
[[plugins.mask.columns]]
match = "hidden.code"
tag = "sad"
"""
VIEW = "CREATE OR REPLACE VIEW renamed AS SELECT id, code AS harmless FROM hidden"
QUERY = "SELECT harmless FROM renamed"
GONE = "[removed]"
READ = "the catalogue of target shop was read"
REFUSED = "the catalogue of target shop could not be read"

# Denies what may hide something, and tells when it does.
WATCHES = """
import logging
from gatepost import Deny, hookimpl

log = logging.getLogger("gatepost.script")

@hookimpl
def on_statement(statement):
    if statement.facts.may_hide:
        log.info("it may hide something")
        return Deny(reason="it may hide something")
"""


@pytest.fixture
def direct(postgres: Database) -> Iterator[psycopg.Connection]:
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE inspector LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f"CREATE TABLE hidden AS SELECT 1 AS id, 'abc' AS code; {VIEW}")
        connection.execute("CREATE TABLE plain AS SELECT 1 AS id; CREATE VIEW locked AS SELECT 1 AS x")
        connection.execute(f"ALTER VIEW renamed OWNER TO {postgres.user}; ALTER TABLE hidden OWNER TO {postgres.user}")
        connection.execute(f"GRANT ALL ON plain TO {postgres.user}")
        connection.execute(f"GRANT CREATE ON SCHEMA public TO {postgres.user}")
        yield connection
        connection.execute("DROP TABLE hidden, plain CASCADE; DROP VIEW locked; DROP ROLE inspector")


def make_gate(gate: MakeGate, upstream: Database | MySqlDatabase, plugins: str = MASKED, **settings: object) -> Gate:
    made = gate(
        upstream,
        plugins=plugins,
        target='database = "shop"',
        environment={"INSPECTOR_PASSWORD": PASSWORD},
        **settings,
    )
    made.log.wait_for(READ)
    return made


def test_postgres_shows_no_tagged_column_under_another_name(
    postgres: Database, direct: psycopg.Connection, gate: MakeGate
) -> None:
    made = make_gate(gate, postgres)
    with psycopg.connect(made.address, autocommit=True) as agent:
        assert agent.execute(QUERY).fetchone() == (GONE,)
        agent.execute("PREPARE p AS SELECT id FROM renamed")
        direct.execute("ALTER ROLE inspector NOLOGIN")
        seen = len(made.log)
        agent.execute("CREATE VIEW again AS SELECT harmless AS x FROM renamed")
        made.log.wait_for(REFUSED, after=seen)
        for text in (
            QUERY,
            "SELECT x FROM again",
            "SELECT id FROM renamed WHERE harmless LIKE 'a%'",
            "SELECT id FROM plain",
            "EXECUTE p",
            "DECLARE c CURSOR WITH HOLD FOR TABLE again",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as denied:
                agent.execute(text)
            assert denied.value.diag.message_detail == "rule mask: mask.catalogue"
            assert "Try again" in (denied.value.diag.message_hint or "")
        assert agent.execute("SELECT 1").fetchone() == (1,)
        direct.execute("ALTER ROLE inspector LOGIN")
        made.log.wait_for(READ, after=seen)
        assert agent.execute("SELECT x FROM again").fetchone() == (GONE,)
        assert agent.execute("SELECT id FROM plain").fetchone() == (1,)


def test_a_migration_goes_on_and_hides_no_tagged_column(
    postgres: Database, direct: psycopg.Connection, gate: MakeGate
) -> None:
    made = make_gate(gate, postgres)
    with psycopg.connect(made.address, autocommit=True) as agent:
        with agent.transaction():
            agent.execute("CREATE TABLE made (id int primary key, word text)")
            agent.execute("INSERT INTO made VALUES (1, 'one')")
            assert agent.execute("SELECT word FROM made WHERE id = 1").fetchone() == ("one",)
            agent.execute("ALTER TABLE made ADD COLUMN more int")
            agent.execute("UPDATE made SET more = 2 WHERE id = 1")
            agent.execute("CREATE VIEW of_it AS SELECT id FROM made")
            agent.execute("CREATE VIEW of_that AS SELECT id FROM of_it")
            agent.execute("UPDATE plain SET id = 2 WHERE id = 1")
            assert agent.execute("SELECT id FROM plain").fetchone() == (2,)
        rows = agent.execute("CREATE TABLE once (x int); INSERT INTO once VALUES (3); SELECT x FROM once")
        while rows.nextset():
            pass
        assert rows.fetchone() == (3,)
        assert agent.execute("SELECT id FROM of_that").fetchone() == (1,)
        for text in ("SELECT id, code FROM hidden", "TABLE hidden"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                agent.execute(f"CREATE VIEW w (y, x) AS {text}; SELECT x FROM w; DROP VIEW w")
        for define in ("CREATE VIEW again AS SELECT code AS x FROM hidden", "CREATE TABLE again (x int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), agent.transaction():
                agent.execute(define)
                agent.execute("SELECT x FROM again, renamed")
        agent.execute("DROP TABLE made CASCADE; DROP TABLE once")
        agent.execute("CREATE TABLE early (x int)")
        with agent.transaction():
            agent.execute("ALTER TABLE early RENAME TO late")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), agent.transaction():
                agent.execute("SELECT x FROM late")
        assert agent.execute("SELECT x FROM late").fetchone() is None
        agent.execute("DROP TABLE late")


def test_a_statement_waits_for_the_reading_that_is_under_way(
    postgres: Database, direct: psycopg.Connection, gate: MakeGate
) -> None:
    made = make_gate(gate, postgres, INSPECTED, scripts=[WATCHES])
    with (
        psycopg.connect(made.address, autocommit=True) as agent,
        postgres.connect() as locking,
        ThreadPoolExecutor() as threads,
    ):
        locking.autocommit = False
        locking.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        agent.execute("CREATE VIEW again AS SELECT harmless AS x FROM renamed")
        shown = threads.submit(lambda: agent.execute("SELECT x FROM again").fetchone())
        made.log.wait_for("it may hide something")
        locking.rollback()
        assert shown.result(PATIENCE) == ("abc",)


def test_mysql_shows_no_tagged_column_under_another_name(mysql_server: MySqlDatabase, gate: MakeGate) -> None:
    login = "inspector@'127.0.0.1'"
    with closing(mysql_server.connect()) as direct:
        cursor = direct.cursor()
        for text in (
            f"CREATE USER {login} IDENTIFIED BY '{PASSWORD}'",
            "CREATE TABLE hidden AS SELECT 1 AS id, 'abc' AS code",
            "CREATE TABLE plain AS SELECT 1 AS id",
            VIEW,
            f"GRANT REFERENCES ON *.* TO {login}",
            f"GRANT SELECT, SHOW VIEW ON shop.* TO {login}",
        ):
            cursor.execute(text)
        try:
            made = make_gate(gate, mysql_server, protocol="mysql")
            with closing(connect(made)) as agent:
                talk = agent.cursor()
                _sees(talk, QUERY, GONE)
                cursor.execute(f"ALTER USER {login} ACCOUNT LOCK")
                seen = len(made.log)
                cursor.execute("CREATE VIEW again AS SELECT harmless AS x FROM renamed")
                talk.execute("CREATE TABLE made (id INT)")
                made.log.wait_for(REFUSED, after=seen)
                for text in (QUERY, "SELECT x FROM again", "SELECT id FROM renamed WHERE harmless LIKE 'a%'"):
                    with pytest.raises(pymysql.MySQLError, match=r"mask\.catalogue"):
                        talk.execute(text)
                _sees(talk, "SELECT DATABASE()", "shop")
                cursor.execute(f"ALTER USER {login} ACCOUNT UNLOCK")
                made.log.wait_for(READ, after=seen)
                _sees(talk, "SELECT x FROM again", GONE)
                for text in ("CREATE TABLE more (id INT)", "INSERT INTO more VALUES (1)"):
                    talk.execute(text)
                _sees(talk, "SELECT id FROM more WHERE id = 1", 1)
        finally:
            for text in (
                f"DROP USER {login}",
                "DROP VIEW IF EXISTS again, renamed",
                "DROP TABLE IF EXISTS made, more, hidden, plain",
            ):
                cursor.execute(text)


def _sees(cursor: pymysql.cursors.Cursor, text: str, value: object) -> None:
    cursor.execute(text)
    assert cursor.fetchall() == ((value,),)
