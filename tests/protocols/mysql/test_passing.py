"""Bytes that nobody looks at, without sockets."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import mysql_wire as wire
from tests.protocols.mysql.exchange import said, serving

from gatepost import EndCode
from gatepost.adapter import CLIENT, UPSTREAM, Cancel
from gatepost.testing import Player, RecordingHooks, every_split, from_client, from_upstream

MORE, IN_TRANSACTION, CURSOR_EXISTS = 0x08, 0x01, 0x40
COLUMNS = [wire.definition("a"), wire.definition("b")]
ROWS = [wire.text_row("1", "x"), wire.text_row(None, "y" * 300), wire.text_row("", "")]


def passing(capabilities: int = wire.CAPABILITIES, **changes: Any) -> Player:
    hooks = RecordingHooks(wants_statements=False, wants_rows=False, wants_notices=False)
    return serving(hooks, capabilities=capabilities, **changes)


def answer(capabilities: int, rows: list[bytes] = ROWS, *, status: int = 2, first: int = 1) -> bytes:
    if capabilities & wire.DEPRECATE_EOF:
        return wire.result(COLUMNS, rows, status=status, first=first)
    return wire.packets(first, b"\x02", *COLUMNS, wire.eof(), *rows, wire.eof(status))


@pytest.mark.parametrize("capabilities", [wire.CAPABILITIES, wire.CAPABILITIES & ~wire.DEPRECATE_EOF])
def test_bytes_pass_as_they_come_however_they_are_split(capabilities: int) -> None:
    one = answer(capabilities, status=2 | MORE)
    two = answer(capabilities, first=len(wire.split(one)) + 1)
    steps = [
        from_client(wire.query("SELECT a, b FROM t")),
        from_upstream(one + two),
        from_client(wire.query("insert into t values (1)")),
        from_upstream(wire.packet(1, wire.ok(affected=1))),
    ]
    for split, player in every_split(lambda: passing(capabilities), steps):
        assert player.closed is None, split
        assert player.asked == [], split
        assert bytes(player.to_upstream).endswith(steps[0].data + steps[2].data), split
        assert bytes(player.to_client).endswith(one + two + steps[3].data), split
        assert player.session.is_idle, split


@pytest.mark.parametrize("capabilities", [wire.CAPABILITIES, wire.CAPABILITIES & ~wire.DEPRECATE_EOF])
def test_answers_that_are_alike_pass_and_leave_the_session_as_each_says(capabilities: int) -> None:
    open_ = 2 | IN_TRANSACTION
    answers = [
        (answer(capabilities), True),
        (answer(capabilities, ROWS[:1]), True),
        (answer(capabilities, status=open_), False),
        (answer(capabilities, ROWS * 2, status=open_), False),
        (wire.packet(1, wire.err()), False),
        (answer(capabilities, []), True),
        (answer(capabilities, ROWS), True),
    ]
    steps = [step for data, _ in answers for step in (from_client(wire.query("SELECT 1")), from_upstream(data))]
    for split, player in every_split(lambda: passing(capabilities), steps):
        assert player.closed is None, split
        assert bytes(player.to_client).endswith(b"".join(data for data, _ in answers)), split
    made = passing(capabilities)
    for data, is_idle in [*answers, (answer(capabilities, ROWS * 100), True)]:
        made.client(wire.query("SELECT 1"))
        assert not made.session.is_idle
        made.upstream(data)
        assert made.session.is_idle is is_idle


def test_a_chunk_of_whole_messages_is_the_same_object() -> None:
    made = passing()
    data = answer(wire.CAPABILITIES)
    for _ in range(2):
        made.client(wire.query("SELECT 1"))
        (action,) = made.session.receive(UPSTREAM, data)
        assert action.data is data  # type: ignore[union-attr]


def test_a_row_larger_than_any_bound_passes_without_being_held() -> None:
    made = passing()
    made.client(wire.query("SELECT a, b FROM t"))
    head = wire.packets(1, b"\x02", *COLUMNS)
    row = wire.text_row("x" * 100_000, None)
    made.upstream(head + wire.packet(4, row)[:50])
    assert made.sent()[0] == head + wire.packet(4, row)[:50]
    made.upstream(wire.packet(4, row)[50:])
    made.upstream(wire.packet(5, wire.ok(head=0xFE)))
    assert made.sent()[0] == wire.packet(4, row)[50:] + wire.packet(5, wire.ok(head=0xFE))
    assert made.session.is_idle


def test_a_row_of_several_packets_is_one_row() -> None:
    made = passing()
    made.client(wire.query("SELECT a FROM t"))
    longest = b"\xfd" * 0xFFFFFF
    made.upstream(wire.packets(1, b"\x02", *COLUMNS) + wire.packet(4, longest) + wire.packet(5, b"\xfe rest"))
    made.upstream(wire.packet(6, longest) + wire.packet(7, b""))
    assert not made.session.is_idle
    made.upstream(wire.packet(8, wire.ok(head=0xFE)))
    assert made.closed is None
    assert made.session.is_idle


def test_a_session_is_idle_when_all_is_answered_outside_a_transaction() -> None:
    made = passing()
    made.client(wire.query("BEGIN")).upstream(wire.packet(1, wire.ok(status=2 | IN_TRANSACTION)))
    assert not made.session.is_idle
    made.client(wire.query("SELECT a, b FROM t"))
    made.upstream(answer(wire.CAPABILITIES, status=2 | IN_TRANSACTION))
    assert not made.session.is_idle
    made.client(wire.query("COMMIT")).upstream(wire.packet(1, wire.ok()))
    assert made.session.is_idle


def test_prepared_statements_pass() -> None:
    made = passing()
    made.client(wire.command(wire.PREPARE, b"SELECT a, b FROM t WHERE a = ?"))
    head = struct.pack("<BIHHBH", 0, 7, 2, 1, 0, 0)
    made.upstream(wire.packets(1, head, wire.definition("?"), *COLUMNS))
    execution = wire.command(wire.EXECUTE, struct.pack("<IBI", 7, 1, 1) + b"\0\1\x03\0\5\0\0\0")
    made.client(execution).upstream(wire.packets(1, b"\x02", *COLUMNS, wire.ok(head=0xFE, status=2 | CURSOR_EXISTS)))
    assert made.session.is_idle
    fetch = wire.command(wire.FETCH, struct.pack("<II", 7, 10))
    made.client(fetch).upstream(wire.packets(1, b"\0\0\1x\1y", wire.ok(head=0xFE)))
    made.client(wire.command(wire.CLOSE, struct.pack("<I", 7)) + wire.query("SELECT 1"))
    made.upstream(answer(wire.CAPABILITIES))
    assert made.closed is None
    assert made.session.is_idle
    assert made.asked == []


@pytest.mark.parametrize(
    "text",
    [
        "KILL 7",
        "SELECT 1; KILL 7",
        "SELECT 1 /*! ; KILL 7 */",
        "PREPARE p FROM 'KILL 7'",
        "SET sql_mode = 'ANSI_QUOTES'",
        "SET character_set_client = gbk",
    ],
)
@pytest.mark.parametrize("command", [wire.QUERY, wire.PREPARE])
def test_what_matters_to_other_sessions_or_to_later_texts_is_refused_all_the_same(text: str, command: int) -> None:
    made = passing(finds=lambda request: False)
    made.client(wire.command(command, text.encode()))
    to_client, to_upstream = made.sent()
    assert to_upstream == b""
    assert said(to_client)[0][0] == 0xFF
    made.client(wire.query("SELECT 1")).upstream(answer(wire.CAPABILITIES))
    assert made.closed is None
    assert made.session.is_idle


def test_a_text_with_attributes_is_looked_at() -> None:
    made = passing(wire.CAPABILITIES | wire.QUERY_ATTRIBUTES, server=wire.MYSQL)
    plain = wire.command(wire.QUERY, b"\0\1SELECT 1")
    made.client(plain).upstream(answer(wire.CAPABILITIES))
    assert made.asked == []
    assert made.session.is_idle
    named = wire.command(wire.QUERY, b"\1\1\0\1\xfd\0\1a\1xKILL 7")
    made.client(named)
    assert made.sent()[1] == plain
    assert made.session.is_idle


@pytest.mark.parametrize("eof", [0, wire.DEPRECATE_EOF])
def test_what_mariadb_alone_has_passes(eof: int) -> None:
    agreed = wire.CAPABILITIES & ~wire.IS_MYSQL & ~wire.DEPRECATE_EOF | eof
    made = passing(agreed | wire.PROGRESS | wire.CACHE_METADATA, server=wire.MARIADB)
    between, end = ([], wire.ok(head=0xFE)) if eof else ([wire.eof()], wire.eof())
    whole = wire.packets(1, wire.progress(), b"\2\1", *COLUMNS, *between, *ROWS, end)
    skipped = wire.packets(1, b"\2\0", *between, ROWS[0], wire.progress(), end)
    for data in (whole, skipped):
        made.client(wire.query("SELECT a, b FROM t")).upstream(data)
        assert made.closed is None
        assert made.sent()[0] == data
        assert made.session.is_idle
    made.client(wire.command(wire.PING)).upstream(wire.packet(1, wire.progress()))
    assert made.closed is not None


def test_an_own_statement_is_cancelled() -> None:
    made = passing()
    assert any(isinstance(action, Cancel) for action in made.session.receive(CLIENT, wire.query("KILL QUERY 9")))


def test_a_file_passes_and_what_is_behind_it_waits() -> None:
    made = passing(wire.CAPABILITIES | wire.LOCAL_FILES, server=wire.MYSQL)
    file = wire.packet(2, b"1,2\n") + wire.packet(3, b"")
    made.client(wire.query("LOAD DATA LOCAL INFILE 'f' INTO TABLE t") + file + wire.query("SELECT 1")[:4])
    made.sent()
    made.upstream(wire.packet(1, b"\xfbf"))
    assert made.sent() == (wire.packet(1, b"\xfbf"), file)
    made.client(wire.query("SELECT 1")[4:])
    assert made.sent()[1] == b""
    made.upstream(wire.packet(4, wire.ok()))
    assert made.sent()[1] == wire.query("SELECT 1")
    made.upstream(answer(wire.CAPABILITIES))
    assert made.closed is None
    assert made.session.is_idle


def test_a_statement_that_the_judging_phase_has_prepared_is_run_by_it() -> None:
    made = passing()
    made.client(wire.command(wire.PREPARE, b"CALL p()"))
    made.upstream(wire.packet(1, struct.pack("<BIHHBH", 0, 1, 0, 0, 0, 0)))
    made.sent()
    made.client(wire.command(wire.EXECUTE, struct.pack("<IBI", 1, 0, 1))).upstream(wire.packet(1, wire.ok()))
    # What it did to the settings is seen to before the next command.
    assert b"sql_mode" in made.sent()[1]
    made.client(wire.query("SELECT 1"))
    assert made.sent()[1] == b""
    made.upstream(wire.settings())
    assert made.sent()[1] == wire.query("SELECT 1")


@pytest.mark.parametrize(
    "data",
    [
        wire.packet(2, wire.ok()),
        wire.packet(1, b""),
        wire.packet(1, b"\xfbfile"),
        wire.packets(1, b"\x02", *COLUMNS, b""),
        wire.packets(1, b"\x02", *COLUMNS, b"\xfe"),
        wire.packet(1, wire.ok()) + wire.packet(2, wire.ok()),
        wire.packets(1, b"\x02", *COLUMNS) + wire.packet(5, ROWS[0]) + wire.packet(5, wire.ok(head=0xFE)),
        wire.packets(1, b"\x02", *COLUMNS, ROWS[0]) + wire.packet(6, wire.ok(head=0xFE)),
        wire.packets(1, b"\x02", *COLUMNS, b"", wire.ok(head=0xFE)),
        wire.packets(1, b"\x02", *COLUMNS, wire.ok(head=0xFE), wire.ok(head=0xFE)),
        wire.packets(1, b"\x02", *COLUMNS, wire.ok(head=0xFE), ROWS[0], wire.ok(head=0xFE)),
    ],
    ids=[
        "order",
        "empty",
        "a file",
        "an empty row",
        "no end",
        "too much",
        "order of rows",
        "order of the end",
        "an empty row and an end",
        "two ends",
        "a row behind the end",
    ],
)
@pytest.mark.parametrize("before", [0, 1])
def test_an_answer_that_is_none_ends_the_session(data: bytes, before: int) -> None:
    made = passing()
    for _ in range(before):
        made.client(wire.query("SELECT a, b FROM t")).upstream(answer(wire.CAPABILITIES))
    made.client(wire.query("SELECT a, b FROM t")).upstream(data)
    assert made.closed is not None
    assert made.closed.code is EndCode.UPSTREAM_FAULT


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_nothing_but_faults_comes_of_any_bytes(client: bytes, upstream: bytes) -> None:
    made = passing()
    made.client(wire.query("SELECT 1")).upstream(wire.packet(1, upstream)).client(client)
    assert made.closed is None or made.closed.code in (EndCode.CLIENT_FAULT, EndCode.UPSTREAM_FAULT)
