"""Statements that try to get around the gate, in MySQL's words, against real servers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from tests.mysql_servers import MySqlDatabase, connect, mysql_front
from tests.servers import Gate, eventually, gates

PAN = "4111111111111111"
PASSWORD = "inspector-password"
LOGIN = "lookout@'127.0.0.1'"
PLUGINS = """
[plugins.secrets.targets.shop.inspector]
user = "lookout"
database = "shop"
password = "env:INSPECTOR_PASSWORD"

[plugins.policy.roles.reader]
allow = [{ do = "read", on = "shop.held" }]

[plugins.mask]
[[plugins.mask.columns]]
match = "held.pan"
tag = "pan"

[[plugins.mask.columns]]
match = "held.cvv"
tag = "sad"

[plugins.audit]
"""
MADE = [
    "CREATE TABLE held (id INT PRIMARY KEY, holder VARCHAR(30), pan VARCHAR(19) UNIQUE, cvv CHAR(4), meta JSON)",
    f"INSERT INTO held VALUES (1, 'Ada', '{PAN}', '737', '{{\"pans\": [\"{PAN}\"]}}')",
    "CREATE TABLE noted (k VARCHAR(40) UNIQUE)",
    f"INSERT INTO noted VALUES ('{PAN}')",
    "CREATE PROCEDURE wipe() DELETE FROM held",
    "CREATE FUNCTION peek() RETURNS VARCHAR(19) DETERMINISTIC READS SQL DATA RETURN (SELECT pan FROM held LIMIT 1)",
    f"CREATE USER {LOGIN} IDENTIFIED BY '{PASSWORD}'",
    f"GRANT REFERENCES ON *.* TO {LOGIN}",
]
GONE = [
    "DROP TABLE IF EXISTS held, noted",
    "DROP PROCEDURE IF EXISTS wipe",
    "DROP FUNCTION IF EXISTS peek",
    f"DROP USER IF EXISTS {LOGIN}",
]


@pytest.fixture(scope="module")
def besieged(mysql_server: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        for statement in (*GONE, *MADE):
            cursor.execute(statement)
        with gates(tmp_path_factory.mktemp("besieged")) as make:
            environment = {"INSPECTOR_PASSWORD": PASSWORD}
            gate = mysql_front(make, mysql_server, plugins=PLUGINS, environment=environment)
            eventually(lambda: attempt(gate, "SELECT x FROM (SELECT holder AS x FROM held) d") == ([("Ada",)], ""))
            yield gate
        for statement in GONE:
            cursor.execute(statement)


def attempt(gate: Gate, statement: str) -> tuple[list[Any], str]:
    """All that a client is shown: rows of every result, and the error."""
    shown: list[Any] = []
    several = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with connect(gate, client_flag=several) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(statement)
            shown += cursor.fetchall()
            while cursor.nextset():
                shown += cursor.fetchall()
        except pymysql.Error as error:
            return shown, str(error)
    return shown, ""


def state(server: MySqlDatabase) -> list[Any]:
    with server.connect() as connection, connection.cursor() as cursor:
        found: list[Any] = []
        for text in ("SELECT * FROM held", "SELECT * FROM noted", "SHOW TABLES", "SELECT @@GLOBAL.sql_mode"):
            cursor.execute(text)
            found += cursor.fetchall()
        return found


def secrets(text: str) -> list[str]:
    """The forms of hidden values in a text."""
    code = base64.b64encode(PAN.encode()).decode()
    forms = (PAN, PAN[::-1], PAN[:12], PAN.encode().hex(), code, "737")
    return [form for form in forms if form.lower() in text.lower()]


DENIED = [
    "/*!50000 DROP TABLE held */",
    "SELECT 1 /*!50000 , pan */ FROM held",
    "SELECT 1 /*M!100100 , pan */ FROM held",
    "SELECT * FROM held /*! INTO OUTFILE '/tmp/x' */",
    "SELECT pan INTO/**/OUTFILE '/tmp/x' FROM held",
    "SELECT pan FROM held INTO DUMPFILE '/tmp/x'",
    "SELECT LOAD_FILE('/etc/passwd')",
    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE noted",
    "SET @s = CONCAT('DR', 'OP TABLE held'); PREPARE p FROM @s; EXECUTE p",
    "SET sql_mode = 'ANSI_QUOTES'; SELECT concat(\"pan\") FROM held",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT '\\'; DROP TABLE held; -- '",
    "CALL wipe()",
    "DO SLEEP(5)",
    "SELECT peek()",
    "SELECT `peek`()",
    "SELECT shop.peek()",
    "INSERT INTO noted (k) SELECT pan FROM held",
    "SELECT sql_text FROM performance_schema.events_statements_history",
    "SELECT * FROM mysql.user",
    "SET sql_log_bin = 0",
    "SET GLOBAL sql_mode = ''",
    "SELECT 1; COMMIT; DROP TABLE held",
    "SELECT 1; DELETE FROM held",
    "EXPLAIN ANALYZE DELETE FROM held",
    "DELETE held FROM held JOIN noted",
    "UPDATE held SET pan = '1' WHERE id = 1",
    "TRUNCATE held",
    "SELECT id FROM held FOR UPDATE",
    "HANDLER held OPEN",
    "CREATE TABLE z AS SELECT pan FROM held",
    "CREATE VIEW z AS SELECT pan AS x FROM held",
    "CREATE TEMPORARY TABLE held (id INT, pan TEXT)",
    "ALTER TABLE held RENAME COLUMN pan TO nick",
    "SELECT 1 FROM held WHERE id = 1 AND pan >= '4111'",
    "SELECT id FROM held ORDER BY pan",
    "SELECT COUNT(*) FROM held JOIN (SELECT '4111111111111111' AS pan) g USING (pan)",
    "SELECT id FROM held WHERE pan REGEXP '^41'",
    "SELECT id FROM held WHERE id = (SELECT MAX(id) FROM held h WHERE h.pan LIKE '4%')",
    "SELECT IF(ORD(MID(pan, 1, 1)) > 51, SLEEP(1), 0) FROM held",
    "SELECT IF(pan > '4', 1, 0) FROM held",
    "SELECT GROUP_CONCAT(id ORDER BY cvv) FROM held",
    "SELECT pan INTO @kept FROM held",
    "SELECT @kept := pan FROM held",
    "SET @kept = (SELECT cvv FROM held)",
    "SHOW WARNINGS",
    "SHOW PROCESSLIST",
    "SHOW BINLOG EVENTS",
    "KILL 1",
    "GRANT ALL ON *.* TO agent",
    "FLUSH PRIVILEGES",
    "XA START 'x'",
    "LOCK TABLES held WRITE",
    "SELECT BENCHMARK(1000000000, 1)",
]
MASKED = [
    "SELECT * FROM held",
    "SELECT pan AS x, cvv AS y FROM held",
    "SELECT PAN, held.CVV FROM shop.held",
    "WITH w AS (SELECT pan x, cvv y FROM held) SELECT x, y FROM w",
    "SELECT x.c3, x.c4 FROM (SELECT id c1, holder c2, pan c3, cvv c4 FROM held) x",
    "SELECT a.*, b.* FROM held a JOIN held b ON a.id = b.id",
    "SELECT HEX(pan), TO_BASE64(pan), REVERSE(pan), CONV(pan, 10, 36) FROM held",
    "SELECT LEFT(pan, 8), SUBSTR(pan, 9), MID(cvv, 1, 3) FROM held",
    "SELECT JSON_ARRAYAGG(pan), GROUP_CONCAT(cvv), MAX(pan) FROM held",
    "SELECT CAST(pan AS BINARY), CAST(cvv AS UNSIGNED), pan + 0 FROM held",
    "SELECT JSON_OBJECT('a', pan, 'b', cvv) FROM held",
    "SELECT (SELECT pan FROM held), (SELECT cvv FROM held)",
    "SELECT COALESCE(NULL, cvv), CONCAT_WS('-', pan, cvv) FROM held",
    "SELECT holder FROM held UNION ALL SELECT cvv FROM held",
    "SELECT LAST_VALUE(cvv) OVER () FROM held",
    "SELECT EXTRACTVALUE(1, CONCAT(0x7e, (SELECT cvv FROM held)))",
    "SELECT meta FROM held",
    "SELECT MD5(cvv), SHA2(pan, 256) FROM held",
    "SELECT RPAD(pan, 16777216, 'x') FROM held",
    "TABLE held",
]


@pytest.mark.parametrize("statement", DENIED)
def test_denied(besieged: Gate, mysql_server: MySqlDatabase, statement: str) -> None:
    before = state(mysql_server)
    shown, error = attempt(besieged, statement)
    assert "(1142, " in error or "(1095, " in error, (shown, error)
    assert not shown
    assert not secrets(error.replace(statement, ""))
    assert state(mysql_server) == before


@pytest.mark.parametrize("statement", MASKED)
def test_masked(besieged: Gate, mysql_server: MySqlDatabase, statement: str) -> None:
    before = state(mysql_server)
    shown, error = attempt(besieged, statement)
    assert shown or error
    assert not secrets(str(shown)[:1000] + error)
    assert state(mysql_server) == before
