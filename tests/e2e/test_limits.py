"""Limits on rows through the gate: what the client gets, and what the database does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from tests.servers import Database, Gate, gates

SCRIPT = """
from gatepost import Limit, hookimpl

LIMIT = Limit(rows=5, rule="five", hint="Ask for 5 deals at most.")

@hookimpl
def on_statement(statement):
    if any("deals" in use.name and use.verb in ("select", "copy_to", "insert") for use in statement.facts.objects):
        return LIMIT
"""
FEW, MANY = "SELECT id FROM deals ORDER BY id LIMIT 5", "SELECT id FROM deals ORDER BY id"


@pytest.fixture(scope="module")
def limited(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gates(tmp_path_factory.mktemp("limited")) as make:
        yield make(postgres, scripts=[SCRIPT])


@pytest.fixture(autouse=True)
def _deals(postgres: Database) -> Iterator[None]:
    with postgres.connect() as connection:
        connection.execute("CREATE TABLE deals (id int); ALTER TABLE deals OWNER TO clerk")
        connection.execute("INSERT INTO deals SELECT generate_series(1, 300)")
        yield
        connection.execute("DROP TABLE deals")


def count(postgres: Database) -> int:
    with postgres.connect() as connection:
        (found,) = connection.execute("SELECT count(*) FROM deals").fetchone() or (None,)
        assert isinstance(found, int)
        return found


def run_simple(connection: psycopg.Connection) -> None:
    connection.execute(MANY)


def run_extended(connection: psycopg.Connection) -> None:
    connection.execute(MANY + " OFFSET %s", [1])


def run_in_binary(connection: psycopg.Connection) -> None:
    connection.execute(MANY + " OFFSET %s", [1], binary=True, prepare=True)


def run_in_a_pipeline(connection: psycopg.Connection) -> None:
    with connection.pipeline():
        connection.execute(FEW)
        connection.execute(MANY)
        connection.execute("SELECT 1")


def run_a_copy(connection: psycopg.Connection) -> None:
    with connection.cursor().copy("COPY deals TO STDOUT") as copy:
        for _ in copy:
            pass


def run_a_cursor(connection: psycopg.Connection) -> None:
    with connection.transaction(), connection.cursor("c") as cursor:
        cursor.itersize = 4
        cursor.execute(MANY)
        list(cursor)


WAYS = [run_simple, run_extended, run_in_binary, run_in_a_pipeline, run_a_copy, run_a_cursor]


@pytest.mark.parametrize("way", WAYS)
def test_the_statement_ends_in_a_denial_and_the_connection_lives_on(
    limited: Gate, way: Callable[[psycopg.Connection], None]
) -> None:
    with psycopg.connect(limited.address, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as denied:
            way(connection)
        assert denied.value.diag.message_primary == "the statement has more than 5 rows; no more of them are shown"
        assert denied.value.diag.message_detail == "rule script0: five"
        assert denied.value.diag.message_hint == "Ask for 5 deals at most."
        assert len(connection.execute(FEW).fetchall()) == 5
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


@pytest.mark.parametrize("way", [run_simple, run_extended, run_in_a_pipeline, run_a_copy])
def test_a_transaction_block_is_aborted(
    limited: Gate, postgres: Database, way: Callable[[psycopg.Connection], None]
) -> None:
    with psycopg.connect(limited.address) as connection:
        connection.execute("DELETE FROM deals WHERE id = 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            way(connection)
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.commit()
    assert count(postgres) == 300


def test_a_savepoint_saves_what_was_before(limited: Gate, postgres: Database) -> None:
    with psycopg.connect(limited.address) as connection:
        connection.execute("DELETE FROM deals WHERE id = 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(MANY)
        connection.commit()
    assert count(postgres) == 299


def test_a_pipeline_is_undone_as_after_any_error(limited: Gate, postgres: Database) -> None:
    with (
        psycopg.connect(limited.address, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        connection.pipeline(),
    ):
        connection.execute("DELETE FROM deals WHERE id = 1")
        connection.execute(MANY)
        connection.execute("DELETE FROM deals WHERE id = 2")
    assert count(postgres) == 300


def test_what_a_statement_changes_is_undone_if_it_shows_too_many_rows(limited: Gate, postgres: Database) -> None:
    text = "INSERT INTO deals SELECT id + %s FROM deals RETURNING id"
    with (
        psycopg.connect(limited.address, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(text, [1000])
    assert count(postgres) == 300


def test_asyncpg(limited: Gate) -> None:
    async def run() -> tuple[list[Any], int]:
        connection = await asyncpg.connect(limited.url)
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="more than 5 rows"):
                await connection.fetch(MANY)
            async with connection.transaction():
                cursor = await connection.cursor(MANY)
                rows = await cursor.fetch(3)
                rows += await cursor.fetch(2)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    async for _ in connection.cursor(MANY, prefetch=2):
                        pass
            return rows, await connection.fetchval("SELECT 7")
        finally:
            await connection.close()

    rows, value = asyncio.run(run())
    assert ([row["id"] for row in rows], value) == ([1, 2, 3, 4, 5], 7)


def test_it_is_on_record(limited: Gate) -> None:
    with psycopg.connect(limited.address, autocommit=True) as connection:
        for text in (MANY + " -- on record", FEW):
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute(text)
    (found,) = limited.audit("search", "--text", "on record")
    assert (found["verdict"], found["rows"], found["error"]) == ("allow", 5, "42501")
    assert found["message"] == "the statement has more than 5 rows; no more of them are shown"
