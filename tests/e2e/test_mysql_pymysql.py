"""PyMySQL through a real gate to real servers."""

from __future__ import annotations

import pymysql
import pytest
from tests.mysql_servers import MySqlDatabase, connect
from tests.servers import Gate


def test_rows_arrive(mysql_gate: Gate) -> None:
    with connect(mysql_gate) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, name, NULL FROM customers WHERE id <= %s ORDER BY id", (2,))
        assert cursor.fetchall() == ((1, "Customer 1", None), (2, "Customer 2", None))


def test_card_numbers_arrive_masked(mysql_gate: Gate, mysql_server: MySqlDatabase) -> None:
    with connect(mysql_gate) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pan FROM cards ORDER BY id")
        assert [pan for (pan,) in cursor.fetchall()] == ["*" * (len(pan) - 4) + pan[-4:] for pan in mysql_server.pans]


def test_a_wrong_password_is_refused(mysql_gate: Gate) -> None:
    with pytest.raises(pymysql.OperationalError, match="authentication failed") as refused:
        connect(mysql_gate, password="wrong")
    assert refused.value.args[0] == 1045
