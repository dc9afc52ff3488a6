"""What only MySQL or only MariaDB has in its protocol, through a real gate to the real server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import mysql.connector
import pytest
from tests.mysql_servers import MySqlDatabase
from tests.servers import Gate, eventually

PAN = "4111111111111111"
MASKED = "************1111"
READ = "SELECT mysql_query_attribute_string('{name}') AS {alias}"


@pytest.fixture(scope="module")
def attributes(mysql_server: MySqlDatabase) -> None:
    """A server that lets SQL read attributes."""
    if mysql_server.flavour != "mysql":
        pytest.skip("MariaDB has no query attributes")
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("INSTALL COMPONENT 'file://component_query_attributes'")


@pytest.fixture
def connection(attributes: None, mysql_gate: Gate) -> Iterator[Any]:
    connection = mysql.connector.connect(
        host="127.0.0.1",
        port=mysql_gate.port,
        user="agent",
        password=mysql_gate.password,
        database="shop",
        use_pure=True,
    )
    yield connection
    connection.close()


@pytest.mark.parametrize("is_prepared", [False, True])
def test_query_attributes_reach_the_server_and_the_record(connection: Any, mysql_gate: Gate, is_prepared: bool) -> None:
    alias = "a" + secrets.token_hex(8)
    cursor = connection.cursor(prepared=is_prepared)
    text = READ.format(name="purpose", alias=alias)
    cursor.add_attribute("purpose", "month's end")
    cursor.add_attribute("card", PAN)
    cursor.add_attribute(f"about {PAN}", 7)
    cursor.execute(text)
    assert cursor.fetchall() == [("month's end",)]
    cursor.clear_attributes()
    cursor.execute(text)
    assert cursor.fetchall() == [(None,)]

    def recorded() -> list[Any]:
        found = mysql_gate.audit("search", "--text", alias)
        return [each["attributes"] for each in found if not each["preparation"] and each["ran"] is not None]

    first, second = eventually(lambda: found if len(found := recorded()) == 2 else None)
    assert first == [["purpose", ["month's end"]], ["card", [MASKED]], [f"about {MASKED}", ["7"]]]
    assert second == []


def test_a_parameter_beside_attributes(connection: Any) -> None:
    cursor = connection.cursor(prepared=True)
    cursor.add_attribute("purpose", "a test")
    for number in (1, 2):
        cursor.execute("SELECT id, mysql_query_attribute_string('purpose') FROM customers WHERE id = %s", (number,))
        assert cursor.fetchall() == [(number, "a test")]


def test_a_card_number_in_an_attribute_is_masked_on_its_way_back(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.add_attribute("card", PAN)
    cursor.execute("SELECT mysql_query_attribute_string('card')")
    assert cursor.fetchall() == [(MASKED,)]
