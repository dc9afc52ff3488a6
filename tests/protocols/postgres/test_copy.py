"""COPY in both directions: passing, looked into, and ended on either side."""

from __future__ import annotations

import pytest
from tests.protocols.postgres.exchange import (
    BOUND,
    CLOSED,
    INT8,
    NO_DATA,
    PARSED,
    READY,
    TEXT,
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
from gatepost.values import ALLOW, EndCode, Interest, Kind, Limit, Row

OUT = message("H", b"\0\0\1\0\0")
OUT_BINARY, OUT_BINARY_2 = message("H", b"\1\0\1\0\1"), message("H", b"\1\0\2\0\1\0\1")
IN = message("G", b"\0\0\1\0\0")
DONE, FAIL = message("c"), message("f", b"no more\0")
LINES = message("d", b"1\tfirst\n") + message("d", b"2\tsecond\n")
TO = "COPY t TO STDOUT"
TO_BINARY = "COPY t TO STDOUT (FORMAT binary)"
HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
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


def asked_first(text: str) -> bytes:
    """What the server is asked before a binary COPY: what a query's columns are."""
    forget = message("C", b"Sgatepost\0")
    return forget + parse(text, "gatepost") + describe("S", "gatepost") + forget


def told(*names: str, oid: int = TEXT) -> bytes:
    """What it answers."""
    return CLOSED + PARSED + message("t", b"\0\0") + description(*names, oid=oid) + CLOSED


def binary(*cells: bytes | None) -> bytes:
    """A tuple of COPY in binary format."""
    return row(*cells)[5:]


def test_binary_copy_passes_where_no_plugin_wants_it() -> None:
    answer = OUT_BINARY + message("d", HEADER + TRAILER) + DONE + tag("COPY 0") + READY
    player = serving(RecordingHooks(wants_rows=False)).client(query(TO_BINARY)).upstream(answer)
    assert player.sent() == (answer, query(TO_BINARY))
    player = serving(RecordingHooks(Interest.NOTHING)).client(query(TO_BINARY)).upstream(told("a") + answer + READY)
    assert player.sent()[0] == answer


def test_types_are_asked_for_before_a_binary_copy() -> None:
    hooks = watching(change_row=lambda row: row.replace(1, ["1"]) if row.scalars(1) else None)
    player = serving(hooks).client(query(TO_BINARY))
    assert player.sent()[1] == asked_first('TABLE"t"') + query(TO_BINARY) + SYNC
    first, second = binary(None, b"\0\0\0\0word"), binary(b"\0\0\0\0\0\0\0\2", None)
    rows = message("d", HEADER + first) + message("d", second) + message("d", TRAILER)
    player.upstream(told("a", "b", oid=INT8) + OUT_BINARY_2 + rows + DONE + tag("COPY 2") + READY + READY)
    changed = message("d", HEADER + binary(None, b"\0\0\0\0\0\0\0\1"))
    assert player.sent()[0] == OUT_BINARY_2 + changed + rows[len(changed) :] + DONE + tag("COPY 2") + READY
    (result,) = hooks.results
    assert not result.is_copy
    assert [(column.name, column.kind, column.is_text) for column in result.columns] == [
        ("a", Kind.INTEGER, False),
        ("b", Kind.INTEGER, False),
    ]
    assert hooks.rows_seen == [(None, b"\0\0\0\0word"), (b"\0\0\0\0\0\0\0\2", None)]
    ((_, outcome),) = player.ended
    assert (outcome.tag, outcome.masked, outcome.error) == ("COPY 2", 1, "")
    assert player.session.is_idle


def test_the_columns_that_a_binary_copy_names_are_those_it_sends() -> None:
    hooks = watching()
    text = 'COPY public."T" (c, a) TO STDOUT (FORMAT binary)'
    player = serving(hooks).client(query(text))
    assert player.sent()[1].startswith(asked_first('TABLE"public"."T"'))
    player.upstream(told("a", "b", "c") + OUT_BINARY_2 + message("d", HEADER + binary(b"1", b"2")))
    assert [column.name for column in hooks.results[0].columns] == ["c", "a"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(told("a", "b"), id="more columns than are copied, as where some are generated"),
        pytest.param(told(), id="fewer"),
        pytest.param(told("a").replace(description("a"), NO_DATA), id="no columns"),
    ],
)
def test_a_tuple_of_unknown_columns_is_a_row_of_one_record(answer: bytes) -> None:
    hooks = watching(change_row=lambda row: row.replace(0, ["4111"]) if row.scalars(0) else None)
    player = serving(hooks).client(query(TO_BINARY))
    tuples = [binary(cell) for cell in (b"pan!", b"4111")]
    end = message("d", TRAILER) + DONE + tag("COPY 1") + READY
    player.upstream(answer + OUT_BINARY + message("d", HEADER + tuples[0]) + end + READY)
    assert player.sent()[0] == OUT_BINARY + message("d", HEADER + tuples[1]) + end
    (result,) = hooks.results
    assert (result.is_copy, result.columns[0].is_text) == (True, False)


def test_several_statements_are_not_asked_about() -> None:
    hooks = watching()
    text = f"{TO_BINARY}; SELECT 1"
    player = serving(hooks).client(query(text))
    assert player.sent()[1] == query(text)
    player.upstream(OUT_BINARY + message("d", HEADER + binary(b"a")))
    assert hooks.results[0].is_copy


def test_binary_copy_is_the_same_however_it_is_split() -> None:
    def change(row: Row) -> None:
        row.replace(0, ["longer than it was"])

    steps = [
        from_client(query(TO_BINARY) + query("SELECT 1")),
        from_upstream(
            told("a") + OUT_BINARY + message("d", HEADER + binary(b"a")) + message("d", TRAILER) + DONE + tag("COPY 1")
        ),
        from_upstream(READY + READY + description("a") + tag("SELECT 0") + READY),
    ]
    plays = every_split(lambda: serving(watching(change_row=change)), steps)
    _, whole = next(plays)
    assert message("d", HEADER + binary(b"longer than it was")) in whole.to_client
    assert [outcome.tag for _, outcome in whole.ended] == ["COPY 1", "SELECT 0"]
    assert whole.session.is_idle
    for how, player in plays:
        assert said(player) == said(whole), how


def test_an_error_in_what_is_asked_is_the_copys_own() -> None:
    """The server skips the COPY up to the Sync behind it."""
    player = serving(watching()).client(query(TO_BINARY) + query("SELECT 1"))
    failure = error("42P01", "no such table", P="6")
    player.upstream(CLOSED + failure + READY)
    assert player.sent()[0] == failure + READY
    ((_, outcome),) = player.ended
    assert (outcome.error, outcome.message) == ("42P01", "no such table")
    player.upstream(description("a") + row(b"1") + tag("SELECT 1") + READY)
    assert player.session.is_idle


@pytest.mark.parametrize("rows", [1, 2])
def test_a_limit_on_a_binary_copy(rows: int) -> None:
    player = serving(watching(), judge=lambda _: Limit(rows=rows, rule="few")).client(query(TO_BINARY))
    player.sent()
    data = [message("d", HEADER + binary(b"a")), message("d", TRAILER)]
    player.upstream(told("a") + OUT_BINARY + data[0] + data[1] + DONE + tag("COPY 1") + READY + READY)
    to_client, to_upstream = player.sent()
    if rows == 2:
        assert to_client == OUT_BINARY + data[0] + data[1] + DONE + tag("COPY 1") + READY
    else:
        assert (to_client, kinds(to_upstream)) == (OUT_BINARY + data[0], "PS")
        player.upstream(error("42601", "syntax error") + READY)
        assert kinds(player.sent()[0]) == "EZ"
    assert player.session.is_idle


@pytest.mark.parametrize("how", ["one by one", "in one go"])
def test_a_binary_copy_in_the_extended_protocol_is_asked_about_when_it_is_executed(how: str) -> None:
    hooks = watching()
    player = serving(hooks)
    run = describe("P") + execute() + SYNC
    for part in [parse(TO_BINARY) + bind() + run] if how == "in one go" else [parse(TO_BINARY), bind(), run]:
        player.client(part)
    asking = asked_first('TABLE"t"')
    assert player.sent()[1] == parse(TO_BINARY) + bind() + describe("P") + asking + execute() + SYNC
    rows = message("d", HEADER + binary(b"a")) + message("d", TRAILER)
    player.upstream(PARSED + BOUND + NO_DATA + told("a") + OUT_BINARY + rows + DONE + tag("COPY 1") + READY)
    assert player.sent()[0] == PARSED + BOUND + NO_DATA + OUT_BINARY + rows + DONE + tag("COPY 1") + READY
    assert [column.name for column in hooks.results[0].columns] == ["a"]
    assert player.session.is_idle
    player.client(bind() + execute() + SYNC).upstream(BOUND + CLOSED + error("42P01", "no such table") + READY)
    assert player.ended[-1][1].error == "42P01"
    assert player.session.is_idle


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEADER + binary(b"a", b"b"), id="another number of columns"),
        pytest.param(HEADER + binary(b"a") + binary(b"b"), id="two rows in one message"),
        pytest.param(HEADER + binary(b"a") + TRAILER, id="a row and the trailer in one message"),
        pytest.param(HEADER[:-1] + b"\1" + binary(b"a"), id="a header with more in it"),
        pytest.param(b"", id="nothing"),
        pytest.param(HEADER, id="a header alone"),
    ],
)
def test_a_binary_copy_in_another_form_ends_the_session(data: bytes) -> None:
    player = serving(watching()).client(query(TO_BINARY))
    player.upstream(told("a") + OUT_BINARY + message("d", data))
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT


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
