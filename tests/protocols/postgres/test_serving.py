"""Statements in the simple and the extended protocol, and what is said of them."""

from __future__ import annotations

import pytest
from tests.protocols.postgres.exchange import (
    BOUND,
    EMPTY,
    INT8,
    NO_DATA,
    PARSED,
    READY,
    READY_IN_BLOCK,
    SUSPENDED,
    Backend,
    converse,
    description,
    error,
    errors,
    fault_of,
    kinds,
    notice,
    row,
    serving,
    split,
    tag,
    watching,
)
from tests.wire import FLUSH, SYNC, TERMINATE, bind, describe, execute, message, parse, query

from gatepost.adapter import CLIENT, UPSTREAM, Ask, Limits, SendClient, SendUpstream
from gatepost.testing import RecordingHooks
from gatepost.values import ALLOW, Effect, EndCode, Interest, Notice, Rewrite, Scalar, Statement, Verdict

ANSWER = description("a") + row(b"1") + row(b"2") + tag("SELECT 2") + READY


def test_untouched_messages_leave_as_the_same_object() -> None:
    session = serving().session
    sent = query("SELECT 1")
    (ask,) = session.receive(CLIENT, sent)
    assert isinstance(ask, Ask)
    (forwarded,) = session.resolve(ask.statement, ALLOW)
    assert isinstance(forwarded, SendUpstream)
    assert forwarded.data is sent
    answered, ended = session.receive(UPSTREAM, ANSWER)
    assert isinstance(answered, SendClient)
    assert answered.data is ANSWER
    assert ended.outcome.tag == "SELECT 2"


def test_an_end_comes_behind_the_last_bytes_of_its_answer() -> None:
    player = serving()
    player.client(query("SELECT 1")).upstream(ANSWER)
    assert [type(action).__name__ for action in player.actions[-2:]] == ["SendClient", "Ended"]


def test_a_query_of_several_statements_ends_once() -> None:
    player = serving()
    player.client(query("SELECT 1; SELECT 2"))
    first = description("a") + row(b"1") + tag("SELECT 1")
    player.upstream(first + description("b") + row(b"1") + row(b"2") + tag("SELECT 2"))
    assert player.ended == []
    player.upstream(READY)
    ((statement, outcome),) = player.ended
    assert (statement.facts.statements, outcome.rows, outcome.tag) == (2, 3, "SELECT 2")


def test_an_empty_query() -> None:
    player = serving().client(query("")).upstream(EMPTY + READY)
    ((_, outcome),) = player.ended
    assert (outcome.tag, outcome.error, outcome.complete) == ("", "", True)


def test_an_error_is_the_outcome() -> None:
    player = serving().client(query("SELECT 1/0")).upstream(error("22012", "division by zero") + READY)
    ((_, outcome),) = player.ended
    assert (outcome.error, outcome.message, outcome.complete) == ("22012", "division by zero", True)


def test_a_prepared_statement_is_asked_twice_and_its_execution_has_parameters() -> None:
    player = serving()
    player.client(parse("SELECT $1, $2", "s", [INT8]) + bind("", "s", [b"5", None]) + execute() + SYNC)
    preparation, execution = player.asked
    assert (preparation.is_preparation, preparation.parameters) == (True, ())
    assert (execution.is_preparation, execution.text) == (False, "SELECT $1, $2")
    assert execution.parameters[0] is not None
    assert [scalar.text for scalar in execution.parameters[0]] == ["5"]
    assert execution.parameters[1] is None
    player.upstream(PARSED + BOUND + row(b"x") + tag("SELECT 1") + READY)
    assert [(statement.number, outcome.rows) for statement, outcome in player.ended] == [(1, 0), (2, 1)]


def test_parameters_are_read_by_the_types_that_the_server_told() -> None:
    player = serving()
    player.client(parse("SELECT $1", "s") + describe("S", "s") + SYNC)
    types = message("t", b"\0\1" + INT8.to_bytes(4))
    player.upstream(PARSED + types + description("a") + READY)
    player.client(bind("", "s", [(4111).to_bytes(8)], [1]) + execute() + SYNC)
    (values,) = player.asked[-1].parameters
    assert values is not None
    assert isinstance(values[0], Scalar)
    assert values[0].text == "4111"


def test_a_portal_runs_in_pieces_and_is_asked_once() -> None:
    """Adversary 40: Execute with a row limit, again and again."""
    player, backend = serving(watching()), Backend()
    out = converse(player, backend, query("BEGIN"), parse("SELECT 3") + bind() + execute(limit=1) + SYNC)
    for _ in range(3):
        out += converse(player, backend, execute(limit=1) + SYNC)
    assert kinds(out) == "CZ" + "12DsZ" + "DsZ" + "DsZ" + "CZ"
    assert [statement.text for statement in player.asked] == ["BEGIN", "SELECT 3", "SELECT 3"]
    assert player.ended[-1][1].rows == 3


def test_a_suspended_portal_ends_with_its_transaction() -> None:
    player = serving()
    player.client(parse("SELECT 3") + bind() + execute(limit=1) + SYNC)
    player.upstream(PARSED + BOUND + row(b"1") + SUSPENDED + READY_IN_BLOCK)
    assert len(player.ended) == 1
    player.client(query("COMMIT")).upstream(tag("COMMIT") + READY)
    outcomes = {statement.text: outcome for statement, outcome in player.ended}
    assert (outcomes["SELECT 3"].rows, outcomes["SELECT 3"].complete) == (1, True)
    assert outcomes["COMMIT"].tag == "COMMIT"


def test_a_completed_portal_that_is_executed_again_is_asked_again() -> None:
    player, backend = serving(), Backend()
    converse(player, backend, query("BEGIN"), parse("SELECT 3") + bind("p") + execute("p") + SYNC)
    assert len(player.asked) == 3
    converse(player, backend, execute("p") + SYNC)
    assert [statement.number for statement in player.asked] == [1, 2, 3, 4]
    assert len(player.ended) == 4


def test_a_rewrite_takes_the_place_of_a_query_and_of_a_parse() -> None:
    def rewrite(statement: Statement) -> Verdict:
        return Rewrite(text="SELECT 2") if statement.text == "SELECT 1" else ALLOW

    player = serving(judge=rewrite)
    player.client(query("SELECT 1") + parse("SELECT 1", "s", [INT8]) + bind("", "s") + SYNC)
    assert player.sent()[1] == query("SELECT 2") + parse("SELECT 2", "s", [INT8]) + bind("", "s") + SYNC
    execution = player.asked[-1]
    assert (execution.text, execution.original) == ("SELECT 2", "SELECT 1")


def test_a_rewrite_of_an_execution_is_prepared_beside_the_statement() -> None:
    """What is prepared is not what may run: the new text gets a name of its own, and the client sees none of it."""

    def rewrite(statement: Statement) -> Verdict:
        return ALLOW if statement.is_preparation else Rewrite(text="SELECT 2")

    player, backend = serving(judge=rewrite), Backend()
    client = parse("SELECT 1", "s") + bind("", "s") + execute() + SYNC
    out = converse(player, backend, client, bind("", "s") + execute() + SYNC)
    assert kinds(out) == "12DDDCZ" + "2DDDCZ"
    assert backend.ran == ["SELECT 2", "SELECT 2"]
    assert [statement.text for statement, _ in player.ended] == ["SELECT 1", "SELECT 2", "SELECT 2"]


def test_an_unknown_statement_or_cursor_is_asked_about_by_its_name() -> None:
    player = serving()
    player.client(bind("", 'a "b"') + SYNC + execute("c") + SYNC)
    assert [statement.text for statement in player.asked] == ['EXECUTE "a ""b"""', 'FETCH ALL FROM "c"']
    assert {statement.facts.effect for statement in player.asked} == {Effect.UNKNOWN}
    unknown = error("26000", "does not exist")
    player.upstream(unknown + READY + unknown + READY)
    assert [outcome.error for _, outcome in player.ended] == ["26000", "26000"]
    assert player.session.is_idle


FETCH = "FETCH ALL FROM p"


def test_a_portal_that_was_bound_is_not_fetched_in_sql() -> None:
    player = serving()
    bound = parse("SELECT 1") + bind("p") + SYNC
    player.client(bound).upstream(PARSED + BOUND + READY_IN_BLOCK)
    player.client(query("CLOSE c")).upstream(tag("CLOSE CURSOR") + READY_IN_BLOCK)
    player.sent()
    player.client(query(FETCH) + query("FETCH ALL FROM q"))
    sent = player.sent()[1]
    assert FETCH.encode() not in sent
    assert query("FETCH ALL FROM q") in sent
    player.upstream(error("42601", "syntax error") + READY_IN_BLOCK)
    assert [outcome.error for statement, outcome in player.ended if statement.text == FETCH] == ["42501"]


def test_nor_by_a_fetch_that_was_bound_before() -> None:
    player = serving()
    player.client(parse(FETCH, "f") + bind("g", "f") + parse("SELECT 1") + bind("p") + execute("g") + SYNC)
    assert execute("g") not in player.sent()[1]


ELSEWHERE = "SET search_path = elsewhere"


@pytest.mark.parametrize("late", ["EXECUTE s", "COPY t TO STDOUT", "EXPLAIN ANALYZE SELECT 1 FROM t", "TRUNCATE t"])
@pytest.mark.parametrize(
    "between",
    [
        parse(ELSEWHERE) + bind() + execute(),
        parse("ALTER TABLE t RENAME TO u") + bind() + execute(),
        message("C", b"Ss\0") + parse("SELECT 2", "s"),
    ],
    ids=["another path", "another table", "another statement"],
)
def test_names_that_are_looked_up_late_stand_for_what_they_did(late: str, between: bytes) -> None:
    player = serving()
    for text, name in (("SELECT 1", "s"), (late, "l")):
        player.client(parse(text, name) + SYNC).upstream(PARSED + READY)
    player.sent()
    player.client(bind("p", "l") + execute("p", 1) + between)
    sent = player.sent()[1]
    assert execute("p", 1) in sent
    player.client(execute("p", 2) + SYNC)
    assert execute("p", 2) not in player.sent()[1]


def test_a_statement_that_moves_names_runs_itself() -> None:
    player = serving()
    for text in (ELSEWHERE, "CREATE TABLE t (a int)", "PREPARE q AS SELECT 1", "DEALLOCATE s", "COPY t TO STDOUT"):
        player.client(parse(text) + bind("p") + execute("p") + SYNC)
        assert execute("p") in player.sent()[1]
        player.upstream(PARSED + BOUND + tag("DONE") + READY)
        player.sent()


@pytest.mark.parametrize("end", [message("C", b"Pp\0"), b""], ids=["closed", "at the end of its transaction"])
def test_behind_its_end_a_cursor_of_its_name_is(end: bytes) -> None:
    player = serving()
    player.client(parse("SELECT 1") + bind("p") + end + SYNC)
    player.upstream(PARSED + BOUND + (message("3") + READY_IN_BLOCK if end else READY))
    player.sent()
    player.client(query(FETCH))
    assert player.sent()[1] == query(FETCH)


@pytest.mark.parametrize(
    "sent",
    [
        parse("SELECT 1", "n" * 64),
        bind("n" * 64),
        bind("", "n" * 64),
        describe("S", "n" * 64),
        execute("n" * 64),
        message("C", b"P" + b"n" * 64 + b"\0"),
    ],
)
def test_a_name_that_the_server_would_cut_is_refused(sent: bytes) -> None:
    assert "longer than 63 bytes" in fault_of(serving().client(sent))[1]


def test_a_cursor_made_in_sql_is_executed_with_its_columns_known() -> None:
    hooks = watching()
    player = serving(hooks)
    player.client(execute("c") + SYNC)
    assert player.sent()[1] == describe("P", "c") + execute("c") + SYNC
    player.upstream(description("pan") + row(b"1") + tag("FETCH 1") + READY)
    assert player.sent()[0] == row(b"1") + tag("FETCH 1") + READY
    assert [column.name for column in hooks.results[0].columns] == ["pan"]
    assert hooks.rows_seen == [(b"1",)]


def test_the_rest_of_such_a_cursor_is_asked_about_again() -> None:
    player = serving()
    player.client(execute("c", 1) + SYNC).upstream(row(b"1") + SUSPENDED + READY_IN_BLOCK)
    assert [outcome.rows for _, outcome in player.ended] == [1]
    player.client(execute("c", 1) + SYNC)
    assert [statement.number for statement in player.asked] == [1, 2]


@pytest.mark.parametrize("binary", [0, 1])
def test_rows_that_the_client_did_not_have_described_are_described_to_gatepost(binary: int) -> None:
    hooks = watching()
    player = serving(hooks)
    client = bind("", "s", binary=binary) + execute() + SYNC
    player.client(parse("SELECT $1", "s") + describe("S", "s") + SYNC)
    player.upstream(PARSED + message("t", b"\0\0") + description("a", oid=INT8) + READY)
    player.sent()
    player.client(client)
    assert player.sent()[1] == bind("", "s", binary=binary) + describe("P") + execute() + SYNC
    player.upstream(BOUND + description("a", oid=INT8, binary=binary) + row(bytes(8)) + tag("SELECT 1") + READY)
    assert player.sent()[0] == BOUND + row(bytes(8)) + tag("SELECT 1") + READY
    (column,) = hooks.results[-1].columns
    assert column.is_text == (not binary)


def test_what_the_client_had_described_is_not_described_again() -> None:
    player = serving(watching())
    client = parse("SELECT 1") + bind() + describe("P") + execute(limit=1) + execute() + SYNC
    player.client(client)
    assert player.sent()[1] == client


def test_without_plugins_for_rows_nothing_is_added() -> None:
    player = serving(RecordingHooks(wants_rows=False))
    client = parse("SELECT 1") + bind() + execute() + SYNC
    player.client(client)
    assert player.sent()[1] == client


def test_columns_are_asked_for_once_for_the_same_facts_and_description() -> None:
    hooks = watching()
    player = serving(hooks)
    for _ in range(3):
        player.client(query("SELECT 1")).upstream(ANSWER)
    assert len(hooks.results) == 1
    player.client(query("SELECT 1")).upstream(description("b") + tag("SELECT 0") + READY)
    player.client(query("SELECT a FROM t")).upstream(ANSWER)
    assert len(hooks.results) == 3
    assert hooks.rows_seen == [(b"1",), (b"2",)] * 4


def test_maybe_is_asked_once_for_a_run_of_rows() -> None:
    asked: list[bytes] = []

    def maybe(data: bytes) -> bool:
        asked.append(data)
        return b"2" in data

    hooks = RecordingHooks(Interest(maybe=maybe))
    player = serving(hooks)
    player.client(query("SELECT 1")).upstream(ANSWER)
    assert asked == [row(b"1") + row(b"2")]
    assert hooks.rows_seen == [(b"1",), (b"2",)]
    player.client(query("SELECT 1")).upstream(description("a") + row(b"1") + tag("SELECT 1") + READY)
    assert hooks.rows_seen == [(b"1",), (b"2",)]


def test_a_tagged_column_is_shown_whatever_the_bytes_are() -> None:
    hooks = RecordingHooks(Interest(maybe=lambda data: False, columns=frozenset({0})))
    player = serving(hooks)
    player.client(query("SELECT 1")).upstream(ANSWER)
    assert hooks.rows_seen == [(b"1",), (b"2",)]


def _star(notice: Notice) -> None:
    for name, text in notice.fields.items():
        notice.fields[name] = text.replace("4111", "****")


def test_every_text_of_the_server_is_shown_and_may_be_changed() -> None:
    hooks = watching(change_notice=_star)
    player = serving(hooks)
    server = (
        notice("saw 4111")
        + message("S", b"application_name\x004111\0")
        + message("A", b"\0\0\0\7chan4111\0load4111\0")
        + description("c4111", "d")
        + error("22P02", "invalid 4111", D="detail 4111", H="hint", R="routine")
    )
    player.client(query("SELECT 1")).upstream(server + READY)
    expected = (
        notice("saw ****")
        + message("S", b"application_name\0****\0")
        + message("A", b"\0\0\0\7chan****\0load****\0")
        + description("c****", "d")
        + error("22P02", "invalid ****", D="detail ****", H="hint", R="routine")
    )
    assert player.sent()[0] == expected + READY
    assert player.ended[-1][1].message == "invalid ****"
    assert [column.name for column in hooks.results[0].columns] == ["c****", "d"]


def test_a_tag_and_a_description_of_a_statement_may_be_changed() -> None:
    player = serving(watching(change_notice=_star))
    player.client(parse("SELECT 4111", "s") + describe("S", "s") + bind("", "s") + execute() + SYNC)
    player.upstream(PARSED + message("t", b"\0\0") + description("4111") + BOUND + NO_DATA + tag("SELECT 4111") + READY)
    assert player.sent()[0] == (
        PARSED + message("t", b"\0\0") + description("****") + BOUND + tag("SELECT ****") + READY
    )
    assert player.ended[-1][1].tag == "SELECT ****"


def test_texts_that_are_no_utf8_do_not_leave_unseen() -> None:
    hooks = watching()
    player = serving(hooks).upstream(message("N", b"SNOTICE\0C00000\0M\xff4111\0\0"))
    assert hooks.notices[-1][1]["message"] == "\ufffd4111"
    assert "\ufffd4111".encode() in player.sent()[0]


@pytest.mark.parametrize(
    "status", [message("S", b"client_encoding\0SJIS\0"), message("S", b"standard_conforming_strings\0off\0")]
)
def test_settings_that_change_how_statements_are_read_end_the_session(status: bytes) -> None:
    player = serving().client(query("SELECT f()") + query("SELECT 2"))
    asked = len(player.asked)
    player.upstream(status)
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT
    assert len(player.asked) == asked
    assert status not in player.to_client


@pytest.mark.parametrize(
    "text",
    [
        "SET client_encoding = 'SJIS'",
        "SET NAMES 'latin1'",
        "SELECT 1; SET standard_conforming_strings = off",
        "SELECT set_config('client_encoding', 'SJIS', false)",
        "RESET client_encoding",
    ],
)
def test_such_settings_are_denied_without_asking(text: str) -> None:
    player, backend = serving(), Backend()
    out = converse(player, backend, query(text), parse(text) + SYNC)
    assert kinds(out) == "EZEZ"
    assert errors(out) == ["42501", "42501"]
    assert player.asked == []
    assert player.ended == []
    assert backend.ran == []


@pytest.mark.parametrize("text", ["SET client_encoding TO 'UTF8'", "SET NAMES 'utf-8'", "RESET ALL", "DISCARD ALL"])
def test_settings_that_change_nothing_are_asked_about(text: str) -> None:
    player = serving().client(query(text))
    assert [statement.text for statement in player.asked] == [text]


def test_a_rewrite_cannot_bring_such_a_setting_in() -> None:
    player = serving(judge=lambda statement: Rewrite(text="SET client_encoding = 'SJIS'"))
    out = converse(player, Backend(), query("SELECT 1"))
    assert errors(out) == ["42501"]
    assert [outcome.error for _, outcome in player.ended] == ["42501"]


def test_text_that_is_no_utf8_is_denied() -> None:
    player, backend = serving(), Backend()
    out = converse(
        player, backend, message("Q", b"SELECT '\x95\x5c'\0"), message("P", b"s\0SELECT '\xff'\0\0\0") + SYNC
    )
    assert errors(out) == ["42601", "42601"]
    assert player.asked == []


def test_a_function_call_is_refused_in_order() -> None:
    player, backend = serving(), Backend()
    out = converse(player, backend, query("SELECT 1") + message("F", b"\0\0\0\1\0\0\0\0\0\0") + query("SELECT 2"))
    assert kinds(out) == "TDDDCZ" + "EZ" + "TDDDCZ"
    assert errors(out) == ["0A000"]


def test_a_session_is_idle_only_between_transactions() -> None:
    player, backend = serving(), Backend()
    assert player.session.is_idle
    converse(player, backend, query("BEGIN"))
    assert not player.session.is_idle
    converse(player, backend, query("COMMIT"))
    assert player.session.is_idle
    player.client(parse("SELECT 1"))
    assert not player.session.is_idle
    converse(player, backend, FLUSH)
    player.client(SYNC[:3])
    assert not player.session.is_idle


def test_what_comes_behind_the_farewell_is_not_looked_at() -> None:
    player = serving().client(TERMINATE + query("SELECT 1"))
    player.client(query("SELECT 2"))
    assert player.asked == []
    assert player.sent()[1] == TERMINATE


def test_an_end_in_the_middle_ends_all_that_is_under_way() -> None:
    player = serving()
    player.client(parse("SELECT 1", "s") + bind("", "s") + execute() + SYNC + query("SELECT 2"))
    player.upstream(PARSED + BOUND + row(b"1")).eof(UPSTREAM)
    ends = [(statement.text, outcome.complete, outcome.rows) for statement, outcome in player.ended]
    assert ends == [("SELECT 1", True, 0), ("SELECT 1", False, 1), ("SELECT 2", False, 0)]


def test_an_error_that_ends_the_connection_passes_and_is_the_outcome() -> None:
    fatal = message("E", b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0")
    player = serving().client(query("SELECT 1")).upstream(fatal)
    assert player.sent()[0] == fatal
    player.eof(UPSTREAM)
    ((_, outcome),) = player.ended
    assert (outcome.error, outcome.complete) == ("57P01", False)
    idle = serving().upstream(fatal)
    assert idle.sent()[0] == fatal


def test_statements_and_portals_are_bounded() -> None:
    player, backend = serving(limits=Limits(prepared=3)), Backend()
    batches = [parse("SELECT 1", f"s{index}") + SYNC for index in range(4)]
    out = converse(player, backend, *batches)
    assert kinds(out) == "1Z" * 3 + "EZ"
    assert len(player.asked) == 3
    assert "close" in split(out)[-2][1].decode()


def test_large_statements_are_bounded_by_what_they_take_together() -> None:
    player, backend = serving(limits=Limits(prepared=100, message_bytes=64_000)), Backend()
    long = "SELECT " + "x" * 2000
    named = [parse(long, f"s{index}") + SYNC for index in range(4)]
    assert kinds(converse(player, backend, *named)) == "1Z" * 2 + "EZ" * 2
    # Small ones are bounded by their number.
    assert kinds(converse(player, backend, parse("SELECT 1", "small") + SYNC)) == "1Z"
    assert kinds(converse(player, backend, parse(long) + SYNC)) == "EZ"
    # What is replaced takes no room.
    assert kinds(converse(player, backend, message("C", b"Ss1\0") + SYNC, *[parse(long) + SYNC] * 3)) == "3Z" + "1Z" * 3


def test_large_portals_are_bounded_by_what_they_take_together() -> None:
    player, backend = serving(limits=Limits(prepared=100, message_bytes=64_000)), Backend()
    converse(player, backend, parse("SELECT $1", "s") + SYNC)
    large = b"".join(bind(f"p{index}", "s", [b"x" * 30_000]) for index in range(4))
    assert kinds(converse(player, backend, large + SYNC)) == "222EZ"


def test_answers_that_are_owed_are_bounded_and_nothing_is_lost() -> None:
    player, backend = serving(limits=Limits(pipeline=10)), Backend()
    many = parse("SELECT 1", "s") + b"".join(bind("", "s") + execute() for _ in range(50)) + SYNC
    out = converse(player, backend, many)
    assert kinds(out) == "1" + "2DDDC" * 50 + "Z"
    assert len(player.ended) == 51
