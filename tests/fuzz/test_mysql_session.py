"""MySQL sessions under whatever two sides can say, in any order and cut anywhere.

The database is a model that keeps the protocol. So a session that takes offence at it is wrong about what is under way,
and what it lets through is wrong if nobody was asked about it. They are the same cases each time, unless
GATEPOST_FUZZ_EXAMPLES says how many others to try.
"""

from __future__ import annotations

import os
import struct
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import mysql_wire as wire
from tests.fuzz.mysql_server import FORBIDDEN, Server
from tests.protocols.mysql.exchange import serving

from gatepost import ALLOW, Deny, EndCode, Interest, Statement, Verdict
from gatepost.adapter import CLIENT, UPSTREAM, Side
from gatepost.testing import Player, RecordingHooks, Step, play

EXAMPLES = os.environ.get("GATEPOST_FUZZ_EXAMPLES")
fuzz = settings(
    max_examples=int(EXAMPLES or "200"),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# As many examples as one asks for take as long as they take.
pytestmark = pytest.mark.timeout(0) if EXAMPLES else []

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


def execution(number: int, flags: int, parameters: int) -> bytes:
    body = struct.pack("<IBI", number, flags, 1)
    if parameters:
        body += b"\0\1" + struct.pack("<H", 253) + wire.counted(b"x")
    return wire.command(wire.EXECUTE, body)


requests = st.one_of(
    texts.map(wire.query),
    texts.map(wire.query),
    texts.map(lambda text: wire.command(wire.PREPARE, text.encode())),
    st.builds(execution, numbers, st.integers(0, 1), st.integers(0, 1)),
    st.builds(lambda number: wire.command(wire.FETCH, struct.pack("<II", number, 5)), numbers),
    st.builds(lambda number: wire.command(wire.CLOSE, struct.pack("<I", number)), numbers),
    st.builds(lambda number: wire.command(wire.RESET, struct.pack("<I", number)), numbers),
    st.builds(lambda number: wire.command(wire.LONG_DATA, struct.pack("<IH", number, 0) + b"x"), numbers),
    st.sampled_from([wire.command(wire.PING), wire.command(wire.INIT_DB, b"shop"), wire.command(0x1F)]),
    st.sampled_from([wire.command(0x04, b"t\0"), wire.command(0x11), wire.command(0x0C, bytes(4))]),
    st.lists(st.binary(max_size=9).filter(bool), max_size=3).map(lambda parts: LOAD + wire.packets(2, *parts, b"")),
)
capabilities = st.sampled_from([wire.CAPABILITIES, wire.CAPABILITIES & ~wire.DEPRECATE_EOF])


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
    data=st.lists(requests, max_size=8).map(b"".join),
    said=capabilities,
    places=st.lists(st.integers(0, 500), max_size=6),
    interest=st.sampled_from([Interest.NOTHING, Interest.EVERYTHING]),
)
def test_a_conversation(data: bytes, said: int, places: list[int], interest: Interest) -> None:
    runs = []
    for cuts in ([], places):
        player = serving(RecordingHooks(interest), capabilities=said, judge=judge)
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
    steps=st.lists(
        st.tuples(
            st.sampled_from(Side),
            st.one_of(
                requests,
                st.binary(max_size=40),
                st.builds(wire.packet, st.integers(0, 4), st.binary(max_size=20)),
                st.sampled_from(
                    [
                        wire.packets(1, b"\x01", wire.definition("c")),
                        wire.packets(3, wire.text_row("1"), wire.ok(head=0xFE)),
                        wire.packet(1, wire.ok()),
                        wire.packet(1, wire.err()),
                        wire.packet(1, b"\xfbg"),
                        wire.packet(3, wire.ok()),
                    ]
                ),
            ),
        ),
        max_size=12,
    ),
    said=capabilities,
)
def test_anything_at_all(steps: list[tuple[Side, bytes]], said: int) -> None:
    """Nothing but faults, one end, and no statement that ends twice."""
    player = serving(RecordingHooks(Interest.EVERYTHING), capabilities=said, judge=judge)
    play(player, [Step(side, data) for side, data in steps])
    ended = [statement.number for statement, _ in player.ended]
    assert len(ended) == len(set(ended))
    assert FORBIDDEN.encode() not in player.to_upstream
    player.eof(UPSTREAM)
    player.eof(CLIENT)
    assert player.closed is not None
