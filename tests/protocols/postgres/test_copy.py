"""COPY in both directions: passing, looked into, and ended on either side."""

from __future__ import annotations

import struct

import pytest
from tests.protocols.postgres.exchange import (
    BOUND,
    PARSED,
    READY,
    Backend,
    converse,
    description,
    error,
    fault_of,
    kinds,
    row,
    serving,
    tag,
    watching,
)
from tests.wire import SYNC, bind, describe, execute, message, parse, query

from gatepost.adapter import CLIENT, UPSTREAM, Limits, SendClient, SendUpstream
from gatepost.testing import RecordingHooks, every_split, from_client, from_upstream, said
from gatepost.values import ALLOW, EndCode, Interest, Row

OUT = message("H", b"\0\0\1\0\0")
OUT_BINARY = message("H", b"\1\0\1\0\1")
IN = message("G", b"\0\0\1\0\0")
DONE, FAIL = message("c"), message("f", b"no more\0")
LINES = message("d", b"1\tfirst\n") + message("d", b"2\tsecond\n")
TO = "COPY t TO STDOUT"
FROM = "COPY t FROM STDIN"


def test_each_line_is_a_row_of_one_text_column() -> None:
    hooks = watching()
    player = serving(hooks).client(query(TO))
    answer = OUT + LINES + DONE + tag("COPY 2") + READY
    player.upstream(answer)
    assert player.sent()[0] == answer
    (result,) = hooks.results
    assert (result.is_copy, len(result.columns), result.columns[0].is_text) == (True, 1, True)
    assert hooks.rows_seen == [(b"1\tfirst\n",), (b"2\tsecond\n",)]
    ((_, outcome),) = player.ended
    assert (outcome.rows, outcome.bytes, outcome.tag) == (2, len(LINES), "COPY 2")


def test_lines_leave_changed_however_they_come() -> None:
    def change(line: Row) -> None:
        raw = line.raw(0)
        if raw is not None and raw.startswith(b"2"):
            line.drop()
        else:
            line.replace(0, ["masked and longer"])

    steps = [from_client(query(TO)), from_upstream(OUT + LINES + DONE + tag("COPY 2") + READY)]
    plays = every_split(lambda: serving(watching(change_row=change)), steps)
    _, whole = next(plays)
    assert b"masked and longer" in whole.to_client
    assert b"second" not in whole.to_client
    ((_, outcome),) = whole.ended
    assert (outcome.rows, outcome.masked) == (1, 1)
    for how, player in plays:
        assert said(player) == said(whole), how


def test_copy_out_in_the_extended_protocol() -> None:
    hooks = watching()
    player = serving(hooks).client(parse(TO) + bind() + execute() + SYNC)
    assert player.sent()[1] == parse(TO) + bind() + describe("P") + execute() + SYNC
    player.upstream(PARSED + BOUND + message("n") + OUT + LINES + DONE + tag("COPY 2") + READY)
    assert player.sent()[0] == PARSED + BOUND + OUT + LINES + DONE + tag("COPY 2") + READY
    assert len(hooks.rows_seen) == 2


def test_binary_copy_passes_where_no_plugin_wants_it() -> None:
    for hooks in (RecordingHooks(Interest.NOTHING), RecordingHooks(wants_rows=False)):
        player = serving(hooks).client(query(f"{TO} (FORMAT binary)"))
        answer = OUT_BINARY + message("d", b"PGCOPY\n\xff\r\n\0") + DONE + tag("COPY 0") + READY
        player.upstream(answer)
        assert player.sent()[0] == answer


def test_a_tuple_of_binary_copy_is_a_row_of_one_record() -> None:
    hooks = watching(change_row=lambda row: row.replace(0, ["4111"]) if row.scalars(0) else None)
    player = serving(hooks).client(query(f"{TO} (FORMAT binary)"))
    start = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    tuples = [struct.pack("!hi", 1, len(cell)) + cell for cell in (b"pan!", b"4111")]
    end = b"\xff\xff"
    player.upstream(OUT_BINARY + message("d", start + tuples[0]) + message("d", end) + DONE + tag("COPY 1") + READY)
    expected = OUT_BINARY + message("d", start + tuples[1]) + message("d", end) + DONE + tag("COPY 1") + READY
    assert player.sent()[0] == expected
    (result,) = hooks.results
    assert (result.is_copy, result.columns[0].is_text) == (True, False)


def test_an_error_in_copy_out() -> None:
    player = serving(watching()).client(query(TO)).upstream(OUT + LINES + error("57014", "canceled") + READY)
    ((_, outcome),) = player.ended
    assert (outcome.error, outcome.rows) == ("57014", 2)
    assert player.session.is_idle


def test_copy_in_passes_and_is_counted() -> None:
    player = serving().client(query(FROM)).upstream(IN)
    player.sent()
    player.client(LINES + DONE)
    assert player.sent()[1] == LINES + DONE
    player.upstream(tag("COPY 2") + READY)
    ((_, outcome),) = player.ended
    assert (outcome.received, outcome.tag) == (len(b"1\tfirst\n2\tsecond\n"), "COPY 2")
    assert player.session.is_idle


def test_a_copy_that_the_client_gives_up() -> None:
    player = serving().client(query(FROM)).upstream(IN).client(LINES + FAIL)
    player.upstream(error("57014", "COPY from stdin failed") + READY)
    ((_, outcome),) = player.ended
    assert outcome.error == "57014"
    assert player.session.is_idle


def test_data_that_was_on_its_way_when_the_copy_failed_is_let_pass() -> None:
    player = serving().client(query(FROM)).upstream(IN).client(LINES)
    player.upstream(error("22P02", "invalid input") + READY)
    player.client(LINES + DONE + query("SELECT 1"))
    assert player.closed is None
    assert player.asked[-1].text == "SELECT 1"
    player.upstream(description("a") + row(b"1") + tag("SELECT 1") + READY)
    assert player.session.is_idle


def test_data_ahead_of_the_servers_asking() -> None:
    player = serving().client(query(FROM) + LINES + DONE + query("SELECT 1"))
    player.upstream(IN + tag("COPY 2") + READY)
    player.upstream(description("a") + tag("SELECT 0") + READY)
    assert [outcome.tag for _, outcome in player.ended] == ["COPY 2", "SELECT 0"]
    assert player.ended[0][1].received == len(b"1\tfirst\n2\tsecond\n")
    assert player.session.is_idle


def test_two_copies_in_one_query() -> None:
    player, backend = serving(), Backend()
    out = converse(player, backend, query("COPY IN; COPY IN; SELECT 1"), LINES + DONE, LINES + DONE)
    assert kinds(out) == "GCGC" + "TDDDCZ"
    ((_, outcome),) = player.ended
    assert outcome.tag == "SELECT 3"
    assert player.session.is_idle


@pytest.mark.parametrize("end", [DONE, FAIL])
def test_a_sync_ahead_of_the_data_is_ignored_as_the_server_does(end: bytes) -> None:
    """libpq sends one with the Execute, before it knows of the COPY, and another behind the data."""
    player, backend = serving(), Backend()
    batch = parse("COPY IN", "s") + bind("", "s") + describe("P") + execute() + SYNC
    out = converse(player, backend, batch, LINES + end + SYNC, query("SELECT 1"))
    assert kinds(out) == "12nG" + ("C" if end == DONE else "E") + "Z" + "TDDDCZ"
    assert player.session.is_idle


def test_a_failed_copy_in_the_extended_protocol_discards_up_to_a_sync() -> None:
    player = serving().client(parse(FROM) + bind() + describe("P") + execute() + SYNC)
    player.upstream(PARSED + BOUND + message("n") + IN).client(LINES)
    player.upstream(error("22P02", "invalid input")).sent()
    player.client(LINES + DONE + parse("SELECT 1") + SYNC)
    assert [statement.text for statement in player.asked] == [FROM, FROM]
    assert player.sent()[1] == SYNC
    player.upstream(READY)
    assert player.session.is_idle


def test_other_messages_amid_copy_data_end_the_session() -> None:
    player = serving().client(query(FROM)).upstream(IN).client(LINES + query("SELECT 1"))
    assert fault_of(player)[0] is EndCode.CLIENT_FAULT
    assert len(player.asked) == 1


def test_a_statement_sent_ahead_where_data_is_wanted_ends_the_session() -> None:
    player = serving().client(query(FROM) + query("SELECT 1")).upstream(IN)
    assert fault_of(player)[0] is EndCode.CLIENT_FAULT


@pytest.mark.parametrize("data", [LINES, DONE, FAIL])
def test_copy_data_out_of_place_ends_the_session(data: bytes) -> None:
    player = serving().client(data)
    assert fault_of(player)[0] is EndCode.CLIENT_FAULT


def test_replication_is_refused() -> None:
    player = serving().client(query("SELECT 1")).upstream(message("W", b"\0\0\0"))
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT


def test_copy_data_passes_both_ways_before_a_message_is_whole() -> None:
    limits = Limits(message_bytes=1000)
    big = message("d", b"x" * 100_000)
    session = serving(limits=limits).client(query(FROM)).upstream(IN).session
    assert session.receive(CLIENT, big[:50_000]) == [SendUpstream(big[:50_000])]
    assert session.receive(CLIENT, big[50_000:] + DONE) == [SendUpstream(big[50_000:] + DONE)]
    session = serving(limits=limits).client(query(TO)).session
    assert session.receive(UPSTREAM, OUT + big[:50_000]) == [SendClient(OUT + big[:50_000])]
    assert session.receive(UPSTREAM, big[50_000:]) == [SendClient(big[50_000:])]


def test_copy_in_is_the_same_however_it_is_split() -> None:
    steps = [
        from_client(query(FROM)),
        from_upstream(IN),
        from_client(LINES + DONE + query("SELECT denied") + query("SELECT 1")),
        from_upstream(tag("COPY 2") + READY),
    ]
    plays = every_split(lambda: serving(judge=lambda statement: ALLOW), steps)
    _, whole = next(plays)
    for how, player in plays:
        assert said(player) == said(whole), how
