"""What any protocol's session must do, whatever its bytes are. A protocol's test gives the bytes (`Wire`).

class TestLines(SessionContract):
    wire = LineWire()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepost import (
    ALLOW,
    ClientFault,
    Deny,
    EndCode,
    FaultCode,
    Interest,
    PluginFault,
    Rewrite,
    Row,
    Statement,
    UpstreamFault,
    Verdict,
)
from gatepost.adapter import CLIENT, UPSTREAM, Adapter, Close, Environment, Side
from gatepost.testing import (
    Player,
    RecordingHooks,
    Step,
    every_split,
    from_client,
    from_upstream,
    make_environment,
    play,
    said,
)

Cells = tuple[str | None, ...]

DENIED = "SELECT denied"
DENY = Deny(reason="it was denied", rule="contract", hint="ask for less")


def judge(statement: Statement) -> Verdict | None:
    return DENY if statement.text == DENIED else ALLOW


class Wire(ABC):
    """A protocol's bytes, as a client and a database would send them."""

    adapter: Adapter
    illegal: dict[Side, bytes]
    """What a side must not send while nothing is under way."""
    pipelines = True
    """A statement is asked about while the one before it is unanswered."""

    def environment(self, hooks: RecordingHooks) -> Environment:
        return make_environment(hooks)

    @abstractmethod
    def handshake(self, player: Player) -> Player:
        """Bring a session to the point where statements may come."""

    @abstractmethod
    def query(self, text: str) -> bytes:
        """A statement."""

    @abstractmethod
    def answer(self, sent: bytes, rows: list[Cells]) -> bytes:
        """What a database answers to whole messages that gatepost sent it, where each query has these rows."""

    @abstractmethod
    def rows(self, cells: list[Cells]) -> bytes:
        """Rows as they travel, without what stands before and behind them."""


class SessionContract:
    """The tests. A subclass sets `wire`."""

    wire: Wire
    cells: list[Cells] = [("1", "first", None), ("2", "second", ""), ("3", "third", "x" * 300)]

    def player(self, hooks: RecordingHooks | None = None, **changes: Any) -> Player:
        """A session that has begun."""
        environment = self.wire.environment(hooks or RecordingHooks(wants_rows=False, wants_notices=False))
        return Player(self.wire.adapter.session(environment), **{"judge": judge, **changes})

    def serving(self, hooks: RecordingHooks | None = None, **changes: Any) -> Player:
        """A session that waits for its first statement."""
        player = self.wire.handshake(self.player(hooks, **changes))
        assert player.serving
        assert player.session.is_idle
        player.sent()
        return player

    def transcript(self, make: Callable[[], Player], *queries: bytes) -> list[Step]:
        """What is said when a database answers these bytes of a client."""
        player = make()
        steps = []
        for data in queries:
            steps.append(from_client(data))
            player.client(data)
            while sent := player.sent()[1]:
                steps.append(from_upstream(self.wire.answer(sent, self.cells)))
                player.upstream(steps[-1].data or b"")
        assert player.closed is None
        return steps

    def shown(self, data: bytes) -> list[tuple[str, Cells]]:
        return [(shown.kind, shown.cells) for shown in self.wire.adapter.shown([data])]

    @pytest.mark.parametrize("interest", [None, Interest.NOTHING, Interest.EVERYTHING])
    def test_untouched_means_identical(self, interest: Interest | None) -> None:
        player = self.serving(None if interest is None else RecordingHooks(interest))
        query = self.wire.query("SELECT 1")
        player.client(query)
        assert player.sent()[1] == query
        answer = self.wire.answer(query, self.cells)
        player.upstream(answer)
        assert player.sent() == (answer, b"")
        assert player.session.is_idle

    def test_statements_are_asked_for_one_by_one_and_end_with_their_outcome(self) -> None:
        player = play(
            self.serving(), self.transcript(self.serving, self.wire.query("SELECT 1"), self.wire.query("SELECT 2"))
        )
        assert [(statement.number, statement.text) for statement in player.asked] == [(1, "SELECT 1"), (2, "SELECT 2")]
        assert [statement.number for statement, _ in player.ended] == [1, 2]
        for _, outcome in player.ended:
            assert (outcome.complete, outcome.rows, outcome.error) == (True, len(self.cells), "")
            assert outcome.bytes == len(self.wire.rows(self.cells))

    def test_rows_are_shown_once(self) -> None:
        expected = [tuple(None if cell is None else cell.encode() for cell in row) for row in self.cells]
        hooks: list[RecordingHooks] = []

        def make() -> Player:
            hooks.append(RecordingHooks(Interest.EVERYTHING))
            return self.serving(hooks[-1])

        steps = self.transcript(make, self.wire.query("SELECT 1"))
        hooks.clear()
        for how, _ in every_split(make, steps):
            assert hooks[-1].rows_seen == expected, how
            assert len(hooks[-1].results) == 1, how

    def test_rows_are_not_shown_where_nobody_wants_them(self) -> None:
        hooks = RecordingHooks(Interest.NOTHING)
        steps = self.transcript(self.serving, self.wire.query("SELECT 1"))
        play(self.serving(hooks), steps)
        assert hooks.rows_seen == []

    def test_rows_leave_changed(self) -> None:
        def change(row: Row) -> None:
            if row.raw(0) == b"2":
                row.drop()
            if row.raw(1) == b"third":
                row.replace(1, ["longer than third"])
                row.replace(2, [None])

        hooks = RecordingHooks(Interest.EVERYTHING, change_row=change)
        player = play(self.serving(hooks), self.transcript(self.serving, self.wire.query("SELECT 1")))
        left: list[Cells] = [self.cells[0], ("3", "longer than third", None)]
        output = player.sent()[0]
        assert self.wire.rows(left) in output
        assert [cells for kind, cells in self.shown(output) if kind == "row"] == left
        ((_, outcome),) = player.ended
        assert (outcome.rows, outcome.masked, outcome.bytes) == (2, 2, len(self.wire.rows(left)))

    def test_a_denial_is_an_ordinary_error(self) -> None:
        player = self.serving()
        player.client(self.wire.query(DENIED))
        output, sent = player.sent()
        assert DENIED.encode() not in sent
        if sent:
            player.upstream(self.wire.answer(sent, self.cells))
        output += player.sent()[0]
        errors = [cells for kind, cells in self.shown(output) if kind == "error"]
        assert len(errors) == 1
        assert any(DENY.reason in (text or "") for text in errors[0])
        assert player.closed is None
        assert player.ended == []
        assert player.session.is_idle

    def test_the_session_lives_on_after_a_denial(self) -> None:
        query = self.wire.query("SELECT 1")
        steps = self.transcript(self.serving, self.wire.query(DENIED), query)
        player = play(self.serving(), steps)
        assert player.sent()[0].endswith(self.wire.answer(query, self.cells))
        assert [statement.text for statement, _ in player.ended] == ["SELECT 1"]

    def test_answers_stay_in_order_around_a_denial(self) -> None:
        query = self.wire.query("SELECT 1")
        player = play(self.serving(), self.transcript(self.serving, query + self.wire.query(DENIED) + query))
        kinds = [kind for kind, _ in self.shown(player.sent()[0]) if kind in ("error", "tag")]
        assert kinds == ["tag", "error", "tag"]

    def test_a_rewrite_runs_in_the_statements_place(self) -> None:
        rewrite = Rewrite(text="SELECT 2")
        player = self.serving(judge=lambda statement: rewrite if statement.text == "SELECT 1" else ALLOW)
        player.client(self.wire.query("SELECT 1"))
        sent = player.sent()[1]
        assert sent == self.wire.query("SELECT 2")
        player.upstream(self.wire.answer(sent, self.cells))
        ((statement, _),) = player.ended
        assert (statement.text, statement.original) == ("SELECT 2", "SELECT 1")

    def test_splitting_changes_nothing(self) -> None:
        def make() -> Player:
            return self.serving(
                RecordingHooks(Interest.EVERYTHING, change_row=lambda row: row.replace(1, ["another text"]))
            )

        query = self.wire.query("SELECT 1")
        steps = self.transcript(make, query + self.wire.query(DENIED), query)
        plays = every_split(make, [*steps, from_client(None)])
        _, whole = next(plays)
        for how, player in plays:
            assert said(player) == said(whole), how

    def test_an_open_question_holds_back_what_follows(self) -> None:
        held = self.serving(judge=lambda statement: None)
        first, second = self.wire.query("SELECT 1"), self.wire.query("SELECT 2")
        held.client(first + second)
        assert held.sent() == (b"", b"")
        assert not held.session.is_idle
        held.resolve(ALLOW)
        assert held.sent() == (b"", first)
        if not self.wire.pipelines:
            assert not held.is_waiting
            held.upstream(self.wire.answer(first, self.cells))
        assert held.is_waiting

    @pytest.mark.parametrize("side", Side)
    def test_an_illegal_message_ends_the_session(self, side: Side) -> None:
        player = self.serving()
        before = len(player.actions)
        play(player, [Step(side, self.wire.illegal[side])])
        assert player.closed is not None
        assert player.closed.code is (EndCode.CLIENT_FAULT if side is CLIENT else EndCode.UPSTREAM_FAULT)
        assert self.wire.illegal[side] not in b"".join(player.sent())
        assert sum(isinstance(action, Close) for action in player.actions[before:]) == 1

    @pytest.mark.parametrize("side", Side)
    def test_an_end_ends_what_is_under_way(self, side: Side) -> None:
        player = self.serving()
        query = self.wire.query("SELECT 1")
        answer = self.wire.answer(query, self.cells)
        player.client(query).upstream(answer[: len(answer) // 2]).eof(side)
        ((statement, outcome),) = player.ended
        assert (statement.number, outcome.complete) == (1, False)
        assert player.closed is not None
        assert player.closed.code is (EndCode.CLIENT_LEFT if side is CLIENT else EndCode.SERVER_CLOSED)
        assert sum(isinstance(action, Close) for action in player.actions) == 1

    @pytest.mark.parametrize("side", Side)
    def test_an_end_while_idle_ends_nothing_else(self, side: Side) -> None:
        player = self.serving().eof(side)
        assert player.closed is not None
        assert player.ended == []

    def test_an_end_while_a_question_is_open(self) -> None:
        player = self.serving(judge=lambda statement: None).client(self.wire.query("SELECT 1")).eof(UPSTREAM)
        assert player.closed is not None
        assert player.ended == []

    def test_an_end_before_a_word_was_said(self) -> None:
        player = self.player().eof(CLIENT)
        assert player.closed is not None
        assert player.closed.code is EndCode.CLIENT_LEFT

    def test_a_database_that_cannot_be_reached(self) -> None:
        down = UpstreamFault("nobody answers", code=FaultCode.UPSTREAM_DOWN, hint="try again")
        player = self.wire.handshake(self.player(credentials=down))
        assert player.closed is not None
        assert player.closed.code is EndCode.UPSTREAM_FAULT
        assert b"nobody answers" in player.to_client
        assert not player.serving

    @pytest.mark.parametrize(
        "fault", [PluginFault("the record is full"), ClientFault("too much"), UpstreamFault("gone")]
    )
    def test_a_fault_is_told_in_the_protocols_own_form(self, fault: PluginFault | ClientFault | UpstreamFault) -> None:
        player = self.serving().client(self.wire.query("SELECT 1")).fault(fault)
        ((kind, cells),) = self.shown(player.sent()[0])
        assert kind == "error"
        assert any(fault.message in (text or "") for text in cells)
        ((_, outcome),) = player.ended
        assert not outcome.complete
        assert player.closed is not None

    def test_a_plugin_that_fails_on_a_row_lets_none_of_them_leave(self) -> None:
        def fail(row: Row) -> None:
            raise PluginFault("cannot tell")

        hooks = RecordingHooks(Interest.EVERYTHING, change_row=fail)
        player = play(self.serving(hooks), self.transcript(self.serving, self.wire.query("SELECT 1")))
        assert player.closed is not None
        assert player.closed.code is EndCode.PLUGIN_FAULT
        assert b"first" not in player.to_client

    # Each protocol's class runs it with bytes of its own.
    @settings(suppress_health_check=[HealthCheck.differing_executors])
    @given(data=st.data())
    def test_garbage_raises_nothing_but_faults(self, data: st.DataObject) -> None:
        player = data.draw(st.sampled_from([self.player, self.serving]))(RecordingHooks(Interest.EVERYTHING))
        pieces = [self.wire.query("SELECT 1"), self.wire.answer(self.wire.query("SELECT 1"), self.cells)]
        for _ in range(data.draw(st.integers(1, 4))):
            whole = data.draw(st.sampled_from([b"", *pieces]))
            at = data.draw(st.integers(0, len(whole)))
            play(
                player,
                [Step(data.draw(st.sampled_from(Side)), whole[:at] + data.draw(st.binary(max_size=40)) + whole[at:])],
            )

    def test_nobody_else_owns_the_session(self) -> None:
        assert not self.serving().session.owns(b"")
        assert not self.serving().session.owns(bytes(32))
