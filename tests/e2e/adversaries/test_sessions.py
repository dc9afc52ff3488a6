"""Sessions that try to mean something else by what they say: another role, path, encoding, or another's bytes."""

from __future__ import annotations

import struct

import pytest
from tests.e2e.adversaries.house import House, assert_denied, assert_serving, in_every_way, kinds
from tests.wire import SSL_REQUEST, SYNC, Wire, WireError, bind, describe, execute, message, parse, query, startup

SET_OTHERWISE = [
    "SET ROLE admin; SET SESSION AUTHORIZATION admin; RESET ROLE",
    "SET ROLE admin",
    "SET SESSION AUTHORIZATION admin",
    "SET LOCAL ROLE admin",
    "SELECT set_config('role','admin',false)",
    "SELECT pg_catalog.set_config('role', 'admin', false) FROM a",
    "UPDATE pg_settings SET setting = 'admin' WHERE name = 'role'",
    "ALTER ROLE CURRENT_USER SET role = admin",
    "SET search_path=evil,public; SELECT pan FROM cards",
    "SET search_path = evil, public",
    "CREATE TEMP TABLE cards(id int, pan text)",
    "SET standard_conforming_strings=off",
    "SET client_encoding='SJIS'",
    "SET NAMES 'SJIS'",
    "SET session_replication_role = replica",
    "SET row_security = off",
]


@pytest.mark.parametrize("role", ["reader", "analyst", "writer"])
@pytest.mark.parametrize("text", SET_OTHERWISE)
def test_11_12_14_15_28_38_a_session_stays_what_it_is(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for answers in in_every_way(wire, text):
            assert_denied(answers)
        assert_serving(wire)


@pytest.mark.parametrize(
    "options",
    [
        {"options": "-c role=admin -c search_path=evil"},
        {"options": "-crole=admin"},
        {"options": "--search-path=evil"},
        {"role": "admin"},
        {"search_path": "evil"},
        {"session_replication_role": "replica"},
        {"client_encoding": "SJIS"},
        {"replication": "database"},
        {"replication": "true"},
    ],
    ids=str,
)
def test_35_a_login_that_asks_for_more_is_refused(house: House, options: dict[str, str]) -> None:
    with (
        house.unchanged(),
        Wire(house.gate.port) as wire,
        pytest.raises(WireError, match="'S': 'FATAL'"),
    ):
        wire.log_in("reader", house.passwords["reader"], **options)


def test_36_plaintext_behind_an_ssl_request_is_nobody_s_statement(house: House) -> None:
    """What is sent before TLS begins must not count as sent within it."""
    smuggled = startup("reader", "shop") + query("SELECT pan FROM cards")
    with house.unchanged(), Wire(house.gate.port) as wire:
        wire.send(SSL_REQUEST + smuggled)
        answer = wire.rest()
    assert answer[:1] == b"E"
    assert b"FATAL" in answer


def test_38_a_byte_that_another_encoding_takes_for_a_quote_s_half_is_no_text(house: House) -> None:
    with house.unchanged(), house.enter() as wire:
        wire.send(message("Q", b"SELECT '\x95\x5c'; DROP TABLE cards; --'\0"))
        (error, _) = wire.read_until("Z")
        assert error.fields["C"] in ("42601", "22021")
        assert_serving(wire)


def test_32_a_function_call_by_its_own_message_is_refused(house: House) -> None:
    (oid,) = house.direct.execute("SELECT 'lo_export'::regproc::oid::int").fetchone() or (0,)
    arguments = struct.pack("!HhHi", 1, 0, 2, 1) + b"1" + struct.pack("!i", 6) + b"/tmp/x"
    with house.unchanged(), house.enter("analyst") as wire:
        wire.send(message("F", struct.pack("!I", oid) + arguments + struct.pack("!h", 0)))
        answers = wire.read_until("Z")
        assert kinds(answers) == "EZ"
        assert answers[0].fields["C"] == "0A000"
        assert_serving(wire)


SHOWN = "SELECT id, reverse(pan) FROM cards"
BY_QUERY = (query("FETCH ALL FROM p"),)
BY_EXECUTE = (parse("FETCH ALL FROM p", "f"), bind("g", "f"), describe("P", "g"), execute("g"), SYNC)


@pytest.mark.parametrize("fetch", [BY_QUERY, BY_EXECUTE], ids=["by Query", "by Execute"])
@pytest.mark.parametrize("between", ["SELECT 1", "DECLARE c CURSOR FOR SELECT 1", "CLOSE ALL"])
def test_rows_of_a_portal_are_not_shown_as_those_of_another_statement(
    house: House, fetch: tuple[bytes, ...], between: str
) -> None:
    with house.unchanged(), house.enter() as wire:
        wire.query("BEGIN")
        wire.send(parse(SHOWN, "s"), bind("p", "s"), SYNC)
        wire.read_until("Z")
        wire.query(between)
        wire.send(*fetch)
        answers = wire.read_until("Z")
        assert "E" in kinds(answers)
        assert "D" not in kinds(answers)
        house.assert_kept(answers)
        wire.query("ROLLBACK")
        assert_serving(wire)


def test_nor_are_those_of_one_that_is_bound_behind_the_fetch(house: House) -> None:
    with house.unchanged(), house.enter() as wire:
        wire.send(parse("FETCH ALL FROM p", "f"), bind("g", "f"), parse(SHOWN), bind("p"), execute("g"), SYNC)
        answers = wire.read_until("Z")
        assert "D" not in kinds(answers)
        house.assert_kept(answers)
        assert_serving(wire)


def test_two_names_that_the_server_cuts_to_one_are_no_names(house: House) -> None:
    """Else what one was judged to be runs as the other."""
    name = "n" * 63
    with house.unchanged(), house.enter() as wire:
        wire.send(parse("SELECT id FROM cards", name), SYNC)
        assert kinds(wire.read_until("Z")) == "1Z"
        wire.send(
            message("C", b"S" + name.encode() + b"x\0"), parse(SHOWN, name + "y"), bind("", name), execute(), SYNC
        )
        error = wire.read()
        assert (error.kind, error.fields["S"], error.fields["C"]) == ("E", "FATAL", "0A000")
        assert wire.rest() == b""


@pytest.mark.parametrize("between", [b"", SYNC], ids=["one batch", "a block"])
def test_what_an_execute_runs_is_not_prepared_anew_behind_its_bind(house: House, between: bytes) -> None:
    with house.unchanged(), house.enter() as wire:
        wire.query("BEGIN")
        wire.send(parse("SELECT id, holder FROM cards", "s"), parse("EXECUTE s", "e"), SYNC)
        wire.read_until("Z")
        wire.send(bind("p", "e"), describe("P", "p"), message("C", b"Ss\0"), parse(SHOWN, "s"), between)
        wire.send(execute("p"), SYNC)
        answers = [answer for _ in range(2 if between else 1) for answer in wire.read_until("Z")]
        assert kinds(answers[-2:]) == "EZ"
        assert "D" not in kinds(answers)
        house.assert_kept(answers)
        wire.query("ROLLBACK")
        assert_serving(wire)
