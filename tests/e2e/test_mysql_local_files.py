"""LOAD DATA LOCAL through a real gate: for roles that may, of the file that the statement names, and counted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from tests.mysql_client import MySqlWire
from tests.mysql_servers import MySqlDatabase, connect, mysql_front, the_command
from tests.servers import PATIENCE, Gate, MakeGate, eventually, gates

PLUGINS = """
[plugins.policy.roles.reader]
allow = [{ do = ["select", "insert", "load"], on = "shop.loaded" }]

[plugins.policy.roles.writer]
allow = [{ do = ["read", "write", "copy"], on = "shop.*" }]

[plugins.mask]
[plugins.audit]
"""
ROWS = 20_000


@pytest.fixture(scope="module")
def loading(mysql_server: MySqlDatabase) -> Iterator[MySqlDatabase]:
    """A server that loads local files, with a table for them."""
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.local_infile")
        ((before,),) = cursor.fetchall()
        cursor.execute("SET GLOBAL local_infile = 1")
        cursor.execute("CREATE TABLE loaded (id INT PRIMARY KEY, note VARCHAR(100))")
        yield mysql_server
        cursor.execute("DROP TABLE loaded")
        cursor.execute(f"SET GLOBAL local_infile = {before}")


@pytest.fixture(scope="module")
def policed(loading: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gates(tmp_path_factory.mktemp("mysqlfiles")) as make:
        yield mysql_front(make, loading, plugins=PLUGINS)


@pytest.fixture
def file(loading: MySqlDatabase, tmp_path: Path) -> Path:
    with loading.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM loaded")
    place = tmp_path / "rows.csv"
    place.write_text("".join(f"{number},note {number}\n" for number in range(ROWS)))
    return place


def load(file: Path, *, table: str = "loaded") -> str:
    return f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE {table} FIELDS TERMINATED BY ',' (id, note)"


def count(server: MySqlDatabase) -> int:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM loaded")
        ((rows,),) = cursor.fetchall()
    return int(rows)


def test_pymysql(policed: Gate, loading: MySqlDatabase, file: Path) -> None:
    with connect(policed, local_infile=True) as connection, connection.cursor() as cursor:
        assert cursor.execute(load(file)) == ROWS
        assert count(loading) == ROWS
        cursor.execute("SELECT note FROM loaded WHERE id = 7")
        assert cursor.fetchall() == (("note 7",),)
        # The server fails amid the file, and takes the rest of it before it says so.
        with pytest.raises(pymysql.Error) as failed:
            cursor.execute(load(file).replace("(id, note)", "(id, @x) SET note = (SELECT 1 UNION SELECT 2)"))
        assert failed.value.args[0] == 1242
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)
    (found, *_) = eventually(lambda: ended(policed, str(file)))
    assert (found["verdict"], found["effect"], found["received"]) == ("allow", "write", file.stat().st_size)
    assert "rows affected" in policed.command("audit", "replay", found["session"])


def ended(gate: Gate, text: str) -> list[dict[str, Any]]:
    found = gate.audit("search", "--text", text)
    return [each for each in reversed(found) if each["complete"]]


def test_the_command(policed: Gate, loading: MySqlDatabase, file: Path) -> None:
    done = subprocess.run(
        [*the_command(policed), "--local-infile=1", "--batch"],
        input=f"{load(file)};\nSELECT COUNT(*) FROM loaded;\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["COUNT(*)", str(ROWS)]
    assert count(loading) == ROWS


def test_a_file_that_is_not_there(policed: Gate, loading: MySqlDatabase, file: Path) -> None:
    with connect(policed, local_infile=True) as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.Error):
            cursor.execute(load(file.with_name("missing.csv")))
        cursor.execute("SELECT COUNT(*) FROM loaded")
        assert cursor.fetchall() == ((0,),)


def test_who_may_not_is_asked_for_no_file(policed: Gate, loading: MySqlDatabase, file: Path) -> None:
    password = policed.add_agent("writer", "writer")
    with connect(policed, user="writer", password=password, local_infile=True) as writer, writer.cursor() as cursor:
        cursor.execute("INSERT INTO loaded VALUES (1, 'x')")
        with pytest.raises(pymysql.Error, match="load a local file") as denied:
            cursor.execute(load(file))
        assert denied.value.args[0] == 1142
        cursor.execute("SELECT 1")
    with connect(policed, local_infile=True) as reader, reader.cursor() as cursor:
        for statement in (load(file, table="orders"), load(file).replace("INTO TABLE", "REPLACE INTO TABLE")):
            with pytest.raises(pymysql.Error) as denied:
                cursor.execute(statement)
            assert denied.value.args[0] == 1142
        for refused in (load(file) + "; SELECT 1", load(file).replace("DATA", "XML")):
            with pytest.raises(pymysql.Error, match="local files"):
                cursor.execute(refused)
    assert count(loading) == 1


def test_a_client_that_gives_no_files(policed: Gate, loading: MySqlDatabase, file: Path) -> None:
    with connect(policed) as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.Error):
            cursor.execute(load(file))
        cursor.execute("SELECT 1")
    assert count(loading) == 0


def test_a_server_that_loads_none(policed: Gate, loading: MySqlDatabase, file: Path) -> None:
    with loading.connect() as connection, connection.cursor() as direct:
        direct.execute("SET GLOBAL local_infile = 0")
        try:
            with connect(policed, local_infile=True) as one, one.cursor() as cursor:
                with pytest.raises(pymysql.Error):
                    cursor.execute(load(file))
                cursor.execute("SELECT 1")
        finally:
            direct.execute("SET GLOBAL local_infile = 1")


def test_without_a_policy_it_is_a_write_as_others_are(loading: MySqlDatabase, gate: MakeGate, file: Path) -> None:
    bare = mysql_front(gate, loading, plugins="")
    file.write_text("".join(f"{number},{'x' * 90}\n" for number in range(300_000)))
    with connect(bare, local_infile=True, max_allowed_packet=1 << 26) as connection, connection.cursor() as cursor:
        assert cursor.execute(load(file)) == 300_000
    # In packets of the longest length, one of which ends with the file.
    one = b"".join(b"%d,%s\n" % (number, b"y" * 90) for number in range(500_000, 700_000))[: (1 << 24) - 1]
    with MySqlWire(bare.port, capabilities=0x00BFA20D | 1 << 24 | 1 << 7).log_in("agent", bare.password) as wire:
        assert wire.load(load(file), one).error is None
        (result,) = wire.query("SELECT COUNT(*) > 400000 FROM loaded")
        assert result.rows == [[b"1"]]
