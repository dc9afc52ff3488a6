"""No clear card number reaches a client or rests in a file, decoded by code that shares nothing with the masker."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence

import psycopg
import pytest
from tests.cards import found_in, of_every_brand
from tests.servers import Database, Gate, MakeGate
from tests.wire import SYNC, Message, Wire, bind, describe, execute, message, parse, query, startup, texts

PANS = of_every_brand()
SHORT = [pan for pan in PANS if int(pan) < 1 << 63]

VALUES = {
    "text": "'{pan}'::text",
    "varchar": "'{pan}'::varchar(30)",
    "char": "'{pan}'::char(24)",
    "text around it": "'card {pan} of a customer'",
    "text glued to it": "'pan{pan}x'",
    "padded": "lpad('{pan}', 24, '0')",
    "spaces": "'{spaced}'",
    "dashes": "'{dashed}'",
    "dots": "'{dotted}'",
    "int8": "{pan}::int8",
    "numeric": "{pan}::numeric",
    "numeric with cents": "{pan}::numeric(24, 2)",
    "text array": "ARRAY['first', '{pan}', NULL]",
    "int8 array": "ARRAY[1, {pan}]::int8[]",
    "numeric array": "ARRAY[1.5, {pan}]::numeric[]",
    "two-dimensional array": "ARRAY[ARRAY['a', '{pan}'], ARRAY['b', 'c']]",
    "json": "json_build_object('card', '{pan}')",
    "json number": "json_build_object('card', {pan})",
    "json deep": "json_build_object('a', json_build_array(1, json_build_object('b', '{pan}')))",
    "json key": "json_build_object('{pan}', 1)",
    "jsonb": "jsonb_build_object('card', '{pan}')",
    "jsonb number": "jsonb_build_object('card', {pan})",
    "row": "ROW(1, '{pan}')",
    "row of int8": "ROW({pan}::int8)",
}
INTEGERS = ("int8", "int8 array", "row of int8")


def filled(expression: str, pan: str) -> str:
    groups = [pan[place : place + 4] for place in range(0, len(pan), 4)]
    return expression.format(pan=pan, spaced=" ".join(groups), dashed="-".join(groups), dotted=".".join(groups))


def digits(value: object) -> str:
    """All digits of what a client was shown, whatever stands between them."""
    return re.sub(r"\D", "", value.decode("latin-1") if isinstance(value, bytes) else str(value))


@pytest.fixture(scope="module")
def wire(full_gate: Gate) -> Iterator[Wire]:
    with Wire(full_gate.port).log_in("agent", full_gate.password) as wire:
        yield wire


def run(wire: Wire, text: str, *, binary: int = 0, parameters: Sequence[bytes | None] = ()) -> list[Message]:
    wire.send(parse(text), bind(parameters=parameters, binary=binary), describe("P"), execute(), SYNC)
    return wire.read_until("Z")


def leaked(answer: Sequence[Message], pan: str) -> bool:
    """Whether a number can be read from an answer: in its bytes, in its cells as text, in the clear or in binary."""
    raw = b"".join(each.body for each in answer)
    if pan.encode() in raw or (int(pan) < 1 << 63 and struct.pack(">q", int(pan)) in raw):
        return True
    columns = next((each.columns for each in answer if each.kind == "T"), [])
    for each in answer:
        if each.kind == "D":
            for cell, (_, oid, form) in zip(each.cells, columns, strict=True):
                shown = b"" if cell is None else cell
                values = texts(cell, oid, form) if oid != 2249 else [shown.decode("latin-1")]
                if any(pan in digits(value) for value in values if value is not None):
                    return True
    return False


@pytest.mark.parametrize("binary", [0, 1], ids=["in text", "in binary"])
@pytest.mark.parametrize("kind", VALUES)
def test_a_number_in_a_value_is_masked(wire: Wire, kind: str, binary: int) -> None:
    leaks = []
    for pan in SHORT if kind in INTEGERS else PANS:
        answer = run(wire, "SELECT " + filled(VALUES[kind], pan), binary=binary)
        assert [each.kind for each in answer] == list("12TDCZ"), [each.fields for each in answer if each.kind == "E"]
        if leaked(answer, pan):
            leaks.append(pan)
    assert leaks == []


@pytest.mark.parametrize("kind", VALUES)
def test_a_number_in_a_simple_query_s_value_is_masked(wire: Wire, kind: str) -> None:
    pans = SHORT if kind in INTEGERS else PANS
    assert [pan for pan in pans if leaked(wire.query("SELECT " + filled(VALUES[kind], pan)), pan)] == []


@pytest.mark.parametrize("binary", [0, 1], ids=["in text", "in binary"])
def test_masks_keep_the_last_four_and_the_type(full_gate: Gate, postgres: Database, binary: int) -> None:
    with psycopg.connect(full_gate.address) as connection:
        for pan in (pan for pan in SHORT if len(pan) == 16):
            row = connection.execute(
                f"SELECT '{pan}', {pan}::int8, {pan}::numeric, ARRAY['{pan}'], ARRAY[{pan}]::int8[]",
                binary=bool(binary),
            ).fetchone()
            text, integer, number, array, integers = row
            assert text.endswith(pan[-4:])
            assert len(text) == 16
            assert isinstance(integer, int)
            assert array == [text]
            assert integers == [integer]
            assert integer % 10000 == number % 10000 == int(pan[-4:])
            assert not any(pan[6:12] in str(shown) for shown in (text, integer, number))


def test_the_shop_s_cards_are_masked_and_nothing_else_is(full_gate: Gate, postgres: Database) -> None:
    text = (
        "SELECT k.id, name, email, brand, expires, amount, placed_at, pan "
        "FROM cards k JOIN customers u ON u.id = customer JOIN orders o ON o.card = k.id ORDER BY o.id"
    )
    with postgres.connect() as direct, psycopg.connect(full_gate.address) as masked:
        for (*clear, pan), (*shown, mask) in zip(direct.execute(text), masked.execute(text), strict=True):
            assert shown == clear
            assert mask != pan
            assert mask[-4:] == pan[-4:]
            assert len(mask) == len(pan)


def test_numbers_of_other_kinds_stay_as_they_are(full_gate: Gate) -> None:
    harmless = [
        "0123456789012345",
        "2026-11-23 21:30:28.123456+00",
        "1763933428123",
        "+49 30 1234567890",
        "550e8400-e29b-41d4-a716-446655440000",
        "192.168.100.100",
        "1234567812345678",
    ]
    with psycopg.connect(full_gate.address) as connection:
        for text in harmless:
            assert connection.execute("SELECT %s::text", (text,)).fetchone() == (text,)


def test_a_million_rows_have_no_clear_number(full_gate: Gate, postgres: Database) -> None:
    with postgres.connect() as connection:
        connection.execute(f"""
            DROP TABLE IF EXISTS many;
            CREATE TABLE many AS SELECT n, k.pan, 'note ' || n AS note FROM generate_series(1, 2000) n, cards k;
            GRANT SELECT ON many TO {postgres.user}
        """)
    clear = re.compile("|".join(postgres.pans).encode())
    with Wire(full_gate.port).log_in("agent", full_gate.password) as wire:
        wire.send(query("SELECT * FROM many"))
        rows = [each for each in wire.read_until("Z") if each.kind == "D"]
    assert len(rows) == 200000
    assert not any(clear.search(each.body) for each in rows)


def test_a_portal_that_is_read_in_portions_is_masked(wire: Wire, postgres: Database) -> None:
    wire.send(parse("SELECT pan FROM cards ORDER BY id"), bind(), execute(limit=1), execute(limit=2), execute(), SYNC)
    cells = [each.cells[0].decode() for each in wire.read_until("Z") if each.kind == "D"]
    assert [cell[-4:] for cell in cells] == [pan[-4:] for pan in postgres.pans]
    assert not set(cells) & set(postgres.pans)


def test_a_prepared_statement_is_masked_each_time(wire: Wire, postgres: Database) -> None:
    wire.send(parse("SELECT pan, pan::int8 FROM cards WHERE id = $1::int", "again"), SYNC)
    wire.read_until("Z")
    for number in range(1, 8):
        for binary in (0, 1):
            wire.send(
                bind(name="again", parameters=[str(number).encode()], binary=binary), describe("P"), execute(), SYNC
            )
            assert not leaked(wire.read_until("Z"), postgres.pans[number - 1])


@pytest.mark.parametrize("form", ["TEXT", "CSV", "CSV, FORCE_QUOTE *", "TEXT, DELIMITER '|'"])
def test_copy_out_is_masked(wire: Wire, postgres: Database, form: str) -> None:
    answer = wire.query(f"COPY (SELECT id, pan, 'a note' FROM cards ORDER BY id) TO STDOUT (FORMAT {form})")
    lines = b"".join(each.body for each in answer if each.kind == "d").decode().splitlines()
    assert len(lines) == len(postgres.pans)
    for line, pan in zip(lines, postgres.pans, strict=True):
        assert pan not in digits(line)
        assert pan[-4:] in line


@pytest.mark.parametrize("option", ["QUOTE '4'", "QUOTE 'x', ESCAPE '1'", "DELIMITER '5'"])
def test_copy_out_with_digits_amid_the_values_is_denied(wire: Wire, postgres: Database, option: str) -> None:
    answer = wire.query(f"COPY (SELECT id, pan FROM cards) TO STDOUT (FORMAT csv, FORCE_QUOTE *, {option})")
    assert [each.kind for each in answer] == ["E", "Z"]
    assert b"mask.copy" in answer[0].body


def test_copy_out_in_binary_shows_no_number(wire: Wire, postgres: Database) -> None:
    """Masked or refused; never in the clear."""
    answer = wire.query("COPY (SELECT id, pan, pan::int8, pan::numeric FROM cards) TO STDOUT (FORMAT BINARY)")
    data = b"".join(each.body for each in answer)
    assert [pan for pan in postgres.pans if pan.encode() in data or struct.pack(">q", int(pan)) in data] == []


TEXTS = {
    "a duplicate key": "INSERT INTO cards SELECT 1000, customer, brand, pan, expires FROM cards WHERE pan = '{pan}'",
    "a value of a wrong type": "SELECT '{pan}x'::int4",
    "a number out of range": "SELECT {pan}::int4",
    "an identifier": 'SELECT "{pan}"',
    "a syntax error": "SELECT FROM WHERE '{pan}'",
    "an error of its own": "DO $$ BEGIN RAISE EXCEPTION 'card {pan}' USING DETAIL = '{pan}', HINT = '{pan}'; END $$",
    "a notice": "DO $$ BEGIN RAISE NOTICE 'card {pan}'; END $$",
    "a context": "DO $$ BEGIN PERFORM 1/0 /* {pan} */; END $$",
    "a missing table": 'SELECT * FROM "cards {pan}"',
    "a column's name": 'SELECT 1 AS "{pan}"',
    "a notification": "LISTEN news; NOTIFY news, '{pan}'",
    "a channel": 'LISTEN "{pan}"; NOTIFY "{pan}"',
    "a setting": "SELECT set_config('application_name', '{pan}', false)",
    "a setting by SET": "SET application_name = '{pan}'",
    "a COPY that fails": "COPY cards FROM STDIN",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_number_in_another_text_of_the_server_is_masked(full_gate: Gate, postgres: Database, kind: str) -> None:
    pan = postgres.pans[0]
    with Wire(full_gate.port).log_in("agent", full_gate.password) as wire:
        wire.send(query(TEXTS[kind].format(pan=pan)))
        answer = wire.read_until("ZG")
        if answer[-1].kind == "G":
            wire.send(message("d", f"one\t{pan}\n".encode()), message("c"))
            answer += wire.read_until("Z")
        wire.send(query("SELECT 1"))
        answer += wire.read_until("Z")
    said = b"".join(each.body for each in answer)
    assert pan.encode() not in said
    assert pan not in digits(b" ".join(each.body for each in answer if each.kind in "ENASTC"))


def test_a_login_that_carries_a_number_leaves_none(full_gate: Gate) -> None:
    pan = PANS[0]
    with Wire(full_gate.port) as wire:
        wire.send(startup(pan, pan))
        answer = wire.read()
        assert pan.encode() not in answer.body
    assert pan not in str(full_gate.log)


def test_nothing_at_rest_holds_a_number(gate: MakeGate, postgres: Database) -> None:
    """Literals, binds in text and binary, results, errors, COPY both ways, names: then every file is searched."""
    recording = gate(postgres)
    pans = of_every_brand()
    with Wire(recording.port).log_in("agent", recording.password, application_name=pans[0]) as wire:
        wire.query("SELECT * FROM cards")
        wire.query("COPY cards TO STDOUT")
        wire.query("CREATE TEMP TABLE kept (a text, b int8, c numeric)")
        for pan in pans:
            wire.query(f"SELECT '{pan}', {pan} AS number, '{pan}'::text AS \"{pan}\" /* {pan} */ -- {pan}")
            wire.query(f"SELECT '{pan}x'::int4")
            run(wire, "SELECT $1::text", parameters=[pan.encode()])
            if int(pan) < 1 << 63:
                wire.send(parse("INSERT INTO kept (b) VALUES ($1)", types=[20]))
                wire.send(bind(parameters=[struct.pack(">q", int(pan))], formats=[1]), execute(), SYNC)
                wire.read_until("Z")
        wire.send(query("COPY kept (a) FROM STDIN"), *(message("d", f"{pan}\n".encode()) for pan in pans), message("c"))
        wire.read_until("Z")
        wire.query(f"PREPARE \"{pans[1]}\" AS SELECT '{pans[1]}'")
        wire.query(f"this is no SQL {pans[2]}")
    with Wire(recording.port) as stranger:
        stranger.send(startup(pans[3], "shop"))
        stranger.read()
    assert recording.stop() == 0
    assert sum(file.stat().st_size for file in recording.state.rglob("*") if file.is_file()) > 100_000
    assert found_in(recording.state, [*pans, *postgres.pans]) == []
    assert [pan for pan in pans if pan in f"{recording.log}{recording.output}"] == []
