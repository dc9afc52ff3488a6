"""A read-only session against a real server: it cannot write, and cannot become one that can."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from tests.servers import Database, Gate, gates

READ_ONLY = """
from gatepost import Restriction, hookimpl

@hookimpl
def on_connect(session):
    return Restriction(read_only=True)
"""


@pytest.fixture(scope="module", params=["[plugins.mask]\n[plugins.audit]\n", ""], ids=["full", "bare"])
def restricted(
    request: pytest.FixtureRequest, postgres: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    with gates(tmp_path_factory.mktemp("restricted")) as make:
        yield make(postgres, plugins=request.param, scripts=[READ_ONLY])


WRITES = ["DELETE FROM orders", "CREATE TABLE t (a int)", "SELECT nextval('s')", "SELECT * FROM orders FOR UPDATE"]

LEAVES = [
    "SET default_transaction_read_only = off",
    "SET transaction_read_only = off",
    "BEGIN READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "SELECT set_config(name, 'off', false) FROM pg_settings WHERE name LIKE 'default_transaction_read%'",
    "DO $$ BEGIN SET LOCAL transaction_read_only = off; DELETE FROM orders; END $$",
]


@pytest.mark.parametrize("text", WRITES)
def test_the_database_refuses_to_write(restricted: Gate, postgres: Database, text: str) -> None:
    with postgres.connect() as superuser, psycopg.connect(restricted.address, autocommit=True) as connection:
        superuser.execute("CREATE SEQUENCE s OWNED BY NONE; GRANT ALL ON s TO clerk")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute(text)
        superuser.execute("DROP SEQUENCE s")
        assert connection.execute("SELECT count(*) FROM orders").fetchone() != (0,)


@pytest.mark.parametrize("text", LEAVES)
def test_nothing_makes_it_writable(restricted: Gate, text: str) -> None:
    with psycopg.connect(restricted.address, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as denied:
            connection.execute(text)
        assert denied.value.diag.message_detail == "rule gatepost: read-only session"
        for each in ("RESET ALL", "DISCARD ALL", "SET SESSION AUTHORIZATION DEFAULT", "BEGIN"):
            connection.execute(each)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM orders")


def test_in_a_transaction_it_cannot_be_left_either(restricted: Gate) -> None:
    with psycopg.connect(restricted.address) as connection:
        connection.execute("SELECT 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SET TRANSACTION READ WRITE")


def test_startup_options_do_not_help(restricted: Gate) -> None:
    with pytest.raises(psycopg.OperationalError, match="is not allowed"):
        psycopg.connect(restricted.address, options="-c default_transaction_read_only=off")
