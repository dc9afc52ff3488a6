"""Answers of many rows in large chunks, cut anywhere: what leaves is what leaves of them row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.protocols.postgres.exchange import READY, description, fault_of, row, serving, tag, watching
from tests.wire import message, query

from gatepost.adapter import Limits
from gatepost.testing import Player, RecordingHooks
from gatepost.values import ALLOW, EndCode, Interest, Limit, Row, Statement, Verdict

COUNT = 1500
ROWS = [row(b"%d" % number, b"USD", None, b"x" * (number % 90)) for number in range(COUNT)]
BEGIN = description("id", "currency", "nothing", "note")
ANSWER = BEGIN + b"".join(ROWS) + tag(f"SELECT {COUNT}") + READY
LINES = [message("d", b"%d\tdd\t" % number + b"d" * (number % 90) + b"\n") for number in range(COUNT)]
COPY = message("H", b"\0\0\2\0\0\0\0") + b"".join(LINES) + message("c") + tag(f"COPY {COUNT}") + READY

# Chunks of one size, and those that begin or end with a row, or amid its header.
EDGE = len(BEGIN) + sum(map(len, ROWS[:700]))
CUTS = [
    [],
    *(list(range(size, len(ANSWER), size)) for size in (1000, 24_577, 50_001)),
    *([at] for at in range(EDGE - 2, EDGE + 9)),
    [len(BEGIN), EDGE],
    [len(BEGIN) + 3, len(ANSWER) - len(READY)],
]


def unwatched() -> RecordingHooks:
    return RecordingHooks(wants_rows=False, wants_notices=False)


def changing() -> RecordingHooks:
    """Every hundredth row is dropped, and the ones behind it get shorter, or stay as long."""

    def change(line: Row) -> None:
        raw = line.raw(0) or b""
        number = int(raw.partition(b"\t")[0])
        if number % 100 == 0:
            line.drop()
        elif number % 100 == 1:
            line.replace(0, ["0"])
        elif number % 100 == 2:
            line.replace(0, ["0" * (len(raw) - raw.count(b"\n"))])

    return watching(change_row=change)


def play(hooks: RecordingHooks, answer: bytes, cuts: Sequence[int], text: str = "SELECT 1") -> tuple[Player, list[int]]:
    """The player afterwards, and how much had left for the client after each chunk."""
    player = serving(hooks)
    player.client(query(text)).sent()
    left = []
    for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        player.upstream(answer[start:end])
        left.append(len(player.to_client))
    return player, left


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("make", [unwatched, RecordingHooks, watching])
@pytest.mark.parametrize(("text", "answer", "rows"), [("SELECT 1", ANSWER, ROWS), ("COPY t TO STDOUT", COPY, LINES)])
def test_rows_leave_as_they_came(
    text: str, answer: bytes, rows: list[bytes], make: Callable[[], RecordingHooks], cuts: list[int]
) -> None:
    hooks = make()
    player, _ = play(hooks, answer, [cut for cut in cuts if cut < len(answer)], text)
    assert player.sent()[0] == answer
    ((_, outcome),) = player.ended
    assert (outcome.rows, outcome.bytes) == (COUNT, sum(map(len, rows)))
    assert len(hooks.rows_seen) == (COUNT if hooks.interest == Interest.EVERYTHING else 0)


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize(("text", "answer"), [("SELECT 1", ANSWER), ("COPY t TO STDOUT", COPY)])
def test_rows_leave_changed_alike(text: str, answer: bytes, cuts: list[int]) -> None:
    expected, _ = play(changing(), answer, list(range(1000, len(answer), 1000)), text)
    player, _ = play(changing(), answer, [cut for cut in cuts if cut < len(answer)], text)
    assert player.sent()[0] == expected.sent()[0] != answer
    assert player.ended[0][1] == expected.ended[0][1]
    assert player.ended[0][1].rows == COUNT - COUNT // 100


@pytest.mark.parametrize("cut", range(EDGE - 2, EDGE + 9))
def test_whole_rows_leave_and_the_begin_of_another_waits(cut: int) -> None:
    _, left = play(watching(), ANSWER, [cut])
    assert left[0] - left[1] + len(ANSWER) == (EDGE if cut >= EDGE else EDGE - len(ROWS[699]))


def test_the_same_answer_again_leaves_as_it_came() -> None:
    hooks = watching()
    player = serving(hooks)
    for _ in range(3):
        player.client(query("SELECT 1"))
        player.sent()
        player.upstream(ANSWER)
        assert player.sent()[0] == ANSWER
    assert [outcome.rows for _, outcome in player.ended] == [COUNT] * 3
    assert len(hooks.rows_seen) == 3 * COUNT


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("rows", [0, 1, 700, COUNT - 1, COUNT])
def test_no_row_too_many_leaves(rows: int, cuts: list[int]) -> None:
    def judge(statement: Statement) -> Verdict | Limit:
        return Limit(rows=rows, rule="few", hint="Ask for less.", plugin="policy") if "1" in statement.text else ALLOW

    for hooks in (unwatched(), watching()):
        player = serving(hooks, judge=judge)
        player.client(query("SELECT 1")).sent()
        for start, end in zip([0, *cuts], [*cuts, len(ANSWER)], strict=True):
            player.upstream(ANSWER[start:end])
        sent = player.sent()[0]
        if rows == COUNT:
            assert sent == ANSWER
        else:
            assert sent == BEGIN + b"".join(ROWS[:rows])


@pytest.mark.parametrize("make", [unwatched, watching])
@pytest.mark.parametrize("bad", [b"D\0\0\0\3", b"D\xff\xff\xff\xff", b"?\0\0\0\4"])
def test_what_is_no_message_ends_the_session(bad: bytes, make: Callable[[], RecordingHooks]) -> None:
    player, _ = play(make(), BEGIN + b"".join(ROWS) + bad + b"".join(ROWS), [])
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT


def test_a_row_too_long_behind_many_ends_the_session_before_any_of_them_is_shown() -> None:
    hooks = watching()
    player = serving(hooks, limits=Limits(message_bytes=1000))
    player.client(query("SELECT 1")).sent()
    player.upstream(BEGIN + b"".join(ROWS) + row(bytes(1200))[:600])
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT
    assert not hooks.rows_seen
