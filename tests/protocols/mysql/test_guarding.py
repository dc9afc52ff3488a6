"""A limited statement that shows what it changes, as transcripts: kept or undone, with and without a transaction."""

from __future__ import annotations

import struct

import pytest
from tests import mysql_wire as wire
from tests.protocols.mysql.exchange import said, serving

from gatepost import ALLOW, Limit, Statement
from gatepost.testing import Player, every_split, from_client, from_upstream

IN_TRANSACTION, AUTOCOMMIT = 1, 2
TEXT = "DELETE FROM t WHERE a > 0 RETURNING a"
SAVEPOINT, RELEASE = "SAVEPOINT `gatepost limit`", "RELEASE SAVEPOINT `gatepost limit`"
BACK = "ROLLBACK TO SAVEPOINT `gatepost limit`"
BEGIN, END = "SET autocommit = 0", "SET autocommit = 1"
COMMIT, ROLLBACK = "COMMIT AND NO CHAIN NO RELEASE", "ROLLBACK AND NO CHAIN NO RELEASE"


def limited(statement: Statement) -> Limit:
    return Limit(rows=2, rule="two", hint="Change fewer.", plugin="policy")


def ok(status: int, warnings: int = 0) -> bytes:
    return wire.packet(1, b"\0\0\0" + struct.pack("<HH", status, warnings))


def answer(rows: int, status: int) -> bytes:
    cells = [wire.text_row(str(number)) for number in range(rows)]
    return wire.result([wire.definition("a")], cells, status=status)


def play(made: Player, *steps: tuple[str, bytes]) -> Player:
    """Each text is what gatepost is to send next, answered by the bytes."""
    for text, answered in steps:
        assert bytes(made.sent()[1]) == wire.query(text)
        made.upstream(answered)
    return made


def test_what_is_within_the_limit_is_committed_before_its_end_is_told() -> None:
    made = serving(judge=limited).client(wire.query(TEXT))
    play(made, (SAVEPOINT, ok(AUTOCOMMIT)), (BEGIN, ok(0)))
    assert made.sent()[1] == wire.query(TEXT)
    made.upstream(answer(2, IN_TRANSACTION))
    client, upstream = made.sent()
    whole = answer(2, AUTOCOMMIT)
    assert whole.startswith(client)
    assert client != whole
    assert upstream == wire.query(COMMIT)
    made.upstream(ok(0))
    assert made.sent() == (b"", wire.query(END))
    assert not made.ended
    made.upstream(ok(AUTOCOMMIT))
    assert client + made.sent()[0] == whole
    ((_, outcome),) = made.ended
    assert (outcome.rows, outcome.error) == (2, "")
    assert made.session.is_idle


def test_one_row_too_many_is_told_when_all_is_undone() -> None:
    def make() -> Player:
        return serving(judge=limited)

    steps = [
        from_client(wire.query(TEXT) + wire.command(wire.PING)),
        from_upstream(ok(AUTOCOMMIT)),
        from_upstream(ok(0)),
        from_upstream(answer(5, IN_TRANSACTION)),
        from_upstream(ok(0)),
        from_upstream(ok(AUTOCOMMIT)),
        from_upstream(wire.packet(1, wire.ok())),
    ]
    for how, made in every_split(make, steps):
        sent = [payload[1:].decode() for _, payload in wire.split(bytes(made.to_upstream)) if payload[0] == wire.QUERY]
        assert sent[-5:] == [SAVEPOINT, BEGIN, TEXT, ROLLBACK, END], how
        *_, error, pong = wire.split(bytes(made.to_client))
        assert (error[0], error[1][:1]) == (5, b"\xff"), how
        assert b"more than 2 rows" in error[1], how
        assert b"is undone (rule" in error[1], how
        assert pong == (1, wire.ok()), how
        assert [outcome.error for _, outcome in made.ended] == ["1142"], how


@pytest.mark.parametrize(("rows", "after", "is_told"), [(2, RELEASE, False), (3, BACK, True)])
@pytest.mark.parametrize("status", [IN_TRANSACTION | AUTOCOMMIT, 0])
def test_a_transaction_goes_on(status: int, rows: int, after: str, is_told: bool) -> None:
    """Without autocommit there is one, or there is from the statement on."""
    made = serving(judge=limited).client(wire.query(TEXT))
    play(made, (SAVEPOINT, ok(status)))
    assert made.sent()[1] == wire.query(TEXT)
    made.upstream(answer(rows, status | IN_TRANSACTION))
    client, upstream = made.sent()
    assert upstream == wire.query(after)
    made.upstream(ok(status | IN_TRANSACTION))
    last = said(client + made.sent()[0])[-1]
    assert (b"is undone" in last) is is_told
    assert not made.session.is_idle
    assert made.closed is None


def test_tables_without_transactions_are_told_of() -> None:
    made = serving(judge=limited).client(wire.query(TEXT))
    play(made, (SAVEPOINT, ok(AUTOCOMMIT)), (BEGIN, ok(0)), (TEXT, answer(3, IN_TRANSACTION)))
    made.upstream(ok(0, warnings=1))
    made.upstream(ok(AUTOCOMMIT))
    assert b"but in tables without transactions" in made.sent()[0]


def test_a_statement_that_fails_is_an_error_as_ever() -> None:
    made = serving(judge=limited).client(wire.query(TEXT))
    play(made, (SAVEPOINT, ok(AUTOCOMMIT)), (BEGIN, ok(0)), (TEXT, wire.packet(1, wire.err(1146, "no table"))))
    play(made, (COMMIT, ok(0)), (END, ok(AUTOCOMMIT)))
    assert said(made.sent()[0]) == [wire.err(1146, "no table")]
    assert [outcome.error for _, outcome in made.ended] == ["1146"]


def test_a_deadlock_that_ends_the_transaction_leaves_no_savepoint() -> None:
    made = serving(judge=limited).client(wire.query(TEXT))
    play(
        made, (SAVEPOINT, ok(IN_TRANSACTION | AUTOCOMMIT)), (TEXT, wire.packet(1, wire.err(1213, "Deadlock", "40001")))
    )
    play(made, (RELEASE, wire.packet(1, wire.err(1305, "no savepoint"))))
    assert said(made.sent()[0]) == [wire.err(1213, "Deadlock", "40001")]
    assert made.closed is None


def test_a_commit_that_fails_is_told_in_the_answers_place() -> None:
    made = serving(judge=limited).client(wire.query(TEXT))
    play(made, (SAVEPOINT, ok(AUTOCOMMIT)), (BEGIN, ok(0)), (TEXT, answer(1, IN_TRANSACTION)))
    client, upstream = made.sent()
    assert upstream == wire.query(COMMIT)
    made.upstream(wire.packet(1, wire.err(1180, "Got error during COMMIT")))
    play(made, (END, ok(AUTOCOMMIT)))
    assert said(client + made.sent()[0])[-1] == wire.err(1180, "Got error during COMMIT")
    assert [outcome.error for _, outcome in made.ended] == ["1180"]


def test_where_no_savepoint_can_be_set_the_statement_does_not_run() -> None:
    made = serving(judge=limited).client(wire.query(TEXT))
    play(made, (SAVEPOINT, wire.packet(1, wire.err(1399, "XAER_RMFAIL", "XAE07"))))
    client, upstream = made.sent()
    assert (said(client), upstream) == ([wire.err(1399, "XAER_RMFAIL", "XAE07")], b"")
    assert made.session.is_idle


@pytest.mark.parametrize("rows", [2, 3])
def test_a_session_that_cannot_be_brought_back_ends(rows: int) -> None:
    made = serving(judge=limited).client(wire.query(TEXT))
    play(made, (SAVEPOINT, ok(IN_TRANSACTION | AUTOCOMMIT)), (TEXT, answer(rows, IN_TRANSACTION | AUTOCOMMIT)))
    made.sent()
    made.upstream(wire.packet(1, wire.err(1305, "no savepoint")))
    assert made.closed is not None
    assert [(outcome.rows, outcome.complete) for _, outcome in made.ended] == [(2, False)]


def test_an_execution_opens_no_cursor() -> None:
    made = serving(judge=lambda statement: ALLOW if statement.is_preparation else limited(statement))
    made.client(wire.command(wire.PREPARE, TEXT.encode()))
    made.upstream(wire.packets(1, struct.pack("<BIHHBH", 0, 1, 1, 0, 0, 0), wire.definition("a")))
    made.sent()
    execution = struct.pack("<IBI", 1, 1, 1)
    made.client(wire.command(wire.EXECUTE, execution))
    play(made, (SAVEPOINT, ok(AUTOCOMMIT)), (BEGIN, ok(0)))
    assert made.sent()[1] == wire.command(wire.EXECUTE, struct.pack("<IBI", 1, 0, 1))
    rows = [b"\0\0" + wire.counted(str(number).encode()) for number in range(3)]
    made.upstream(wire.result([wire.definition("a")], rows, status=IN_TRANSACTION))
    client, _ = made.sent()
    made.upstream(ok(0)).upstream(ok(AUTOCOMMIT))
    assert b"is undone" in said(client + made.sent()[0])[-1]


@pytest.mark.parametrize("text", ["DELETE FROM t WHERE a > 0", "SELECT a FROM t", "SELECT a FROM t FOR UPDATE"])
def test_what_shows_no_rows_that_it_changes_has_nothing_around_it(text: str) -> None:
    made = serving(judge=limited).client(wire.query(text))
    assert made.sent()[1] == wire.query(text)
