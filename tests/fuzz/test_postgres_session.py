"""PostgreSQL sessions under whatever two sides can say, in any order and cut anywhere.

The database is a model that keeps the protocol. So a session that takes offence at it is wrong about what is under way,
and what it lets through is wrong if nobody was asked about it. They are the same
cases each time, unless GATEPOST_FUZZ_EXAMPLES says how many others to try.
"""

from __future__ import annotations

import struct
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.examples import fuzz, patience
from tests.fuzz.postgres_server import Server
from tests.protocols.postgres.handshake import make_player as new_player
from tests.protocols.postgres.handshake import serve, startup
from tests.wire import FLUSH, SYNC, TERMINATE, bind, describe, execute, message, parse, query

from gatepost import ALLOW, Deny, EndCode, Interest, Rewrite, Statement, Verdict
from gatepost.adapter import CLIENT, UPSTREAM, Close, SendUpstream, Serving, Side
from gatepost.testing import Player, RecordingHooks, Step, play, said
from gatepost_postgres import ADAPTER

pytestmark = patience

FORBIDDEN = "forbidden"
HELD = "held"
REWRITTEN = "rewritten"

TEXTS = (
    "select 1",
    "select 2; select 3",
    "select 1; fail; select 2",
    "insert into t values (1)",
    "fail",
    "",
    "begin",
    "commit",
    "rollback",
    "prepare a as select 1",
    "execute a",
    "deallocate a",
    "deallocate all",
    "discard all",
    "declare p cursor for select 1",
    "fetch p",
    "close p",
    "copy t from stdin",
    "copy t to stdout",
    "copy t from stdin; select 1",
    "set client_encoding to latin1",
    f"select '{FORBIDDEN}'",
    f"select '{HELD}'",
    f"insert into t values ('{REWRITTEN}')",
    f"select '{REWRITTEN}'",
)
NAMES = ("", "a", "p")

names = st.sampled_from(NAMES)
texts = st.sampled_from(TEXTS)
values = st.sampled_from([None, b"", b"1", FORBIDDEN.encode(), HELD.encode()])
simple = texts.map(query)
extended = st.one_of(
    st.builds(parse, texts, names),
    st.builds(lambda portal, name, value: bind(portal, name, [value]), names, names, values),
    st.builds(bind, names, names),
    st.builds(describe, st.sampled_from("SP"), names),
    st.builds(execute, names, st.integers(0, 2)),
    st.builds(lambda kind, name: message("C", f"{kind}{name}\0".encode()), st.sampled_from("SP"), names),
    st.sampled_from([SYNC, FLUSH]),
)
whole_batches = st.builds(
    lambda text, name, portal, value, limit, end: (
        parse(text, name) + bind(portal, name, [value]) + describe("P", portal) + execute(portal, limit) + end
    ),
    texts,
    names,
    names,
    values,
    st.integers(0, 2),
    st.sampled_from([b"", SYNC]),
)
whole_copies = st.builds(
    lambda begin, end: begin + message("d", b"1\n") + end,
    st.sampled_from([query("copy t from stdin"), parse("copy t from stdin") + bind() + execute()]),
    st.sampled_from([message("c"), message("f", b"no\0"), message("c") + SYNC, SYNC + message("c") + SYNC]),
)
rarities = st.sampled_from(
    [message("d", b"1\n"), message("c"), message("f", b"no\0"), message("F", bytes(8)), TERMINATE]
)
# Weighted by how far they let a session come.
requests = st.one_of(simple, simple, extended, extended, extended, whole_batches, whole_batches, whole_copies, rarities)

usual = st.one_of(
    st.sampled_from([parse("select 1", "a") + SYNC, parse("insert into t values (1)", "a") + SYNC]),
    st.just(bind("", "a", [b"1"]) + describe("P") + execute() + SYNC),
    st.sampled_from(["select 1", "begin", "commit", "insert into t values (1)"]).map(query),
)

# What is done next: the client sends, the database's answer comes (so many bytes of it), an open question is answered.
moves = st.one_of(requests, st.integers(1, 60), st.just(1 << 20), st.booleans())


def is_forbidden(statement: Statement, word: str = FORBIDDEN) -> bool:
    values = (scalar.text for parameter in statement.parameters for scalar in parameter or ())
    return word in statement.text or any(word in value for value in values)


def judge(statement: Statement) -> Verdict | None:
    if is_forbidden(statement):
        return Deny(reason="forbidden")
    if is_forbidden(statement, HELD):
        return None
    if REWRITTEN in statement.text:
        return Rewrite(text=statement.text.replace(REWRITTEN, "safe"))
    return ALLOW


class Exchange:
    """A session between a client and the model of a database."""

    def __init__(self, hooks: RecordingHooks) -> None:
        self.verdicts: list[tuple[Statement, bool]] = []
        self.player = serve(new_player(player={"judge": self._judge}, hooks=hooks))
        self.server = Server()
        self.steps: list[Step] = []
        self.answers = b""
        self._taken = len(self.player.to_upstream)

    def _judge(self, statement: Statement) -> Verdict | None:
        verdict = judge(statement)
        if verdict is not None:
            self.verdicts.append((statement, not isinstance(verdict, Deny)))
        return verdict

    def client(self, data: bytes) -> None:
        self.player.client(data)
        self._pass()

    def upstream(self, count: int) -> None:
        data, self.answers = self.answers[:count], self.answers[count:]
        if data and self.player.closed is None:
            self.player.upstream(data)
            self._pass()

    def resolve(self, allow: bool) -> None:
        if self.player.is_waiting and self.player.closed is None:
            self.verdicts.append((self.player.asked[-1], allow))
            self.player.resolve(ALLOW if allow else Deny(reason="no"))
            self._pass()

    def settle(self) -> None:
        """Let everything be answered."""
        while self.player.closed is None and (self.answers or self.player.is_waiting):
            self.resolve(True)
            self.upstream(len(self.answers))

    def _pass(self) -> None:
        data = bytes(self.player.to_upstream[self._taken :])
        self._taken += len(data)
        self.answers += self.server.receive(data)


def messages_of(data: bytes) -> list[tuple[str, bytes]]:
    found = []
    while len(data) >= 5:
        length = struct.unpack_from("!I", data, 1)[0]
        found.append((data[:1].decode(), data[5 : 1 + length]))
        data = data[1 + length :]
    return found


def sent_while_serving(player: Player) -> bytes:
    start = next(index for index, action in enumerate(player.actions) if isinstance(action, Serving))
    return b"".join(action.data for action in player.actions[start:] if isinstance(action, SendUpstream))


def check_what_went_upstream(exchange: Exchange) -> None:
    """Each text and each Bind that the database got was asked about and allowed, and none more often."""
    allowed = [statement for statement, was_allowed in exchange.verdicts if was_allowed]
    queries, parses, binds = Counter[str](), Counter[str](), 0
    for kind, body in messages_of(sent_while_serving(exchange.player)):
        if kind == "Q":
            queries[body[:-1].decode()] += 1
        elif kind == "P" and not body.startswith(b"gatepost\0"):
            parses[body.split(b"\0")[1].decode()] += 1
        elif kind == "B":
            binds += 1
            assert FORBIDDEN.encode() not in body
        assert FORBIDDEN.encode() not in body
        assert REWRITTEN.encode() not in body
    texts = [(statement.is_preparation, statement.text.replace(REWRITTEN, "safe")) for statement in allowed]
    runs = Counter(text for is_preparation, text in texts if not is_preparation)
    assert queries <= runs
    assert parses <= Counter(text for is_preparation, text in texts if is_preparation)
    assert queries.total() + binds <= runs.total()


def check_the_end(exchange: Exchange) -> None:
    player = exchange.player
    assert sum(isinstance(action, Close) for action in player.actions) == (player.closed is not None)
    if player.closed is not None:
        assert player.closed.code is not EndCode.UPSTREAM_FAULT, player.closed.text
    numbers = [statement.number for statement, _ in player.ended]
    assert len(numbers) == len(set(numbers)), "a statement ended twice"
    assert set(numbers) <= {statement.number for statement in player.asked}


watchers = st.sampled_from(
    [
        lambda: RecordingHooks(wants_rows=False, wants_notices=False),
        lambda: RecordingHooks(Interest.NOTHING),
        lambda: RecordingHooks(Interest.EVERYTHING),
    ]
)


@fuzz
@given(watchers, st.lists(moves, max_size=25))
def test_nothing_passes_unjudged_and_an_honest_database_is_never_blamed(make_hooks, what) -> None:
    exchange = Exchange(make_hooks())
    for move in what:
        if exchange.player.closed is not None:
            break
        if isinstance(move, bool):
            exchange.resolve(move)
        elif isinstance(move, int):
            exchange.upstream(move)
        else:
            exchange.client(move)
    exchange.settle()
    check_what_went_upstream(exchange)
    check_the_end(exchange)
    if exchange.player.closed is None and not exchange.server.closed:
        exchange.client(SYNC)
        exchange.settle()
    exchange.player.eof(CLIENT)
    check_the_end(exchange)
    ended = {statement.number for statement, _ in exchange.player.ended}
    assert ended == {statement.number for statement, was_allowed in exchange.verdicts if was_allowed}


@fuzz
@given(st.lists(st.one_of(requests, st.integers(1, 60), st.just(1 << 20)), max_size=20))
def test_untouched_means_identical(what) -> None:
    """What is allowed reaches the database as it came, and its answers the client."""
    exchange = Exchange(RecordingHooks(wants_rows=False, wants_notices=False))
    before = len(exchange.player.to_client), len(exchange.player.to_upstream)
    sent = answered = b""
    for move in what:
        if isinstance(move, int):
            answered += exchange.answers[:move]
            exchange.upstream(move)
        else:
            exchange.client(move)
            sent += move
    if exchange.player.closed is None and len(exchange.verdicts) == sum(ok for _, ok in exchange.verdicts):
        rest = exchange.player
        upstream = bytes(rest.to_upstream[before[1] :])
        if b"denied by gatepost" not in upstream and REWRITTEN.encode() not in sent and not rest.is_waiting:
            assert is_subsequence(messages_of(upstream), messages_of(sent))
            assert bytes(rest.to_client[before[0] :]) == answered[: len(rest.to_client) - before[0]]


def is_subsequence(part: list[tuple[str, bytes]], whole: list[tuple[str, bytes]]) -> bool:
    """Messages that the database would discard may be missing; a Flush may have been added."""
    remaining = iter(whole)
    return all(item == ("H", b"") or item in remaining for item in part)


def record(what: list[bytes | int]) -> list[Step]:
    exchange = Exchange(RecordingHooks(Interest.EVERYTHING))
    steps: list[Step] = []
    for move in what:
        if exchange.player.closed is not None:
            break
        if isinstance(move, int):
            steps.append(Step(UPSTREAM, exchange.answers[:move]))
            exchange.upstream(move)
        else:
            steps.append(Step(CLIENT, move))
            exchange.client(move)
    return [step for step in steps if step.data]


def in_two(step: Step) -> list[Step]:
    """A database's step, cut before its last byte."""
    data = step.data or b""
    if step.side is CLIENT or len(data) < 2:
        return [step]
    return [Step(step.side, data[:-1]), Step(step.side, data[-1:])]


def settled(statement: Statement) -> Verdict:
    return judge(statement) or ALLOW


def fresh() -> Player:
    return serve(new_player(player={"judge": settled}, hooks=RecordingHooks(Interest.EVERYTHING)))


@fuzz
@given(st.lists(st.one_of(requests, st.just(1 << 20)), max_size=15), st.data())
def test_random_cuts_change_nothing(what, data) -> None:
    steps = record(what)
    cut: list[Step] = []
    for step in steps:
        whole = step.data or b""
        places = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=4))})
        cut += [Step(step.side, whole[begin:end]) for begin, end in pairwise(places)]
    in_pieces, whole = said(play(fresh(), cut)), said(play(fresh(), steps))
    if whole.closed is None or whole.closed.code is EndCode.CLIENT_LEFT:
        assert in_pieces == whole
    else:
        # Of the bytes that are at fault, what came ahead of it is dropped with it.
        assert in_pieces.closed == whole.closed
        assert in_pieces.to_upstream.startswith(whole.to_upstream)
        assert in_pieces.asked[: len(whole.asked)] == whole.asked


@fuzz
@given(st.lists(st.one_of(usual, usual, requests), max_size=8), watchers)
def test_an_answer_struck_out_at_once_is_as_one_message_by_message(what, make_hooks) -> None:
    """An answer that comes in two pieces goes the long way."""
    steps = record([move for part in what for move in (part, 1 << 20)])
    cut = [part for step in steps for part in in_two(step)]
    whole_hooks, cut_hooks = make_hooks(), make_hooks()
    whole, in_pieces = (
        play(serve(new_player(player={"judge": settled}, hooks=hooks)), played)
        for hooks, played in ((whole_hooks, steps), (cut_hooks, cut))
    )
    assert said(in_pieces) == said(whole)
    assert cut_hooks.rows_seen == whole_hooks.rows_seen
    assert in_pieces.session.is_idle == whole.session.is_idle


@fuzz
@given(st.lists(st.one_of(requests, st.just(1 << 20)), max_size=12), st.data())
def test_mutated_transcripts_raise_nothing_but_faults(what, data) -> None:
    player = fresh()
    for step in record(what):
        body = bytearray(step.data or b"")
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(body)))
            match data.draw(st.sampled_from(["flip", "insert", "cut", "repeat"])):
                case "flip" if place < len(body):
                    body[place] = data.draw(st.integers(0, 255))
                case "insert":
                    body[place:place] = data.draw(st.binary(max_size=6))
                case "cut":
                    del body[place : place + data.draw(st.integers(0, 6))]
                case "repeat":
                    body += body[place:]
        play(player, [Step(step.side, bytes(body))])
        if player.closed is not None:
            break
    sent = sent_while_serving(player)
    for kind, text in messages_of(sent):
        if kind in "QP":
            assert FORBIDDEN.encode() not in text


@fuzz
@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=60)), max_size=6))
def test_random_bytes_from_the_first_byte_on(pieces) -> None:
    player = play(new_player(), [Step(side, data) for side, data in pieces if data])
    player.eof(CLIENT)
    assert player.closed is not None


@fuzz
@given(
    st.dictionaries(
        st.sampled_from(
            ["user", "database", "options", "replication", "application_name", "_pq_.x", "client_encoding"]
        ),
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20),
    ),
    st.sampled_from([3 << 16, 3 << 16 | 2, 3 << 16 | 9, 2 << 16, 0x04D2162F, 0x04D21630, 0x04D2162E]),
    st.lists(st.binary(max_size=40), max_size=3),
)
def test_startups_of_any_kind(parameters, version, rest) -> None:
    player = new_player()
    player.client(startup(version, **parameters))
    for data in rest:
        if data:
            player.client(message("p", data))
    player.eof(CLIENT)
    assert player.closed is not None
    assert not player.serving


@fuzz
@given(st.lists(st.one_of(requests, st.just(1 << 20)), max_size=8), st.data())
def test_recordings_can_be_shown_however_they_end(what, data) -> None:
    player = play(fresh(), record(what))
    output = bytearray(player.to_client)
    for _ in range(data.draw(st.integers(0, 2))):
        output[data.draw(st.integers(0, len(output) - 1))] = data.draw(st.integers(0, 255))
    place = data.draw(st.integers(0, len(output)))
    for shown in ADAPTER.shown([bytes(output[:place]), bytes(output[place:])]):
        assert shown.kind
