"""Limits on rows: no row too many leaves, and all is as if the server itself had failed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.postgres.exchange import (
    BOUND,
    PARSED,
    READY,
    READY_FAILED,
    READY_IN_BLOCK,
    Backend,
    _Failure,
    converse,
    description,
    error,
    errors,
    kinds,
    row,
    serving,
    split,
    tag,
    texts,
    watching,
)
from tests.protocols.postgres.test_pipeline import MESSAGES
from tests.wire import SYNC, bind, describe, execute, message, parse, query

from gatepost.testing import Player, RecordingHooks
from gatepost.values import ALLOW, Interest, Limit, Statement, Verdict
from gatepost_postgres import denial

TWO = Limit(rows=2, rule="reader.rows", hint="Add LIMIT 2.", plugin="policy")
RUN = bind() + describe("P") + execute()


def judge(statement: Statement) -> Verdict | Limit:
    """What begins with "SELECT 2" may show two rows, and so may cursors and COPY."""
    return TWO if statement.text.startswith(("SELECT 2", "DECLARE", "COPY")) else ALLOW


class Limited(Backend):
    """A server that knows the limit by itself."""

    def _run(self, text: str) -> Iterator[bytes]:
        rows = 0
        for answer in super()._run(text):
            rows += kinds(answer) == "D"
            if text == "SELECT 2" and rows > TWO.rows:
                raise _Failure("42501", "")
            yield answer


def said(data: bytes) -> list[tuple[str, bytes]]:
    """Messages, with no more than its code of a denial."""
    return [
        (kind, b"" if kind == "E" and errors(message(kind, body)) == ["42501"] else body) for kind, body in split(data)
    ]


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.lists(st.sampled_from(MESSAGES), max_size=12).map(b"".join), min_size=1, max_size=4),
    st.sampled_from([RecordingHooks, watching]),
)
def test_any_conversation_is_one_with_a_server_that_limits_rows(
    batches: list[bytes], hooks: Callable[[], RecordingHooks]
) -> None:
    direct, behind = Limited(), Backend()
    batches = [*batches, SYNC]
    expected = b"".join(direct.feed(batch) for batch in batches)
    player = serving(hooks(), judge)
    assert said(converse(player, behind, *batches)) == said(expected)
    assert behind.status == direct.status
    assert player.session.is_idle is (behind.status == b"I")
    player.eof(0)  # type: ignore[arg-type]
    assert len({statement.number for statement, _ in player.ended}) == len(player.ended)


def ask(*messages: bytes, hooks: RecordingHooks | None = None) -> Player:
    player = serving(hooks, judge)
    player.client(b"".join(messages))
    player.sent()
    return player


def test_a_simple_query_ends_in_an_ordinary_error_and_the_next_one_runs() -> None:
    player = ask(query("SELECT 2"))
    player.upstream(description("a") + row(b"1") + row(b"2") + row(b"3"))
    assert player.sent() == (description("a") + row(b"1") + row(b"2"), denial.FAILING_PARSE + denial.SYNC)
    player.upstream(row(b"4") + tag("SELECT 4") + READY)
    assert player.sent() == (b"", b"")
    player.client(query("SELECT 1"))
    assert player.sent() == (b"", b"")
    player.upstream(error("42601", "syntax error") + READY)
    to_client, to_upstream = player.sent()
    assert kinds(to_client) == "EZ"
    assert texts(split(to_client)[0][1]) == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "42501",
        "M": "the statement has more than 2 rows; no more of them are shown",
        "D": "rule policy: reader.rows",
        "H": "Add LIMIT 2.",
    }
    assert to_upstream == query("SELECT 1")
    ((statement, outcome),) = player.ended
    assert statement.limit == TWO
    assert (outcome.rows, outcome.error, outcome.complete) == (2, "42501", True)


def test_as_many_rows_as_allowed_are_no_error() -> None:
    player = ask(query("SELECT 2"))
    answer = description("a") + row(b"1") + row(b"2") + tag("SELECT 2") + READY
    assert player.upstream(answer).sent() == (answer, b"")


def test_a_transaction_block_is_left_aborted_by_the_server_itself() -> None:
    player = ask(parse("SELECT 2") + RUN + SYNC)
    player.upstream(PARSED + BOUND + description("a") + row(b"1") * 3)
    player.upstream(tag("SELECT 3") + READY_IN_BLOCK)
    player.upstream(error("42601", "syntax error") + READY_FAILED)
    to_client, to_upstream = player.sent()
    assert kinds(to_client) == "12TDDEZ"
    assert to_client.endswith(READY_FAILED)
    assert to_upstream == denial.FAILING_PARSE + denial.SYNC


def test_what_follows_in_the_batch_waits_and_is_skipped() -> None:
    player = ask(parse("SELECT 2") + RUN + parse("SELECT 1") + RUN + SYNC)
    player.upstream(PARSED + BOUND + description("a") + row(b"1") * 3 + tag("SELECT 3"))
    assert player.sent()[1] == denial.FAILING_PARSE
    player.upstream(error("42601", "syntax error"))
    to_client, to_upstream = player.sent()
    assert (errors(to_client), to_upstream) == (["42501"], SYNC)
    assert kinds(player.upstream(READY).sent()[0]) == "Z"
    assert [statement.text for statement in player.asked] == ["SELECT 2", "SELECT 2"]


def test_a_batch_that_has_changed_something_is_not_committed_before_its_rows_are_counted() -> None:
    change, read = parse("INSERT INTO t VALUES (1)", "i") + bind("", "i") + execute(), parse("SELECT 2") + RUN
    player = serving(None, judge)
    player.client(change + read + SYNC)
    assert player.sent()[1] == change + read + denial.FLUSH
    player.upstream(PARSED + BOUND + tag("INSERT 0 1") + PARSED + BOUND + description("a") + row(b"1") * 3)
    assert player.sent()[1] == denial.FAILING_PARSE
    player.upstream(tag("SELECT 3") + error("42601", "syntax error"))
    to_client, to_upstream = player.sent()
    assert (errors(to_client), to_upstream) == (["42501"], SYNC)


def test_an_error_of_the_servers_own_takes_nothing_back() -> None:
    player = ask(parse("SELECT 2") + RUN + SYNC)
    player.upstream(PARSED + BOUND + description("a") + row(b"1") * 3 + error("22012", "division by zero") + READY)
    player.upstream(error("42601", "syntax error") + READY)
    assert kinds(player.sent()[0]) == "12TDDEZ"
    simple = ask(query("SELECT 2"))
    simple.upstream(description("a") + row(b"1") * 3 + error("22012", "division by zero") + READY)
    simple.upstream(error("42601", "syntax error") + READY)
    assert kinds(simple.sent()[0]) == "TDDEZ"


def test_the_rest_of_a_query_is_not_shown_and_its_copy_is_refused() -> None:
    player = ask(query("SELECT 2; SELECT 9; COPY t FROM STDIN"))
    player.upstream(description("a") + row(b"1") * 3 + tag("SELECT 3"))
    player.sent()
    player.upstream(description("b") + row(b"1") + tag("SELECT 1") + message("G", b"\0\0\1\0\0"))
    assert player.sent() == (b"", denial.COPY_FAIL)
    player.upstream(error("57014", "COPY from stdin failed") + READY + error("42601", "syntax error") + READY)
    assert kinds(player.sent()[0]) == "EZ"


def test_rows_of_copy_count() -> None:
    player = ask(query("COPY t TO STDOUT"))
    player.upstream(message("H", b"\0\0\1\0\0") + message("d", b"line\n") * 5 + message("c") + tag("COPY 5") + READY)
    player.upstream(error("42601", "syntax error") + READY)
    assert kinds(player.sent()[0]) == "HddEZ"


def test_a_portal_counts_over_its_executions() -> None:
    player = ask(parse("SELECT 2") + bind("p") + describe("P", "p") + execute("p", 1) + SYNC)
    player.upstream(PARSED + BOUND + description("a") + row(b"1") + message("s") + READY_IN_BLOCK)
    player.client(execute("p", 5) + SYNC)
    player.upstream(row(b"2") + row(b"3") + tag("SELECT 2") + READY_IN_BLOCK)
    player.upstream(error("42601", "syntax error") + READY_FAILED)
    assert kinds(player.sent()[0]) == "12TDsZDEZ"
    ((_, outcome),) = player.ended[1:]
    assert (outcome.rows, outcome.error) == (2, "42501")


def test_all_fetches_of_cursors_count_together() -> None:
    player = ask(query("BEGIN"))
    player.upstream(tag("BEGIN") + READY_IN_BLOCK)
    player.client(query("DECLARE c CURSOR FOR SELECT 2")).upstream(tag("DECLARE CURSOR") + READY_IN_BLOCK)
    player.client(query("FETCH 1 FROM c")).upstream(description("a") + row(b"1") + tag("FETCH 1") + READY_IN_BLOCK)
    player.sent()
    player.client(query("FETCH 2 FROM c"))
    player.upstream(description("a") + row(b"2") + row(b"3") + tag("FETCH 2") + READY_IN_BLOCK)
    player.upstream(error("42601", "syntax error") + READY_FAILED)
    assert kinds(player.sent()[0]) == "TDEZ"
    player.client(query("ROLLBACK")).upstream(tag("ROLLBACK") + READY)
    player.client(query("DECLARE c CURSOR FOR SELECT 2")).upstream(tag("DECLARE CURSOR") + READY_IN_BLOCK)
    player.sent()
    player.client(execute("c") + SYNC)
    player.upstream(row(b"1") * 3 + tag("FETCH 3") + error("42601", "syntax error"))
    player.upstream(READY_FAILED)
    assert kinds(player.sent()[0]) == "DDEZ"


def test_a_client_that_copies_in_under_a_limit_is_not_held_back() -> None:
    player = ask(query("COPY t FROM STDIN"))
    player.upstream(message("G", b"\0\0\1\0\0"))
    player.sent()
    data = message("d", b"1\n") + message("c")
    assert player.client(data).sent()[1] == data
    player.upstream(tag("COPY 1") + READY)
    assert player.session.is_idle


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_chunks_do_not_matter(size: int) -> None:
    player = ask(query("SELECT 2"), hooks=watching())
    answer = description("a") + row(b"1" * 10) * 5 + tag("SELECT 5") + READY + error("42601", "no") + READY
    for at in range(0, len(answer), size):
        player.upstream(answer[at : at + size])
    assert kinds(player.sent()[0]) == "TDDEZ"


def test_what_was_seen_before_counts_as_well() -> None:
    """An answer that comes whole, and like one before, is struck out at once: within the limit alone."""
    player = serving(RecordingHooks(Interest.NOTHING), judge)
    few, many = (description("a") + row(b"1") * count + tag(f"SELECT {count}") + READY for count in (2, 3))
    for _ in range(3):
        player.client(query("SELECT 2")).upstream(few)
    assert kinds(player.sent()[0]) == "TDDCZ" * 3
    player.client(query("SELECT 2")).upstream(many).upstream(error("42601", "syntax error") + READY)
    assert kinds(player.sent()[0]) == "TDDEZ"
    steps = BOUND + description("a"), tag("SELECT 2") + READY
    player.client(parse("SELECT 2") + SYNC).upstream(PARSED + READY)
    for _ in range(3):
        player.client(RUN + SYNC)
        player.upstream(steps[0] + row(b"1") * 2 + steps[1])
    player.sent()
    player.client(RUN + SYNC)
    player.upstream(steps[0] + row(b"1") * 3 + steps[1]).upstream(error("42601", "syntax error") + READY)
    assert kinds(player.sent()[0]) == "2TDDEZ"
