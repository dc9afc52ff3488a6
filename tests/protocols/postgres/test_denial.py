"""A denial is an ordinary error: in its turn, with the state of the transaction that an error leaves."""

from __future__ import annotations

import pytest
from tests.protocols.postgres.exchange import (
    BOUND,
    DENY,
    PARSED,
    READY,
    READY_FAILED,
    Backend,
    converse,
    error,
    errors,
    kinds,
    serving,
    split,
    tag,
    texts,
)
from tests.wire import FLUSH, SYNC, bind, describe, execute, message, parse, query

from gatepost.values import ALLOW, Deny, DenyCode, Statement, Verdict


def test_a_denial_says_what_who_why_and_what_to_do() -> None:
    out = converse(serving(), Backend(), query("SELECT denied"))
    ((kind, body), ready) = split(out)
    assert kind == "E"
    assert texts(body) == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "42501",
        "M": "it was denied",
        "D": "rule policy: r1",
        "H": "ask for less",
    }
    assert ready == ("Z", b"I")


@pytest.mark.parametrize(
    ("code", "sqlstate"),
    [
        (DenyCode.DENIED, "42501"),
        (DenyCode.CANCELLED, "57014"),
        (DenyCode.UNAVAILABLE, "58030"),
        (DenyCode.SYNTAX, "42601"),
    ],
)
def test_codes(code: DenyCode, sqlstate: str) -> None:
    player = serving(judge=lambda statement: Deny(reason="no\0", code=code))
    assert errors(converse(player, Backend(), query("SELECT 1"))) == [sqlstate]


def test_a_denied_statement_never_reaches_the_database_and_has_no_end() -> None:
    player = serving()
    player.client(query("SELECT denied"))
    assert b"SELECT denied" not in player.sent()[1]
    player.upstream(error("42601", "syntax error") + READY)
    assert player.ended == []
    assert player.session.is_idle


def test_a_denial_in_a_transaction_leaves_it_aborted() -> None:
    player, backend = serving(), Backend()
    out = converse(player, backend, query("BEGIN"), query("SELECT denied"), query("SELECT 1"), query("ROLLBACK"))
    assert [body for kind, body in split(out) if kind == "Z"] == [b"T", b"E", b"E", b"I"]
    assert errors(out) == ["42501", "25P02"]


def test_nothing_runs_behind_a_denial_in_its_batch() -> None:
    """Adversary 34: Parse(denied) Bind Execute Parse(ok) Bind Execute Sync."""
    player, backend = serving(), Backend()
    out = converse(
        player,
        backend,
        parse("SELECT denied") + bind() + execute() + parse("SELECT 1") + bind() + describe("P") + execute() + SYNC,
        query("SELECT 2"),
    )
    assert kinds(out) == "EZ" + "TDDDCZ"
    assert backend.ran == ["SELECT 2"]
    assert [statement.text for statement in player.asked] == ["SELECT denied", "SELECT 2"]


def test_an_execution_may_be_denied_where_its_preparation_was_not() -> None:
    def judge(statement: Statement) -> Verdict:
        return ALLOW if statement.is_preparation else DENY

    player, backend = serving(judge=judge), Backend()
    out = converse(player, backend, parse("SELECT 1", "s") + bind("", "s") + execute() + SYNC)
    assert kinds(out) == "1EZ"
    assert backend.ran == []
    assert [statement.is_preparation for statement, _ in player.ended] == [True]


def test_what_ran_ahead_of_a_denial_is_answered_ahead_of_it() -> None:
    player, backend = serving(), Backend()
    out = converse(
        player, backend, parse("SELECT 1") + bind() + execute() + parse("SELECT denied", "d") + bind("", "d") + SYNC
    )
    assert kinds(out) == "12DDDC" + "EZ"


def test_a_denial_vanishes_behind_an_error_of_the_server() -> None:
    player, backend = serving(), Backend()
    batch = parse("FAIL") + bind() + execute() + parse("SELECT denied") + bind() + execute() + SYNC
    out = converse(player, backend, batch + query("SELECT 1"))
    assert kinds(out) == "12EZ" + "TDDDCZ"
    assert errors(out) == ["22012"]


def test_a_denial_that_comes_after_the_server_has_failed_is_not_sent() -> None:
    player = serving(judge=lambda statement: None if statement.text == "SELECT 2" else ALLOW)
    player.client(parse("FAIL") + bind() + execute() + FLUSH + parse("SELECT 2") + SYNC)
    player.upstream(PARSED + BOUND + error("22012", "division by zero"))
    player.sent()
    player.resolve(DENY).upstream(READY)
    assert player.sent() == (READY, SYNC)
    assert player.session.is_idle


def test_a_denied_parse_leaves_the_unnamed_statement_as_it_was() -> None:
    player, backend = serving(), Backend()
    out = converse(
        player, backend, parse("SELECT 1") + SYNC + parse("SELECT denied") + SYNC + bind() + execute() + SYNC
    )
    assert kinds(out) == "1Z" + "EZ" + "2DDDCZ"
    assert [statement.text for statement in player.asked] == ["SELECT 1", "SELECT denied", "SELECT 1"]


def test_a_denial_in_an_aborted_transaction_is_told_all_the_same() -> None:
    player, backend = serving(), Backend()
    out = converse(player, backend, query("BEGIN"), query("FAIL"), query("SELECT denied"))
    assert errors(out) == ["22012", "42501"]
    assert out.endswith(READY_FAILED)


def test_an_error_that_ends_the_session_is_not_taken_for_a_denial() -> None:
    fatal = message("E", b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0")
    player = serving().client(query("SELECT denied")).upstream(fatal)
    assert player.sent()[0] == fatal


def test_two_denials_in_a_row() -> None:
    player, backend = serving(), Backend()
    out = converse(
        player, backend, query("SELECT denied") * 2 + (parse("SELECT denied") + SYNC) * 2 + query("SELECT 1")
    )
    assert kinds(out) == "EZ" * 4 + "TDDDCZ"


def test_the_name_that_gatepost_uses_itself_is_refused() -> None:
    player, backend = serving(), Backend()
    out = converse(player, backend, parse("SELECT 1", "gatepost") + bind("", "gatepost") + execute() + SYNC)
    assert kinds(out) == "EZ"
    assert backend.ran == []


def test_an_answer_to_a_denial_is_an_error_or_the_database_is_at_fault() -> None:
    player = serving().client(query("SELECT denied")).upstream(PARSED)
    assert player.closed is not None
    assert tag("SELECT 1") not in player.to_client
