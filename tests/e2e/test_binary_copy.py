"""COPY in binary format through a gate: each column is read as the type that the server says it has at that moment."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import Iterator
from decimal import Decimal

import asyncpg
import psycopg
import pytest
from psycopg import errors
from tests.servers import EVERYTHING, Database, Gate, gates
from tests.wire import SYNC, Message, Wire, bind, execute, parse, query

# A card number of 19 digits whose eight bytes are those of a word.
NUMBER = 6212366859336837432
WORD = NUMBER.to_bytes(8).decode()
PAN = "4111111111111111"
PRICES = [n / 100 for n in range(100, 60_000, 37)]
CATALOGUE_AND_POLICY = """
[plugins.secrets.targets.shop.inspector]
user = "clerk"
password = "file:upstream.password"
database = "shop"
[plugins.policy.roles.reader]
allow = [
  { do = "all", on = "*", unbounded = true },
  { do = "set", on = "search_path" },
]
"""
TABLES = """
DROP SCHEMA IF EXISTS copying CASCADE;
CREATE SCHEMA copying;
GRANT ALL ON SCHEMA copying TO clerk;
SET search_path = copying;
CREATE DOMAIN card AS int8;
CREATE TYPE state AS ENUM ('shipping', 'returned');
CREATE TYPE pair AS (a int8, b text);
CREATE TABLE numbers (id int4, number int8);
CREATE TABLE words (id int4, word text);
CREATE VIEW seen AS SELECT * FROM words;
CREATE TABLE prices (id int4, price float8);
CREATE TABLE twice (number int8, doubled int8 GENERATED ALWAYS AS (number * 2) STORED);
CREATE TABLE all_kinds (
  a int8, b numeric, c text, d float8, e timestamptz, f uuid, g bytea, h json, i jsonb, j int8[], k text[], l card,
  m state, n pair, o date, p bool, q int4, r int8range
);
"""


def header(*tuples: bytes) -> bytes:
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"".join(tuples) + b"\xff\xff"


@pytest.fixture(scope="module")
def tables(postgres: Database) -> Iterator[Database]:
    with postgres.connect() as connection:
        connection.execute(TABLES)
        connection.execute("INSERT INTO copying.numbers VALUES (1, %s), (2, NULL)", (NUMBER,))
        connection.execute("INSERT INTO copying.words VALUES (1, %s), (2, 'shipment')", (WORD,))
        connection.cursor().executemany("INSERT INTO copying.prices VALUES (%s, %s)", list(enumerate(PRICES)))
        connection.execute("INSERT INTO copying.twice VALUES (%s)", (int(PAN),))
        connection.execute(
            "INSERT INTO copying.all_kinds VALUES (%(n)s, %(p)s, %(p)s, 4111111111111111, '2026-01-02 03:04:05Z',"
            " '12345678-1234-5678-1234-567812345678', %(p)s::text::bytea, json_build_object('a', %(p)s::text),"
            " jsonb_build_object('a', %(p)s), ARRAY[1, %(n)s], ARRAY[%(p)s::text], %(n)s, 'shipping', (%(n)s, %(p)s),"
            " '2026-01-02', true, 12345678, int8range(1, %(n)s))",
            {"n": NUMBER, "p": int(PAN)},
        )
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA copying TO clerk")
        try:
            yield postgres
        finally:
            connection.execute("DROP SCHEMA copying CASCADE")


@pytest.fixture(scope="module", params=["by names alone", "with a catalogue and a policy"])
def gated(request: pytest.FixtureRequest, tables: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gates(tmp_path_factory.mktemp("gates")) as make:
        if request.param == "by names alone":
            yield make(tables)
            return
        made = make(tables, plugins=EVERYTHING + CATALOGUE_AND_POLICY)
        made.log.wait_for("was read")
        yield made


@pytest.fixture
def connection(gated: Gate) -> Iterator[psycopg.Connection]:
    with psycopg.connect(gated.address, autocommit=True) as connection:
        yield connection


def copied(connection: psycopg.Connection, text: str) -> bytes:
    with connection.cursor().copy(text) as copy:
        return b"".join(copy)


def rows(connection: psycopg.Connection, text: str, *types: str) -> list[tuple]:
    with connection.cursor().copy(text) as copy:
        copy.set_types(types)
        return list(copy.rows())


@pytest.mark.parametrize(
    "source", ["copying.numbers", "copying.numbers (number)", "(SELECT number FROM copying.numbers)"]
)
def test_an_integer_that_reads_as_a_word_is_masked(connection: psycopg.Connection, source: str) -> None:
    data = copied(connection, f"COPY {source} TO STDOUT (FORMAT binary)")
    assert WORD.encode() not in data
    assert data.endswith(struct.pack("!i", -1) + b"\xff\xff")


def test_a_mask_of_an_integer_keeps_its_end(connection: psycopg.Connection) -> None:
    found = rows(connection, "COPY (SELECT * FROM copying.numbers) TO STDOUT BINARY", "int4", "int8")
    assert [(id_, number and number % 10_000) for id_, number in found] == [(1, NUMBER % 10_000), (2, None)]
    assert found[0][1] != NUMBER


def test_a_word_that_reads_as_a_card_number_stays(connection: psycopg.Connection) -> None:
    found = rows(connection, "COPY copying.words TO STDOUT (FORMAT binary)", "int4", "text")
    assert found == [(1, WORD), (2, "shipment")]


def test_prices_stay(connection: psycopg.Connection) -> None:
    text = "COPY (SELECT price FROM copying.prices ORDER BY id) TO STDOUT (FORMAT binary)"
    assert rows(connection, text, "float8") == [(price,) for price in PRICES]


def test_each_type_is_read_as_such(connection: psycopg.Connection, tables: Database) -> None:
    source = "(SELECT e, f, m, o, p, q FROM copying.all_kinds)"
    with tables.connect() as direct:
        expected = copied(direct, f"COPY {source} TO STDOUT (FORMAT binary)")
    assert copied(connection, f"COPY {source} TO STDOUT (FORMAT binary)") == expected
    types = ("int8", "numeric", "text", "float8", "bytea", "json", "jsonb", "int8[]", "text[]", "int8")
    ((a, b, c, d, g, h, i, j, k, of_domain),) = rows(
        connection, "COPY copying.all_kinds (a, b, c, d, g, h, i, j, k, l) TO STDOUT (FORMAT binary)", *types
    )
    assert (a % 10_000, j[1] % 10_000, of_domain % 10_000) == (NUMBER % 10_000,) * 3
    assert NUMBER not in (a, j[1], of_domain)
    assert (b, d, c[-4:], g[-4:], k[0][-4:]) == (Decimal(9000000000001111), 9000000000001111, "1111", b"1111", "1111")
    assert PAN not in f"{c}{g}{h}{i}{k}"
    rest = copied(connection, "COPY copying.all_kinds (n, r) TO STDOUT (FORMAT binary)")
    assert WORD.encode() not in rest
    assert PAN.encode() not in rest


@pytest.mark.parametrize("columns", ["", "(number)"])
def test_nothing_leaks_where_columns_are_generated(connection: psycopg.Connection, columns: str) -> None:
    """They are described, and not copied: without names, which are which is not known."""
    data = copied(connection, f"COPY copying.twice {columns} TO STDOUT (FORMAT binary)")
    assert len(data) == len(header(struct.pack("!hiq", 1, 8, 0)))
    assert struct.pack("!q", int(PAN)) not in data


def test_definitions_past_the_gate_are_seen_at_once(connection: psycopg.Connection, tables: Database) -> None:
    text = "COPY copying.changing TO STDOUT (FORMAT binary)"
    with tables.connect() as direct:
        direct.execute("CREATE TABLE copying.changing AS SELECT %s::text AS value", (WORD,))
        direct.execute("GRANT ALL ON copying.changing TO clerk")
        try:
            assert WORD.encode() in copied(connection, text)
            direct.execute(
                f"ALTER TABLE copying.changing ALTER value TYPE int8 USING {NUMBER}",
            )
            assert WORD.encode() not in copied(connection, text)
            direct.execute("ALTER TABLE copying.changing ADD other text")
            assert WORD.encode() not in copied(connection, text)
        finally:
            direct.execute("DROP TABLE copying.changing")


def test_definitions_in_the_same_transaction_are_seen(connection: psycopg.Connection) -> None:
    text = "COPY changing TO STDOUT (FORMAT binary)"
    with connection.transaction(force_rollback=True):
        connection.execute(f"CREATE TEMP TABLE changing AS SELECT '{WORD}'::text AS value")
        assert WORD.encode() in copied(connection, text)
        connection.execute(f"ALTER TABLE changing ALTER value TYPE int8 USING {NUMBER}")
        assert WORD.encode() not in copied(connection, text)
        connection.execute("ALTER TABLE changing RENAME TO other")
        connection.execute(f"CREATE TEMP TABLE changing AS SELECT '{WORD}'::text AS value")
        assert WORD.encode() in copied(connection, text)


def test_a_table_that_hides_another_is_the_one_that_counts(connection: psycopg.Connection) -> None:
    text = "COPY hidden TO STDOUT (FORMAT binary)"
    connection.execute("CREATE TABLE IF NOT EXISTS public.hidden (value text)")
    try:
        assert WORD.encode() not in copied(connection, text)
        connection.execute(f"CREATE TEMP TABLE hidden AS SELECT {NUMBER}::int8 AS value")
        assert WORD.encode() not in copied(connection, text)
        connection.execute("SET search_path = public, pg_temp")
        connection.execute(f"INSERT INTO public.hidden VALUES ('{WORD}')")
        assert WORD.encode() in copied(connection, text)
    finally:
        connection.execute("RESET search_path")
        connection.execute("DROP TABLE public.hidden")


@pytest.mark.parametrize(
    "text",
    [
        "COPY nowhere TO STDOUT (FORMAT binary)",
        "COPY /* é */ copying.nowhere TO STDOUT (FORMAT binary)",
        "COPY copying.numbers (nothing) TO STDOUT (FORMAT binary)",
        "COPY (SELECT nothing FROM copying.numbers) TO STDOUT (FORMAT binary)",
        "COPY (SELECT 1 / 0) TO STDOUT (FORMAT binary)",
        "COPY (SELECT $1) TO STDOUT (FORMAT binary)",
        "COPY (DELETE FROM copying.words WHERE false) TO STDOUT (FORMAT binary)",
        "COPY copying.seen TO STDOUT (FORMAT binary)",
    ],
)
def test_errors_are_those_of_the_copy(connection: psycopg.Connection, tables: Database, text: str) -> None:
    with tables.connect() as direct:
        with pytest.raises(psycopg.Error) as expected:
            copied(direct, text)
        for _ in range(2):
            with pytest.raises(type(expected.value)) as caught:
                copied(connection, text)
            assert caught.value.diag.message_primary == expected.value.diag.message_primary
        if "(SELECT" in text:
            assert caught.value.diag.statement_position == expected.value.diag.statement_position
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_error_aborts_the_transaction_as_it_does(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        for error in (errors.UndefinedTable, errors.InFailedSqlTransaction):
            with pytest.raises(error):
                copied(connection, "COPY nowhere TO STDOUT (FORMAT binary)")
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_nothing_stays_behind(connection: psycopg.Connection) -> None:
    copied(connection, "COPY copying.numbers TO STDOUT (FORMAT binary)")
    with pytest.raises(errors.InvalidSqlStatementName):
        connection.execute("DEALLOCATE gatepost")


def test_a_copy_that_is_prepared_is_asked_about_when_it_is_executed(gated: Gate, tables: Database) -> None:
    data = [copied_by(gated, "COPY copying.numbers TO STDOUT (FORMAT binary)", times=2)]
    assert all(each.count(b"PGCOPY") == 2 and WORD.encode() not in each for each in data)
    with Wire(gated.port).log_in("agent", gated.password) as wire:
        wire.query("BEGIN")
        wire.query(f"CREATE TEMP TABLE changing AS SELECT '{WORD}'::text AS value")
        wire.send(parse("COPY changing TO STDOUT (FORMAT binary)", "c"), bind("p", "c"), SYNC)
        wire.read_until("Z")
        wire.query(f"ALTER TABLE changing ALTER value TYPE int8 USING {NUMBER}")
        wire.send(execute("p"), SYNC)
        assert WORD.encode() not in sent(wire.read_until("Z"))


def copied_by(gated: Gate, text: str, times: int) -> bytes:
    with Wire(gated.port).log_in("agent", gated.password) as wire:
        wire.send(parse(text, "c"), *(bind("", "c") + execute() for _ in range(times)), SYNC, query("SELECT 1"))
        answer = wire.read_until("Z")
        assert [each.kind for each in answer if each.kind not in "dHc"] == list("1" + "2C" * times + "Z")
        assert [each.kind for each in wire.read_until("Z")] == list("TDCZ")
        return sent(answer)


def sent(answer: list[Message]) -> bytes:
    return b"".join(each.body for each in answer if each.kind == "d")


def test_asyncpg(gated: Gate) -> None:
    async def main() -> tuple[bytes, bytes, bytes, list[asyncpg.Record]]:
        connection = await asyncpg.connect(gated.url, ssl=False)
        numbers, words, prices = io.BytesIO(), io.BytesIO(), io.BytesIO()
        try:
            await connection.copy_from_table(
                "numbers", schema_name="copying", columns=["number"], output=numbers, format="binary"
            )
            await connection.copy_from_table("words", schema_name="copying", output=words, format="binary")
            await connection.copy_from_query(
                "SELECT price FROM copying.prices WHERE id >= $1 ORDER BY id", 0, output=prices, format="binary"
            )
            return numbers.getvalue(), words.getvalue(), prices.getvalue(), await connection.fetch("SELECT 1 AS one")
        finally:
            await connection.close()

    numbers, words, prices, alive = asyncio.run(main())
    assert WORD.encode() not in numbers
    assert words.count(WORD.encode()) == 1
    assert prices == header(*(struct.pack("!hid", 1, 8, price) for price in PRICES))
    assert alive[0]["one"] == 1


def test_without_rows_header_and_trailer_come_in_one(connection: psycopg.Connection) -> None:
    text = "COPY (SELECT number FROM copying.numbers WHERE false) TO STDOUT (FORMAT binary)"
    assert copied(connection, text) == header()
