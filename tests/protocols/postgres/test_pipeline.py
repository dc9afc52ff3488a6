"""Many messages at once: answers stay in order, and what was judged is what runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.postgres.exchange import (
    BOUND,
    PARSED,
    READY,
    READY_IN_BLOCK,
    Backend,
    converse,
    description,
    error,
    errors,
    fault_of,
    kinds,
    row,
    serving,
    split,
    tag,
    texts,
    watching,
)
from tests.wire import FLUSH, SYNC, bind, describe, execute, message, parse, query

from gatepost.testing import RecordingHooks, every_split, from_client, from_upstream, said
from gatepost.values import ALLOW, Effect, EndCode

CLOSE_S, CLOSE_PORTAL = message("C", b"Ss\0"), message("C", b"Pp\0")

MESSAGES = [
    query("SELECT 1"),
    query("SELECT 1; FAIL; SELECT 2"),
    query("BEGIN"),
    query("COMMIT"),
    query("nonsense"),
    parse("SELECT 1"),
    parse("SELECT 2", "s"),
    parse("FAIL", "s"),
    parse("nonsense", "s"),
    parse("nonsense"),
    bind(),
    bind("", "s"),
    bind("p", "s"),
    describe("S", "s"),
    describe("P"),
    describe("P", "p"),
    execute(),
    execute("p", 1),
    execute("p"),
    CLOSE_S,
    CLOSE_PORTAL,
    FLUSH,
    SYNC,
    SYNC,
]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.lists(st.sampled_from(MESSAGES), max_size=12).map(b"".join), min_size=1, max_size=4),
    st.sampled_from([None, RecordingHooks, watching]),
)
def test_any_conversation_is_the_one_without_gatepost(
    batches: list[bytes], hooks: Callable[[], RecordingHooks] | None
) -> None:
    """What the client gets is what the backend would have said to it, and every statement that was allowed ends."""
    direct = Backend()
    batches = [*batches, SYNC]
    expected = b"".join(direct.feed(batch) for batch in batches)
    behind = Backend()
    player = serving(hooks() if hooks is not None else None)
    assert converse(player, behind, *batches) == expected
    assert behind.ran == direct.ran
    assert behind.status == direct.status
    allowed = {statement.number for statement in player.asked}
    ended = [statement.number for statement, _ in player.ended]
    assert len(ended) == len(set(ended))
    assert set(ended) <= allowed
    if direct.status == b"I":
        assert player.session.is_idle
        assert set(ended) == allowed


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from([*MESSAGES, query("SELECT denied"), parse("SELECT denied"), parse("SELECT denied", "s")]))
)
def test_nothing_denied_ever_runs_and_order_is_kept(said_by_client: list[bytes]) -> None:
    """Where a denial stands, a backend that does not know the statement would have failed in the same way.

    (But for the unnamed statement, which a query or Parse that fails removes, and one that is denied does not.)
    """
    said_by_client = [data for data in said_by_client if data != bind()]
    ignorant = [data.replace(b"SELECT denied", b"denied, alas!") for data in said_by_client]
    expected = Backend().feed(b"".join([*ignorant, SYNC]))
    behind, player = Backend(), serving()
    out = converse(player, behind, b"".join([*said_by_client, SYNC]))
    assert kinds(out) == kinds(expected)
    assert "SELECT denied" not in behind.ran
    codes = zip(errors(out), errors(expected), strict=True)
    assert all(code == other or (code, other) == ("42501", "42601") for code, other in codes)


def test_every_split_gives_the_same() -> None:
    client = (
        parse("SELECT 1", "s")
        + describe("S", "s")
        + bind("p", "s")
        + execute("p", 1)
        + FLUSH
        + execute("p")
        + message("C", b"Pp\0")
        + SYNC
        + query("SELECT denied")
        + query("SELECT 1")
    )
    backend = Backend()
    player = serving(watching())
    steps = [from_client(client)]
    player.client(client)
    while sent := player.sent()[1]:
        steps.append(from_upstream(backend.feed(sent)))
        player.upstream(steps[-1].data or b"")
    plays = every_split(lambda: serving(watching(change_row=lambda row: row.replace(0, ["longer"]))), steps)
    _, whole = next(plays)
    assert len(whole.ended) == 3
    for how, other in plays:
        assert said(other) == said(whole), how


def test_messages_leave_in_one_piece_up_to_a_question() -> None:
    player = serving(judge=lambda statement: None)
    first, second = parse("SELECT 1", "s") + describe("S", "s"), bind("", "s") + execute() + SYNC
    player.client(first + second)
    assert player.sent()[1] == b""
    player.resolve(ALLOW)
    assert player.sent()[1] == first
    player.resolve(ALLOW)
    assert player.sent()[1] == second


def test_the_upstream_flows_while_a_question_is_open() -> None:
    held = serving(judge=lambda statement: None if statement.text == "SELECT 2" else ALLOW)
    held.client(query("SELECT 1") + query("SELECT 2"))
    assert held.is_waiting
    answer = description("a") + row(b"1") + tag("SELECT 1") + READY
    held.upstream(answer)
    assert held.sent()[0] == answer
    assert len(held.ended) == 1


def test_an_error_while_a_question_is_open_makes_it_vanish() -> None:
    """The server discards the rest of the batch, so an allowed statement did not run, and no answer is owed for it."""
    player = serving(judge=lambda statement: None if statement.text == "SELECT 2" else ALLOW)
    player.client(
        parse("FAIL", "s") + bind("", "s") + execute() + FLUSH + parse("SELECT 2") + bind() + execute() + SYNC
    )
    assert player.is_waiting
    player.sent()
    player.upstream(PARSED + BOUND + error("22012", "division by zero"))
    player.resolve(ALLOW)
    assert player.sent()[1] == SYNC
    player.upstream(READY)
    assert [outcome.error for _, outcome in player.ended] == ["", "22012", "22012"]
    assert player.session.is_idle


def test_what_a_failed_batch_skipped_ends_with_its_error() -> None:
    player, backend = serving(), Backend()
    converse(
        player,
        backend,
        parse("FAIL") + bind() + execute() + parse("SELECT 1") + bind() + execute() + SYNC + query("SELECT 2"),
    )
    assert [(statement.text, outcome.error) for statement, outcome in player.ended] == [
        ("FAIL", ""),
        ("FAIL", "22012"),
        ("SELECT 1", "22012"),
        ("SELECT 1", "22012"),
        ("SELECT 2", ""),
    ]
    assert backend.ran == ["FAIL", "SELECT 2"]


def test_a_name_that_may_still_fail_is_waited_for() -> None:
    """The second Parse fails, for the name is taken, and the Bind behind it means the first statement."""
    player = serving(judge=lambda statement: ALLOW)
    player.client(parse("SELECT 1", "s") + SYNC).upstream(PARSED + READY)
    player.client(parse("SELECT 2", "s") + SYNC + bind("", "s") + execute() + SYNC)
    assert [statement.text for statement in player.asked] == ["SELECT 1", "SELECT 2"]
    player.upstream(error("42P05", "already exists") + READY)
    assert [statement.text for statement in player.asked][2:] == ["SELECT 1"]


def test_a_skipped_parse_does_not_change_what_a_name_means() -> None:
    player, backend = serving(watching()), Backend()
    first = parse("SELECT 1") + bind() + execute() + SYNC
    failing = parse("FAIL", "f") + bind("", "f") + execute() + parse("SELECT 2") + SYNC
    converse(player, backend, first + failing + bind() + execute() + SYNC)
    assert backend.ran == ["SELECT 1", "FAIL", "SELECT 1"]
    assert player.asked[-1].text == "SELECT 1"


def test_a_failed_parse_of_the_unnamed_statement_leaves_none() -> None:
    player, backend = serving(), Backend()
    converse(player, backend, parse("SELECT 1") + SYNC, parse("nonsense") + SYNC, bind() + SYNC)
    assert player.asked[-1].facts.effect is Effect.UNKNOWN


@pytest.mark.parametrize(
    ("text", "still_known"),
    [
        ("DEALLOCATE s", False),
        ('DEALLOCATE PREPARE "s"', False),
        ("deallocate S ;", False),
        ("DEALLOCATE other", True),
        ("DEALLOCATE ALL", False),
        ("DISCARD ALL", False),
        ("/* */ DEALLOCATE other", False),
    ],
)
def test_statements_that_are_removed_in_sql_are_unknown(text: str, still_known: bool) -> None:
    """Their name may come to mean something else in SQL: PREPARE is not told in this protocol's messages."""
    player = serving()
    player.client(parse("SELECT 1", "s") + SYNC).upstream(PARSED + READY)
    player.client(query(text) + bind("", "s") + SYNC)
    assert player.asked[-1].text == text, "what the name means is not known before the answer"
    player.upstream(tag(text.split(" ")[0]) + READY)
    assert (player.asked[-1].text == "SELECT 1") is still_known


def test_a_removal_in_the_same_batch_is_waited_for_without_a_sync() -> None:
    player = serving()
    player.client(
        parse("SELECT 1", "s") + parse("DEALLOCATE s", "d") + bind("", "d") + execute() + bind("", "s") + SYNC
    )
    assert player.sent()[1].endswith(execute() + FLUSH)
    player.upstream(PARSED * 2 + BOUND + tag("DEALLOCATE"))
    assert player.asked[-1].facts.effect is Effect.UNKNOWN
    assert player.sent()[1] == bind("", "s") + SYNC


def test_a_removal_that_failed_removed_nothing() -> None:
    player = serving()
    player.client(parse("SELECT 1", "s") + SYNC).upstream(PARSED + READY)
    player.client(query("DEALLOCATE s")).upstream(error("25P02", "aborted") + READY)
    player.client(bind("", "s") + SYNC)
    assert player.asked[-1].text == "SELECT 1"


def test_cursors_that_sql_may_have_replaced_are_asked_about_again() -> None:
    player = serving()
    player.client(query("BEGIN")).upstream(tag("BEGIN") + READY_IN_BLOCK)
    player.client(parse("SELECT 1") + bind("p") + SYNC).upstream(PARSED + BOUND + READY_IN_BLOCK)
    player.client(query("CLOSE p; DECLARE p CURSOR FOR SELECT 2"))
    player.upstream(tag("CLOSE CURSOR") + tag("DECLARE CURSOR") + READY_IN_BLOCK)
    player.client(execute("p") + SYNC)
    assert player.asked[-1].text == 'FETCH ALL FROM "p"'


def test_a_query_amid_a_batch_waits_for_the_batch() -> None:
    """Had the batch failed, the server would discard the query; a denial in its place would end the discarding."""
    player, backend = serving(), Backend()
    player.client(parse("FAIL") + bind() + execute() + query("SELECT denied") + parse("SELECT 1") + SYNC)
    assert [statement.text for statement in player.asked] == ["FAIL", "FAIL"]
    out = converse(player, backend, b"")
    assert player.sent()[1] == b""
    assert out == b""


def test_a_query_behind_a_failed_batch_is_not_asked_about() -> None:
    player, backend = serving(), Backend()
    out = converse(player, backend, parse("FAIL") + bind() + execute() + query("SELECT denied") + SYNC)
    assert kinds(out) == "12EZ"
    assert [statement.text for statement in player.asked] == ["FAIL", "FAIL"]


@pytest.mark.parametrize(
    "unowed",
    [
        READY,
        tag("SELECT 1"),
        row(b"1"),
        PARSED,
        BOUND,
        description("a"),
        error("42601", "syntax error"),
        message("W", b"\0\0\0"),
        message("R", bytes(4)),
        message("K", bytes(8)),
        message("v", bytes(8)),
        message("V", b"\xff\xff\xff\xff"),
        message("!"),
        message("\0"),
    ],
)
def test_what_is_not_owed_ends_the_session(unowed: bytes) -> None:
    player = serving().upstream(unowed)
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT
    assert unowed not in player.sent()[0]


@pytest.mark.parametrize("unowed", [row(b"1"), READY, PARSED, message("s"), message("d", b"x")])
def test_a_query_is_not_answered_out_of_turn(unowed: bytes) -> None:
    player = serving().client(query("SELECT 1")).upstream(unowed)
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT


def test_rows_of_unknown_columns_do_not_leave() -> None:
    player = serving(watching())
    player.client(parse("SELECT 1") + bind() + execute() + SYNC)
    player.upstream(PARSED + BOUND + message("n") + row(b"1"))
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT
    assert row(b"1") not in player.to_client


UNTOLD = ["SELECT f(1)", "RESET ALL", "RESET search_path", "DO $$ BEGIN END $$"]


@pytest.mark.parametrize("text", UNTOLD)
def test_a_text_behind_what_may_change_settings_waits_for_them(text: str) -> None:
    """PostgreSQL reports a changed setting with ReadyForQuery, and no sooner."""
    behind = query(r"SELECT '\'', '1'")
    player = serving().client(query(text) + behind)
    player.upstream(tag("SELECT 0"))
    assert player.sent()[1] == query(text)
    player.upstream(READY)
    assert player.sent()[1] == behind


def test_a_text_is_not_sent_when_the_settings_were_changed() -> None:
    player = serving().client(query("SELECT f(1)") + query(r"SELECT '\'', '1'"))
    player.upstream(tag("SELECT 0") + message("S", b"standard_conforming_strings\0off\0") + READY)
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT
    assert player.sent()[1] == query("SELECT f(1)")


@pytest.mark.parametrize("text", UNTOLD)
@pytest.mark.parametrize("behind", [parse(r"SELECT '\'', '1'"), parse("SELECT 'é'"), query("SELECT 'é'")])
def test_within_a_batch_such_a_text_is_denied(text: str, behind: bytes) -> None:
    player = serving().client(parse(text) + bind() + execute() + FLUSH)
    player.upstream(PARSED + BOUND + tag("SELECT 0"))
    player.sent()
    player.client(behind)
    assert b"denied by gatepost" in player.sent()[1]
    player.upstream(error("42601", "syntax error"))
    ((_, body),) = split(player.sent()[0])
    assert texts(body)["C"] == "42501"
    assert "Sync" in texts(body)["H"]
    assert all(statement.text == text for statement in player.asked)


def test_many_executions_of_what_may_change_settings_are_one_batch() -> None:
    """As drivers send them: a text that is read alike under all settings need not wait."""
    once = parse("SELECT f($1)") + bind("", "", [b"1"]) + describe("P") + execute()
    player = serving().client(once + once + SYNC)
    assert player.sent()[1] == once + once + SYNC


def test_a_preparation_changes_nothing() -> None:
    batch = parse("SELECT f(1)", "s") + parse("SELECT 'é'") + SYNC + query("SELECT 'é'")
    assert serving().client(batch).sent()[1] == batch


def test_a_batch_that_copy_data_cuts_short_may_still_change_settings() -> None:
    """The server ignores a Sync that comes ahead of the data's end, so what stood before it is not over."""
    copy = parse("SELECT f(1)") + bind() + execute() + parse("COPY IN") + bind() + execute() + SYNC
    player = serving().client(copy)
    player.upstream(PARSED + BOUND + tag("SELECT 0") + PARSED + BOUND + message("G", b"\0\0\1\0\0"))
    player.client(message("c") + SYNC)
    player.sent()
    player.client(query("SELECT 'é'"))
    assert player.sent()[1] == b""
    player.upstream(tag("COPY 0") + READY)
    assert player.sent()[1] == query("SELECT 'é'")


def test_what_has_ended_before_a_fault_is_told_as_ended() -> None:
    player = serving().client(query("SELECT 1")).client(query("COPY IN")).client(message("F", bytes(8)))
    player.upstream(description("a") + row(b"1") + tag("SELECT 1") + READY + message("G", b"\0\0\1\0\0"))
    assert player.closed is not None
    assert [(statement.text, outcome.complete, outcome.tag) for statement, outcome in player.ended] == [
        ("SELECT 1", True, "SELECT 1"),
        ("COPY IN", False, ""),
    ]
