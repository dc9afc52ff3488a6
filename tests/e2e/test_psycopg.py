"""psycopg through the gate: libpq's protocol, and what psycopg adds."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from threading import Barrier, Thread

import psycopg
import pytest
from psycopg import errors
from tests.servers import Gate


@pytest.fixture
def connection(each_gate: Gate):
    with psycopg.connect(each_gate.address, autocommit=True) as connection:
        yield connection


def test_types_in_both_formats(connection: psycopg.Connection) -> None:
    text = (
        "SELECT 7::int2, 8::int8, 1.50::numeric, 2.5::float8, true, 'é', '\\x00ff'::bytea, ARRAY[1, 2], "
        "'{\"a\": 1}'::jsonb, NULL"
    )
    rows = [connection.execute(text, binary=binary).fetchone() for binary in (False, True)]
    assert rows[0] == rows[1] == (7, 8, Decimal("1.50"), 2.5, True, "é", b"\x00\xff", [1, 2], {"a": 1}, None)


def test_parameters_in_both_formats(connection: psycopg.Connection) -> None:
    for form in ("%s", "%b", "%t"):
        row = connection.execute(f"SELECT {form}::int8 + 1, {form}::text", (41, "answer")).fetchone()
        assert row == (42, "answer")


def test_statements_that_psycopg_prepares_by_itself(connection: psycopg.Connection) -> None:
    connection.prepare_threshold = 2
    assert [connection.execute("SELECT %s::int * 2", (n,)).fetchone() for n in range(20)] == [
        (2 * n,) for n in range(20)
    ]


def test_transactions_commit_and_roll_back(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TEMP TABLE t (a int)")
    with connection.transaction():
        connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(errors.DivisionByZero), connection.transaction():
            connection.execute("INSERT INTO t VALUES (2)")
            connection.execute("SELECT 1/0")
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_an_error_leaves_the_session_usable(connection: psycopg.Connection) -> None:
    with pytest.raises(errors.UndefinedTable) as caught:
        connection.execute("SELECT * FROM nowhere")
    assert caught.value.diag.sqlstate == "42P01"
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_pipeline_mode_keeps_the_order(connection: psycopg.Connection) -> None:
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int, repeat('x', %s)", (n, n * 10)) for n in range(200)]
    assert [cursor.fetchone() for cursor in cursors] == [(n, "x" * n * 10) for n in range(200)]


def test_an_error_in_a_pipeline_skips_to_the_next_sync(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TEMP TABLE p (a int)")
    with pytest.raises(errors.DivisionByZero), connection.pipeline() as pipeline:
        connection.execute("INSERT INTO p VALUES (1)")
        pipeline.sync()
        connection.execute("SELECT 1/0")
        skipped = connection.execute("INSERT INTO p VALUES (2)")
        pipeline.sync()
        with pytest.raises(errors.PipelineAborted):
            skipped.fetchall()
    assert connection.execute("SELECT a FROM p").fetchall() == [(1,)]


def test_server_cursors_fetch_in_portions(each_gate: Gate) -> None:
    with psycopg.connect(each_gate.address) as connection, connection.cursor("walk") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT n FROM generate_series(1, 1050) n")
        assert [n for (n,) in cursor] == list(range(1, 1051))


def test_rows_that_stream_one_by_one(connection: psycopg.Connection) -> None:
    with connection.cursor() as cursor:
        assert sum(n for (n,) in cursor.stream("SELECT n FROM generate_series(1, 5000) n")) == 12502500


@pytest.mark.parametrize("form", ["TEXT", "CSV", "BINARY"])
def test_copy_both_ways(connection: psycopg.Connection, form: str) -> None:
    rows = [(n, f'name {n}\t\\ "quoted", é') for n in range(3000)]
    connection.execute("CREATE TEMP TABLE c (id int4, name text)")
    with connection.cursor() as cursor:
        with cursor.copy("COPY c FROM STDIN (FORMAT BINARY)" if form == "BINARY" else "COPY c FROM STDIN") as copy:
            copy.set_types(["int4", "text"])
            for row in rows:
                copy.write_row(row)
        with cursor.copy(f"COPY (SELECT * FROM c ORDER BY id) TO STDOUT (FORMAT {form})") as copy:
            if form == "CSV":
                assert b"".join(copy).count(b"\n") == 3000
            else:
                copy.set_types(["int4", "text"])
                assert [tuple(map(str, row)) for row in copy.rows()] == [(str(n), name) for n, name in rows]


def test_a_copy_that_the_client_gives_up(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TEMP TABLE g (a int)")
    with pytest.raises(KeyError), connection.cursor().copy("COPY g FROM STDIN") as copy:
        copy.write(b"1\n")
        raise KeyError
    assert connection.execute("SELECT count(*) FROM g").fetchone() == (0,)


def test_a_copy_that_the_server_refuses(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TEMP TABLE r (a int)")
    with pytest.raises(errors.InvalidTextRepresentation), connection.cursor().copy("COPY r FROM STDIN") as copy:
        for _ in range(1000):
            copy.write(b"not a number\n")
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_notifications_and_notices(connection: psycopg.Connection) -> None:
    said: list[str] = []
    connection.add_notice_handler(lambda notice: said.append(notice.message_primary))
    connection.execute("LISTEN news")
    connection.execute("NOTIFY news, 'fresh'")
    connection.execute("DO $$ BEGIN RAISE NOTICE 'look'; END $$")
    assert [(notify.channel, notify.payload) for notify in connection.notifies(timeout=20, stop_after=1)] == [
        ("news", "fresh")
    ]
    assert said == ["look"]


def test_a_value_of_many_megabytes_each_way(connection: psycopg.Connection) -> None:
    value = "wide " * 2_000_000
    assert connection.execute("SELECT length(%s::text)", (value,)).fetchone() == (len(value),)
    assert connection.execute("SELECT repeat('wide ', 2000000)").fetchone() == (value,)


def test_many_columns_and_no_columns(connection: psycopg.Connection) -> None:
    names = ", ".join(f"{n} AS c{n}" for n in range(1600))
    assert connection.execute(f"SELECT {names}").fetchone() == tuple(range(1600))
    assert connection.execute("SELECT FROM generate_series(1, 3)").rowcount == 3
    assert connection.execute("").description is None


def test_what_the_server_says_of_itself_arrives(connection: psycopg.Connection) -> None:
    assert connection.info.server_version >= 150000
    assert connection.info.encoding == "utf-8"
    connection.execute("SET TIME ZONE 'UTC'")
    assert connection.info.parameter_status("TimeZone") == "UTC"


def test_threads_of_one_process_do_not_disturb_each_other(each_gate: Gate) -> None:
    barrier, results = Barrier(12), []

    def work(number: int) -> None:
        with psycopg.connect(each_gate.address) as connection:
            barrier.wait(30)
            for _ in range(20):
                results.append(connection.execute("SELECT %s::int, pg_backend_pid()", (number,)).fetchone())

    threads = [Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for number, _ in results) == sorted(list(range(12)) * 20)
    assert len({pid for _, pid in results}) == 12


def test_async_connections(each_gate: Gate) -> None:
    async def work(number: int) -> int:
        async with await psycopg.AsyncConnection.connect(each_gate.address) as connection:
            total = 0
            async with connection.pipeline():
                for n in range(30):
                    cursor = await connection.execute("SELECT %s::int", (n * number,))
                    total += (await cursor.fetchone())[0]
            return total

    async def main() -> list[int]:
        return await asyncio.gather(*(work(number) for number in range(10)))

    assert asyncio.run(main()) == [number * 435 for number in range(10)]
