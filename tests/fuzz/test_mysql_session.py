"""MySQL sessions under whatever two sides can say, in any order and cut anywhere.

The database is a model that keeps the protocol. So a session that takes offence at it is wrong about what is under way,
and what it lets through is wrong if nobody was asked about it. They are the same cases each time, unless
GATEPOST_FUZZ_EXAMPLES says how many others to try.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st
from tests import mysql_wire as wire
from tests.fuzz.examples import fuzz, patience
from tests.fuzz.mysql_server import FORBIDDEN, Server
from tests.protocols.mysql.exchange import serving

from gatepost import ALLOW, Deny, EndCode, Interest, Statement, Verdict
from gatepost.adapter import CLIENT, UPSTREAM, Side
from gatepost.testing import Player, RecordingHooks, Step, play

# A client's command, by the capabilities that it has agreed on.
Request: TypeAlias = Callable[[int], bytes]

pytestmark = patience

TEXTS = (
    "select 1",
    "select 2; select 3",
    "select 1; fail; select 2",
    "insert into t values (1)",
    "insert into t values (?)",
    "select ?",
    "fail",
    "",
    "begin",
    "commit",
    "call p()",
    "set sql_mode = 'ansi'",
    "load data local infile 'f' into table t",
    "load data local infile 'f' into table t; select 1",
    "kill query 9",
    "kill 9",
    "prepare p from 'select 1'",
    f"select '{FORBIDDEN}'",
    f"select 1; select '{FORBIDDEN}'",
)

LOAD = wire.query("load data local infile 'g' into table t (a, @b) set c = @b")
texts = st.sampled_from(TEXTS)
numbers = st.integers(1, 3)


def values(said: int, parameters: int, attributes: int) -> bytes:
    """How many there are, where that is said, and what they are."""
    if not said & wire.QUERY_ATTRIBUTES:
        attributes = 0
    count = parameters + attributes
    named = bool(said & wire.QUERY_ATTRIBUTES)
    data = bytes((count,)) if named else b""
    if count:
        type_ = struct.pack("<H", 253) + (wire.counted(b"name") if named else b"")
        data += b"\0\1" + type_ * count + wire.counted(b"x") * count
    return data


def query(text: str, attributes: int) -> Request:
    def encode(said: int) -> bytes:
        if not said & wire.QUERY_ATTRIBUTES:
            return wire.query(text)
        data = values(said, 0, attributes)
        return wire.command(wire.QUERY, data[:1] + b"\1" + data[1:] + text.encode())

    return encode


def execution(number: int, flags: int, parameters: int, attributes: int) -> Request:
    def encode(said: int) -> bytes:
        counted = 8 if said & wire.QUERY_ATTRIBUTES and attributes else 0
        data = values(said, parameters, attributes) if parameters or counted else b""
        return wire.command(wire.EXECUTE, struct.pack("<IBI", number, flags | counted, 1) + data)

    return encode


def plain(data: bytes) -> Request:
    """The same, whatever was agreed on."""
    return lambda said: data


commands = st.one_of(
    texts.map(lambda text: wire.command(wire.PREPARE, text.encode())),
    st.builds(lambda number: wire.command(wire.FETCH, struct.pack("<II", number, 5)), numbers),
    st.builds(lambda number: wire.command(wire.CLOSE, struct.pack("<I", number)), numbers),
    st.builds(lambda number: wire.command(wire.RESET, struct.pack("<I", number)), numbers),
    st.builds(lambda number: wire.command(wire.LONG_DATA, struct.pack("<IH", number, 0) + b"x"), numbers),
    st.sampled_from([wire.command(wire.PING), wire.command(wire.INIT_DB, b"shop"), wire.command(0x1F)]),
    st.sampled_from([wire.command(0x04, b"t\0"), wire.command(0x11), wire.command(0x0C, bytes(4))]),
    st.lists(st.binary(max_size=9).filter(bool), max_size=3).map(lambda parts: LOAD + wire.packets(2, *parts, b"")),
)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(query, texts, st.integers(0, 2)),
    st.builds(query, texts, st.just(0)),
    st.builds(execution, numbers, st.integers(0, 1), st.integers(0, 1), st.integers(0, 2)),
    commands.map(plain),
)
EXTENSIONS = (wire.EXTENDED_METADATA, wire.CACHE_METADATA, wire.PROGRESS)
capabilities = st.one_of(
    st.sampled_from([wire.CAPABILITIES, wire.CAPABILITIES | wire.QUERY_ATTRIBUTES]),
    st.sets(st.sampled_from(EXTENSIONS), min_size=1).map(lambda some: wire.CAPABILITIES & ~wire.IS_MYSQL | sum(some)),
).flatmap(lambda said: st.sampled_from([said, said & ~wire.DEPRECATE_EOF]))


def session(said: int, hooks: RecordingHooks) -> Player:
    """A session that has agreed on this, in front of a database that has all of it."""
    return serving(hooks, capabilities=said, server=wire.MYSQL if said & wire.IS_MYSQL else wire.MARIADB, judge=judge)


def judge(statement: Statement) -> Verdict:
    return Deny(reason="it is forbidden") if FORBIDDEN in statement.text else ALLOW


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


def converse(player: Player, server: Server, data: bytes, places: list[int]) -> None:
    """Send the client's bytes in pieces, and let the database answer in pieces whatever it is sent."""
    for piece in cut(data, places):
        player.client(piece)
        while player.closed is None and (sent := player.sent()[1]):
            for part in cut(server.receive(sent), places):
                player.upstream(part)


@fuzz
@given(
    asked_for=st.lists(requests, max_size=8),
    said=capabilities,
    places=st.lists(st.integers(0, 500), max_size=6),
    interest=st.sampled_from([Interest.NOTHING, Interest.EVERYTHING]),
)
def test_a_conversation(asked_for: list[Request], said: int, places: list[int], interest: Interest) -> None:
    data = b"".join(request(said) for request in asked_for)
    runs = []
    for cuts in ([], places):
        player = session(said, RecordingHooks(interest))
        server = Server(said)
        converse(player, server, data, cuts)
        if player.closed is not None:
            assert player.closed.code is EndCode.CLIENT_FAULT, player.closed
        elif server.waits_for_file:
            player.eof(CLIENT)
        asked = [statement.text for statement in player.asked if FORBIDDEN not in statement.text]
        assert all(text in asked for text in server.ran)
        assert not any(FORBIDDEN in text for text in server.ran)
        ended = [statement.number for statement, _ in player.ended]
        assert len(ended) == len(set(ended)) == len(asked)
        if player.closed is None:
            assert not player.session.is_idle or all(outcome.complete for _, outcome in player.ended)
        outcomes = [outcome for _, outcome in player.ended]
        # Of the bytes that bring a fault, what came ahead of it is dropped too.
        said_to_both = (bytes(player.to_client), bytes(player.to_upstream)) if player.closed is None else None
        runs.append((outcomes, said_to_both))
    assert runs[0] == runs[1]


@fuzz
@given(
    asked_for=st.lists(requests, max_size=8),
    said=capabilities,
    places=st.lists(st.integers(0, 500), max_size=6),
)
def test_a_conversation_that_nobody_watches(asked_for: list[Request], said: int, places: list[int]) -> None:
    data = b"".join(request(said) for request in asked_for)
    runs = []
    for cuts in ([], places):
        hooks = RecordingHooks(wants_statements=False, wants_rows=False, wants_notices=False)
        player = session(said, hooks)
        server = Server(said)
        converse(player, server, data, cuts)
        assert player.closed is None or player.closed.code is EndCode.CLIENT_FAULT, player.closed
        assert not any(text.startswith(("kill", "prepare", "set sql_mode")) for text in server.ran)
        is_same = player.closed is None
        runs.append((bytes(player.to_client), bytes(player.to_upstream), player.session.is_idle) if is_same else None)
    assert runs[0] == runs[1]


@fuzz
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(Side),
            st.one_of(
                requests,
                st.binary(max_size=40).map(plain),
                st.builds(wire.packet, st.integers(0, 4), st.binary(max_size=20)).map(plain),
                st.sampled_from(
                    [
                        wire.packets(1, b"\x01\x00"),
                        wire.packets(1, b"\x01\x01", wire.definition("c", more=b"\1\4json")),
                        wire.packet(1, wire.progress()),
                        wire.packets(1, b"\x01", wire.definition("c")),
                        wire.packets(3, wire.text_row("1"), wire.ok(head=0xFE)),
                        wire.packet(1, wire.ok()),
                        wire.packet(1, wire.err()),
                        wire.packet(1, b"\xfbg"),
                        wire.packet(3, wire.ok()),
                    ]
                ).map(plain),
            ),
        ),
        max_size=12,
    ),
    said=capabilities,
)
def test_anything_at_all(steps: list[tuple[Side, Request]], said: int) -> None:
    """Nothing but faults, one end, and no statement that ends twice."""
    player = session(said, RecordingHooks(Interest.EVERYTHING))
    play(player, [Step(side, request(said)) for side, request in steps])
    ended = [statement.number for statement, _ in player.ended]
    assert len(ended) == len(set(ended))
    assert FORBIDDEN.encode() not in player.to_upstream
    player.eof(UPSTREAM)
    player.eof(CLIENT)
    assert player.closed is not None
