"""asyncpg through the gate: binary by default, prepared always, its own implementation of the protocol."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import asyncpg
import pytest
from tests.servers import Gate

T = TypeVar("T")


@pytest.fixture
def run(each_gate: Gate) -> Callable[[Callable[[asyncpg.Connection], Awaitable[T]]], T]:
    """Runs a coroutine function with a connection."""

    def run(work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        async def main() -> T:
            connection = await asyncpg.connect(each_gate.url, timeout=30, ssl=False)
            try:
                return await work(connection)
            finally:
                await connection.close(timeout=10)

        return asyncio.run(main())

    return run


def test_types_in_binary(run) -> None:
    async def work(connection: asyncpg.Connection) -> Any:
        return await connection.fetchrow(
            "SELECT 8::int8, 1.50::numeric, 'é', ARRAY['a', NULL], ROW(1, 'x'), '{\"a\": 1}'::jsonb, "
            "$1::numeric(20, 2), $2::int8[]",
            Decimal("-12345.67"),
            [1, 2],
        )

    assert tuple(run(work)) == (
        8,
        Decimal("1.50"),
        "é",
        ["a", None],
        (1, "x"),
        '{"a": 1}',
        Decimal("-12345.67"),
        [1, 2],
    )


def test_prepared_statements_run_again_and_again(run) -> None:
    async def work(connection: asyncpg.Connection) -> list[int]:
        statement = await connection.prepare("SELECT $1::int * 2")
        assert [attribute.type.name for attribute in statement.get_attributes()] == ["int4"]
        return [await statement.fetchval(n) for n in range(50)]

    assert run(work) == [2 * n for n in range(50)]


def test_cursors_fetch_in_portions(run) -> None:
    async def work(connection: asyncpg.Connection) -> list[int]:
        async with connection.transaction():
            return [row[0] async for row in connection.cursor("SELECT n FROM generate_series(1, 505) n", prefetch=50)]

    assert run(work) == list(range(1, 506))


def test_executemany_and_transactions(run) -> None:
    async def work(connection: asyncpg.Connection) -> tuple[int, int]:
        await connection.execute("CREATE TEMP TABLE t (a int, b text)")
        await connection.executemany("INSERT INTO t VALUES ($1, $2)", [(n, str(n)) for n in range(500)])
        before = await connection.fetchval("SELECT count(*) FROM t")
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("DELETE FROM t")
                await connection.fetchval("SELECT 1/0")
        return before, await connection.fetchval("SELECT count(*) FROM t")

    assert run(work) == (500, 500)


def test_copy_both_ways(run) -> None:
    async def work(connection: asyncpg.Connection) -> tuple[str, bytes]:
        await connection.execute("CREATE TEMP TABLE c (id int, name text)")
        copied = await connection.copy_records_to_table("c", records=[(n, f"name {n}") for n in range(2000)])
        target = io.BytesIO()

        async def take(data: bytes) -> None:
            target.write(data)

        await connection.copy_from_query("SELECT * FROM c ORDER BY id", output=take, format="csv")
        return copied, target.getvalue()

    copied, data = run(work)
    assert copied == "COPY 2000"
    assert data.decode() == "".join(f"{n},name {n}\n" for n in range(2000))


def test_notifications_between_sessions(each_gate: Gate) -> None:
    async def main() -> tuple[str, str]:
        listener = await asyncpg.connect(each_gate.url, ssl=False)
        speaker = await asyncpg.connect(each_gate.url, ssl=False)
        heard: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        await listener.add_listener("news", lambda _, __, channel, payload: heard.set_result((channel, payload)))
        await speaker.execute("SELECT pg_notify('news', 'fresh')")
        try:
            return await asyncio.wait_for(heard, 20)
        finally:
            await listener.close()
            await speaker.close()

    assert asyncio.run(main()) == ("news", "fresh")


def test_an_error_in_a_prepared_statement_leaves_the_session_usable(run) -> None:
    async def work(connection: asyncpg.Connection) -> int:
        with pytest.raises(asyncpg.UniqueViolationError) as caught:
            await connection.execute("INSERT INTO customers SELECT * FROM customers WHERE id = $1", 1)
        assert caught.value.constraint_name == "customers_pkey"
        return await connection.fetchval("SELECT 1")

    assert run(work) == 1


def test_a_statement_that_takes_too_long_is_cancelled_by_the_client(run) -> None:
    async def work(connection: asyncpg.Connection) -> int:
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT pg_sleep(60)", timeout=0.5)
        return await connection.fetchval("SELECT 1")

    assert run(work) == 1


def test_a_pool_of_connections(each_gate: Gate) -> None:
    async def main() -> list[int]:
        async with asyncpg.create_pool(each_gate.url, min_size=4, max_size=4, ssl=False) as pool:
            return await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(100)))

    assert asyncio.run(main()) == list(range(100))
