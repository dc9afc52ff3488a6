"""The test kit: rows without a database, sessions without a socket."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from tests.core.line_protocol import LineCatalogue

from gatepost import (
    ALLOW,
    Column,
    Deny,
    EndCode,
    Interest,
    Kind,
    Limit,
    Notice,
    NoticeKind,
    Outcome,
    PastStatement,
    Reason,
    Rewrite,
    Statement,
    Target,
    UpstreamFault,
    Verdict,
)
from gatepost.adapter import (
    CLIENT,
    UPSTREAM,
    Action,
    Ask,
    Authenticate,
    Close,
    Connect,
    Ended,
    SendClient,
    SendUpstream,
    Serving,
    Side,
    StartTls,
)
from gatepost.errors import ClientFault, Fault, FaultCode
from gatepost.testing import (
    AGENT,
    FakeGateway,
    Player,
    RecordingHooks,
    every_split,
    from_client,
    from_upstream,
    make_batch,
    make_environment,
    make_result,
    make_row,
    make_session,
    make_statement,
    play,
    said,
)
from gatepost.values import CredentialKind, Credentials

BIGINT = Column(name="n", kind=Kind.INTEGER, is_text=False)
LIST = Column(name="l", kind=Kind.ARRAY, is_text=True, element=Kind.TEXT)


def test_values_take_changes() -> None:
    assert make_session(user="bob").user == "bob"
    assert make_session().identity is AGENT
    assert make_statement("DELETE FROM t", number=3).number == 3
    assert [column.name for column in make_result("a", BIGINT).columns] == ["a", "n"]


def test_a_row_reads_as_a_protocols_row_does() -> None:
    row = make_row(["a", "b", BIGINT, LIST], "x", None, "4111", ["p", None, "q"])
    assert row.raw(0) == b"x"
    assert row.raw(1) is None
    assert row.scalars(1) == ()
    assert b"4111" not in (row.raw(2) or b"")
    assert [(scalar.kind, scalar.text) for scalar in row.scalars(2)] == [(Kind.INTEGER, "4111")]
    assert [scalar.text for scalar in row.scalars(3)] == ["p", "q"]


def test_rows_are_changed_and_dropped() -> None:
    batch = make_batch(["a", BIGINT, LIST], ["x", "1", ["p", None, "q"]], ["y", "2", None], ["z", "3", []])
    batch.row(0).replace(0, ["longer"])
    batch.row(0).replace(2, ["P", None])
    batch.row(1).redact(0, "[removed]")
    batch.row(1).redact(1, "[removed]")
    batch.row(2).drop()
    assert batch.values == [("longer", "1", ("P", None, None)), ("[removed]", None, None)]
    assert batch.masked == 4


def test_a_number_holds_no_text() -> None:
    row = make_row([BIGINT], "1")
    with pytest.raises(ValueError, match="literal"):
        row.replace(0, ["****"])
    with pytest.raises(ValueError, match="one text"):
        row.replace(0, [])


def test_patches_and_arrays() -> None:
    batch = make_batch(["a", "b"], ["1", "4111"], ["2", None], ["3", "4222"])
    hits = batch.offsets(1)[batch.lengths(1) == 4]
    batch.patch(hits[:, np.newaxis] + np.arange(2), ord("*"), 2)
    assert batch.values == [("1", "**11"), ("2", None), ("3", "**22")]
    assert batch.masked == 2


def test_a_batch_shows_changes_at_length_once_settled() -> None:
    batch = make_batch(["a"], ["x"], ["y"])
    batch.row(0).replace(0, ["longer"])
    batch.settle()
    assert batch.lengths(0).tolist() == [6, 1]
    assert b"longer" in batch.buffer


class Shouting:
    def on_store(self, text: str) -> str | None:
        return text.upper() if text != "quiet" else None


def test_a_gateway_of_ones_own(tmp_path: Path) -> None:
    target = Target(name="shop", protocol="line", host="127.0.0.1", port=1)
    gateway = FakeGateway(tmp_path, plugins=[Shouting(), object()], targets=[target])
    assert gateway.redact("secret") == "SECRET"
    assert gateway.redact("quiet") == "quiet"
    assert (gateway.state, gateway.targets, gateway.worker) == (tmp_path, (target,), 0)


def test_a_gateway_that_knows_its_databases_and_its_past(tmp_path: Path) -> None:
    target, catalogue = Target(name="shop", protocol="line", host="127.0.0.1", port=1), LineCatalogue()
    past = [PastStatement(at=at, session=make_session(), statement=make_statement(), verdict="allow") for at in (1, 2)]
    gateway = FakeGateway(tmp_path, catalogues={"shop": catalogue}, past=past)
    assert asyncio.run(gateway.catalogue(target)) is catalogue
    assert asyncio.run(FakeGateway(tmp_path).catalogue(target)) is None
    assert list(gateway.past_statements(1, 2)) == past[:1]


def test_hooks_record_and_change() -> None:
    def shorten(notice: Notice) -> None:
        notice.fields["message"] = "…"

    hooks = RecordingHooks(Interest.EVERYTHING, change_row=lambda row: row.drop(), change_notice=shorten)
    batch = make_batch(["a"], ["x"], [None])
    result = make_result("a")
    assert hooks.columns(result) is Interest.EVERYTHING
    hooks.rows(batch, Interest.EVERYTHING)
    notice = Notice(NoticeKind.NOTICE, {"message": "text"})
    hooks.notice(notice)
    assert hooks.results == [result]
    assert hooks.rows_seen == [(b"x",), (None,)]
    assert batch.values == []
    assert hooks.notices == [("notice", {"message": "text"})]
    assert notice.fields == {"message": "…"}


class Lines:
    """A protocol of lines: `login`, then statements; the database answers each with a line. `!` is a fault."""

    is_idle = True

    def __init__(self) -> None:
        self._input = {CLIENT: b"", UPSTREAM: b""}
        self._number = 0
        self._running: list[Statement] = []

    def begin(self) -> list[Action]:
        return [SendClient(b"hello\n")]

    def receive(self, side: Side, data: bytes) -> list[Action]:
        self._input[side] += data
        return self._next(side)

    def _next(self, side: Side) -> list[Action]:
        line, end, rest = self._input[side].partition(b"\n")
        if not end:
            return []
        self._input[side] = rest
        if side is UPSTREAM:
            return [SendClient(line + end), Ended(self._running.pop(0), Outcome()), *self._next(side)]
        match line:
            case b"!":
                raise ClientFault("no such line")
            case b"tls":
                return [StartTls(CLIENT)]
            case b"login":
                return [Authenticate(credentials=Credentials(kind=CredentialKind.PASSWORD, user="u"))]
            case b"quit":
                return [Close(Reason(code=EndCode.CLIENT_LEFT))]
        self._number += 1
        return [Ask(make_statement(line.decode(), number=self._number))]

    def eof(self, side: Side) -> list[Action]:
        ended = [Ended(statement, Outcome(complete=False)) for statement in self._running]
        return [*ended, Close(Reason(code=EndCode.CLIENT_LEFT if side is CLIENT else EndCode.SERVER_CLOSED))]

    def tls_started(self, side: Side, info: object) -> list[Action]:
        return [SendClient(b"safe\n"), *self._next(CLIENT)]

    def authenticated(self, answer: object) -> list[Action]:
        return [Connect(AGENT)] if answer is AGENT else [Close(Reason(code=EndCode.REFUSED))]

    def connected(self, credentials: object, restriction: object) -> list[Action]:
        return [Serving(), *self._next(CLIENT)]

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        if isinstance(verdict, Deny):
            return [SendClient(b"no\n"), *self._next(CLIENT)]
        self._running.append(statement)
        return [SendUpstream(statement.text.encode() + b"\n"), *self._next(CLIENT)]

    def restate(self, statement: Statement, text: str) -> Statement:
        return make_statement(text, number=statement.number)

    def fault(self, fault: Fault, code: EndCode) -> list[Action]:
        return [SendClient(fault.message.encode()), Close(Reason(code=code, text=fault.message))]

    def owns(self, secret: bytes) -> bool:
        return False

    def cancel_upstream(self) -> None:
        return None


TRANSCRIPT = [
    from_client(b"tls\nlogin\none\ntwo\n"),
    from_upstream(b"1\n2\n"),
    from_client(b"three\n"),
    from_client(None),
]


def test_a_transcript_is_played() -> None:
    player = play(Player(Lines()), TRANSCRIPT)
    assert player.to_client == b"hello\nsafe\n1\n2\n"
    assert player.to_upstream == b"one\ntwo\nthree\n"
    assert player.serving
    assert [statement.text for statement in player.asked] == ["one", "two", "three"]
    assert [outcome.complete for _, outcome in player.ended] == [True, True, False]
    assert player.closed == Reason(code=EndCode.CLIENT_LEFT)


def test_every_split_says_the_same() -> None:
    played = dict(every_split(lambda: Player(Lines()), TRANSCRIPT))
    assert len(played) == 2 + sum(len(step.data or b"x") - 1 for step in TRANSCRIPT)
    assert all(said(player) == said(played["whole"]) for player in played.values())


def test_a_split_that_matters_is_seen() -> None:
    class Hasty(Lines):
        def receive(self, side: Side, data: bytes) -> list[Action]:
            return super().receive(side, data if side is UPSTREAM or data.endswith(b"\n") else data + b"\n")

    whole, *cut = (said(player) for _, player in every_split(lambda: Player(Hasty()), TRANSCRIPT[:1]))
    assert any(each != whole for each in cut)


def test_a_question_left_open_holds_the_client_and_not_the_database() -> None:
    player = Player(Lines(), judge=lambda statement: None if statement.text == "two" else ALLOW)
    player.client(b"one\ntwo\n").client(b"three\n")
    assert player.is_waiting
    assert player.sent() == (b"hello\n", b"one\n")
    player.upstream(b"1\n")
    assert player.sent() == (b"1\n", b"")
    player.resolve(ALLOW)
    assert player.sent() == (b"", b"two\nthree\n")


def test_a_limit_comes_with_the_statement() -> None:
    class Counting(Lines):
        def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
            return [SendClient(f"{statement.limit.rows if statement.limit else 0}\n".encode())]

    player = Player(Counting(), judge=lambda statement: Limit(rows=3) if statement.text == "one" else ALLOW)
    player.client(b"one\n").client(b"two\n")
    assert player.sent()[0] == b"hello\n3\n0\n"


def test_verdicts() -> None:
    verdicts = {"one": Deny(reason="no"), "two": Rewrite(text="zwei")}
    player = Player(Lines(), judge=lambda statement: verdicts.get(statement.text, ALLOW)).client(b"one\ntwo\nthree\n")
    assert (player.to_client, player.to_upstream) == (b"hello\nno\n", b"zwei\nthree\n")


def test_a_fault_ends_the_session() -> None:
    player = Player(Lines()).client(b"!\n")
    assert player.closed == Reason(code=EndCode.CLIENT_FAULT, text="no such line")
    assert player.client(b"more\n").to_client == b"hello\nno such line"


def test_a_refused_login_and_a_database_that_is_down() -> None:
    refused = Player(Lines(), authenticate=lambda question: None).client(b"login\n")
    assert refused.closed == Reason(code=EndCode.REFUSED)
    down = Player(Lines(), credentials=UpstreamFault("down", code=FaultCode.UPSTREAM_DOWN)).client(b"login\n")
    assert down.closed == Reason(code=EndCode.UPSTREAM_FAULT, text="down")


def test_a_session_that_goes_on_after_a_question_is_caught() -> None:
    class Impatient(Lines):
        def receive(self, side: Side, data: bytes) -> list[Action]:
            return [*super().receive(side, data), SendClient(b"?")]

    with pytest.raises(AssertionError, match="Ask"):
        Player(Impatient()).client(b"one\n")


def test_an_environment() -> None:
    assert make_environment(number=9).number == 9
    assert make_environment().hooks.wants_rows is False
