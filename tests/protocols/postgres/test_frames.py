"""Framing: lengths that lie, messages in pieces, and how much is held of them."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres.exchange import READY, description, fault_of, row, serving, tag, watching
from tests.wire import SYNC, bind, describe, execute, message, parse, query

from gatepost.adapter import CLIENT, UPSTREAM, Limits, SendClient, Side
from gatepost.partial import Partial
from gatepost.testing import RecordingHooks
from gatepost.values import EndCode, Interest


@given(st.lists(st.binary(min_size=1), min_size=1), st.integers(0, 60))
def test_what_is_kept_comes_out_once_it_is_enough(pieces: list[bytes], needed: int) -> None:
    partial = Partial()
    partial.keep(b"", needed)
    partial.keep(pieces[0], needed)
    given_back = b""
    for piece in pieces[1:]:
        held = len(partial.data)
        joined = partial.join(piece)
        assert (joined is None) == (held > 0 and held + len(piece) < needed)
        given_back += joined or b""
    assert given_back + bytes(partial.join(b"") or b"") in (b"".join(pieces), given_back)


@pytest.mark.parametrize("length", [0, 3, 2**31, 2**32 - 1])
@pytest.mark.parametrize("kind", [b"Q", b"P", b"D", b"d", b"S", b"T", b"N", b"C", b"Z", b"E"])
@pytest.mark.parametrize("side", Side)
def test_impossible_lengths_end_the_session(side: Side, kind: bytes, length: int) -> None:
    player = serving().client(query("SELECT 1")).upstream(description("a"))
    data = kind + struct.pack("!I", length)
    (player.client if side is CLIENT else player.upstream)(data)
    code, _ = fault_of(player)
    assert code is (EndCode.CLIENT_FAULT if side is CLIENT else EndCode.UPSTREAM_FAULT)


@pytest.mark.parametrize("kind", [b"Q", b"P", b"B", b"F"])
def test_a_client_may_not_announce_more_than_the_limit(kind: bytes) -> None:
    player = serving(limits=Limits(message_bytes=20_000)).client(kind + struct.pack("!I", 20_001))
    assert fault_of(player)[0] is EndCode.CLIENT_FAULT


@pytest.mark.parametrize("kind", [b"D", b"E", b"C", b"S", b"H", b"X", b"c"])
def test_small_messages_are_small(kind: bytes) -> None:
    player = serving().client(kind + struct.pack("!I", 10_001))
    assert fault_of(player)[0] is EndCode.CLIENT_FAULT


@pytest.mark.parametrize(
    "data",
    [
        message("Q", b"SELECT 1"),
        message("Q", b"SELECT\x001\0"),
        message("Q", b""),
        message("P", b"s\0SELECT 1\0"),
        message("P", b"s\0SELECT 1\0\0\1\0\0\0"),
        message("P", b"s\0SELECT 1\0\0\0!"),
        message("P", b"sSELECT"),
        message("B", b""),
        message("B", b"\0\0\0\0\0\0"),
        message("B", b"\0\0\0\0\0\1\0\0\0\5abc\0\0"),
        message("B", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"),
        message("B", b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0"),
        message("B", b"\0\0\0\0\0\0\0\0!"),
        message("B", b"\0\0\0\2\0\0\0\0\0\0"),
        message("D", b""),
        message("D", b"Xs\0"),
        message("D", b"Ss"),
        message("D", b"Ss\0\0"),
        message("C", b"\0"),
        message("E", b"\0\0\0\0"),
        message("E", b"p"),
        message("S", b"!"),
        message("H", b"!"),
        message("X", b"!"),
        message("p", b"password\0"),
        message("!"),
        message("\0"),
    ],
)
def test_malformed_and_foreign_messages_of_a_client_end_the_session(data: bytes) -> None:
    player = serving().client(data)
    assert fault_of(player)[0] is EndCode.CLIENT_FAULT
    assert player.asked == []
    assert player.sent()[1] == b""


@pytest.mark.parametrize(
    "data",
    [
        message("T", b""),
        message("T", b"\0\1a\0"),
        message("T", b"\xff\xff"),
        message("N", b"Mno end"),
        message("E", b"Mno end"),
        message("A", b"\0\0\0\0chan"),
        message("S", b"name\0"),
        message("C", b"SELECT 1"),
        message("Z", b"X"),
        message("H", b""),
        message("Z", b""),
    ],
)
def test_malformed_messages_of_a_server_end_the_session(data: bytes) -> None:
    player = serving(watching()).client(query("SELECT 1")).upstream(data)
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT


def test_a_row_that_nobody_wants_passes_before_it_is_whole() -> None:
    big = row(b"x" * 100_000)
    session = (
        serving(RecordingHooks(Interest.NOTHING), limits=Limits(message_bytes=1000)).client(query("SELECT a")).session
    )
    start = description("a") + big[:10]
    assert session.receive(UPSTREAM, start) == [SendClient(start)]
    assert session.receive(UPSTREAM, big[10:60_000]) == [SendClient(big[10:60_000])]
    end = big[60_000:] + tag("SELECT 1") + READY
    answered, ended = session.receive(UPSTREAM, end)
    assert answered == SendClient(end)
    assert (ended.outcome.rows, ended.outcome.bytes) == (1, len(big))


def test_a_row_that_a_plugin_wants_is_held_whole_within_the_limit() -> None:
    hooks = watching()
    player = serving(hooks, limits=Limits(message_bytes=2000)).client(query("SELECT 1")).upstream(description("a"))
    player.sent()
    fits = row(b"x" * 1900)
    player.upstream(fits[:1000])
    assert player.sent()[0] == b""
    player.upstream(fits[1000:])
    assert player.sent()[0] == fits
    player.upstream(row(b"x" * 3000)[:10])
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT
    assert len(hooks.rows_seen) == 1


def test_a_long_description_is_refused_before_it_is_held() -> None:
    player = serving(limits=Limits(message_bytes=2000)).client(query("SELECT 1"))
    player.upstream(b"T" + struct.pack("!I", 2001))
    assert fault_of(player)[0] is EndCode.UPSTREAM_FAULT


def test_a_long_message_in_pieces_is_copied_a_few_times_at_most() -> None:
    size, piece = 8 << 20, 16 << 10
    data = query("x" * size)
    player = serving()
    session = player.session
    tracemalloc.start()
    try:
        for at in range(0, len(data) - piece, piece):
            assert session.receive(CLIENT, data[at : at + piece]) == []
        assert tracemalloc.get_traced_memory()[1] < 2 * size
    finally:
        tracemalloc.stop()


def test_what_waits_for_an_answer_is_bounded() -> None:
    player = serving(limits=Limits(message_bytes=20_000, pipeline=4))
    player.client(parse("SELECT 1", "s") + SYNC)
    session = player.session
    batch = describe("S", "s") * 10
    session.receive(CLIENT, batch)
    for _ in range(1000):
        player.client(bind("", "s") + execute())
    assert fault_of(player)[0] is EndCode.CLIENT_FAULT
