"""Unmodified MySQL clients through a real gate to real servers: rows, parameters, prepared statements, masks."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import Any

import aiomysql
import asyncmy
import mysql.connector
import pymysql
import pytest
import sqlalchemy
from pymysql.constants import CLIENT
from tests.mysql_servers import MySqlDatabase, connect, the_command
from tests.servers import PATIENCE, Gate, eventually

QUERY = "SELECT id, name, NULL FROM customers WHERE id <= %s ORDER BY id"
ANSWER = [(1, "Customer 1", None), (2, "Customer 2", None)]
PANS = "SELECT pan FROM cards ORDER BY id"


def masked(pans: Any) -> list[str]:
    return ["*" * (len(pan) - 4) + pan[-4:] for pan in pans]


def login(gate: Gate, **changes: Any) -> dict[str, Any]:
    values = {"host": "127.0.0.1", "port": gate.port, "user": "agent", "password": gate.password}
    return values | changes


def test_pymysql(mysql_gate: Gate, mysql_server: MySqlDatabase) -> None:
    with connect(mysql_gate) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY, (2,))
        assert list(cursor.fetchall()) == ANSWER
        cursor.execute(PANS)
        assert [pan for (pan,) in cursor.fetchall()] == masked(mysql_server.pans)
        connection.ping()


def test_a_client_is_greeted_in_the_databases_name(mysql_gate: Gate, mysql_server: MySqlDatabase) -> None:
    with mysql_server.connect() as direct, connect(mysql_gate) as connection:
        assert connection.get_server_info() == direct.get_server_info()
        assert bool(connection.server_capabilities & CLIENT.LONG_PASSWORD) is (mysql_server.flavour == "mysql")


def test_pymysql_without_tls(mysql_gate: Gate) -> None:
    with connect(mysql_gate, ssl_disabled=True) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY, (2,))
        assert list(cursor.fetchall()) == ANSWER


def test_a_wrong_password_is_refused(mysql_gate: Gate) -> None:
    with pytest.raises(pymysql.OperationalError, match="authentication failed") as refused:
        connect(mysql_gate, password="wrong")
    assert refused.value.args[0] == 1045


async def test_aiomysql(mysql_gate: Gate, mysql_server: MySqlDatabase) -> None:
    connection = await aiomysql.connect(**login(mysql_gate, db="shop"))
    async with connection.cursor() as cursor:
        await cursor.execute(QUERY, (2,))
        assert list(await cursor.fetchall()) == ANSWER
        await cursor.execute(PANS)
        assert [pan for (pan,) in await cursor.fetchall()] == masked(mysql_server.pans)
    connection.close()


async def test_asyncmy(mysql_gate: Gate, mysql_server: MySqlDatabase) -> None:
    connection = await asyncmy.connect(**login(mysql_gate, db="shop"))
    async with connection.cursor() as cursor:
        await cursor.execute(QUERY, (2,))
        assert list(await cursor.fetchall()) == ANSWER
        await cursor.execute(PANS)
        assert [pan for (pan,) in await cursor.fetchall()] == masked(mysql_server.pans)
    await connection.ensure_closed()


@pytest.mark.parametrize("use_pure", [True, False])
def test_connector_python(mysql_gate: Gate, mysql_server: MySqlDatabase, use_pure: bool) -> None:
    if not use_pure and not mysql.connector.HAVE_CEXT:
        pytest.skip("this build of mysql-connector-python has no C extension")
    connection = mysql.connector.connect(**login(mysql_gate, database="shop", use_pure=use_pure))
    cursor = connection.cursor()
    cursor.execute(QUERY, (2,))
    assert cursor.fetchall() == ANSWER
    cursor.execute(PANS)
    assert [pan for (pan,) in cursor.fetchall()] == masked(mysql_server.pans)
    cursor.close()
    prepared = connection.cursor(prepared=True)
    for _ in range(2):
        prepared.execute(QUERY, (2,))
        assert prepared.fetchall() == ANSWER
    prepared.execute("SELECT pan FROM cards WHERE id = %s", (1,))
    assert prepared.fetchall() == [(masked(mysql_server.pans)[0],)]
    prepared.close()
    connection.cmd_reset_connection()
    connection.ping()
    connection.close()


def test_sqlalchemy(mysql_gate: Gate, mysql_server: MySqlDatabase) -> None:
    url = f"mysql+pymysql://agent:{mysql_gate.password}@127.0.0.1:{mysql_gate.port}/shop"
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        cards = sqlalchemy.Table("cards", sqlalchemy.MetaData(), autoload_with=connection)
        rows = connection.execute(sqlalchemy.select(cards.c.pan).order_by(cards.c.id)).all()
        assert connection.dialect.is_mariadb is (mysql_server.flavour == "mariadb")
    engine.dispose()
    assert [pan for (pan,) in rows] == masked(mysql_server.pans)


def test_the_command(mysql_gate: Gate, mysql_server: MySqlDatabase) -> None:
    done = subprocess.run(
        [*the_command(mysql_gate), "--batch", "--skip-column-names"],
        input=f"{PANS};\nSELECT 'second';\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [*masked(mysql_server.pans), "second"]


def test_the_command_lists_fields_for_a_person(mysql_gate: Gate) -> None:
    """On a terminal it asks for the columns of all tables, to complete their names."""
    parent, child = pty.openpty()
    process = subprocess.Popen(the_command(mysql_gate), stdin=child, stdout=child, stderr=child)
    os.close(child)
    told = b""

    def hear(text: bytes) -> None:
        nonlocal told
        while text not in told:
            told += os.read(parent, 4096)

    try:
        hear(b"Reading table information for completion")
        hear(b"]> ")
        os.write(parent, b"SELECT COUNT(bran\t) FROM cards;\n")
        hear(b"1 row in set")
        os.write(parent, b"quit\n")
        hear(b"Bye")
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        os.close(parent)
    assert b"ERROR" not in told
    asked = eventually(lambda: mysql_gate.audit("search", "--text", "SHOW COLUMNS FROM `cards`"))
    assert all(found["verdict"] == "allow" for found in asked)
    assert mysql_gate.audit("search", "--text", "SELECT COUNT(brand")
