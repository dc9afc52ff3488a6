"""Framing: packets in pieces, messages over 16 MB, lengths and numbers that lie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import mysql_wire as wire

from gatepost import ClientFault
from gatepost_mysql import frames

LONG = (1 << 24) - 1


@pytest.mark.parametrize("length", [0, 1, LONG - 1, LONG, LONG + 1, 2 * LONG])
def test_a_message_comes_back_whole(length: int) -> None:
    message = b"x" * length
    data = frames.frame(message, 255)
    assert frames.count(data) == frames.packets_of(length) == length // LONG + 1
    inbox = frames.Inbox(1 << 26, ClientFault)
    inbox.feed(data[:-1])
    assert length == 0 or inbox.message(255) is None
    inbox.feed(data[-1:] + b"rest")
    assert inbox.message(255) == message
    assert inbox.drain() == b"rest"


def test_numbers_go_on_in_a_long_message() -> None:
    data = frames.frame(b"x" * (LONG + 1), 255)
    assert (data[3], data[4 + LONG + 3]) == (255, 0)
    assert frames.renumber(data, 7)[3] == 7
    assert frames.renumber(data, 7)[4 + LONG + 3] == 8
    inbox = frames.Inbox(1 << 26, ClientFault)
    inbox.feed(data[: 4 + LONG] + b"\1\0\0\1x")
    with pytest.raises(ClientFault, match="order"):
        inbox.message(255)


def test_a_length_is_checked_before_the_rest_comes() -> None:
    inbox = frames.Inbox(100, ClientFault)
    inbox.feed(b"\x65\0\0\0")
    with pytest.raises(ClientFault, match="longer"):
        inbox.message(0)


def test_a_long_message_is_bounded_as_a_whole() -> None:
    inbox = frames.Inbox(LONG + 5, ClientFault)
    inbox.feed(b"\xff\xff\xff\0" + bytes(LONG) + b"\6\0\0\1")
    with pytest.raises(ClientFault, match="longer"):
        inbox.message(0)


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 7))
def test_pieces_change_nothing(messages: list[bytes], size: int) -> None:
    data = b"".join(wire.packet(0, message) for message in messages)
    inbox = frames.Inbox(1000, ClientFault)
    found = []
    for at in range(0, len(data), size):
        inbox.feed(data[at : at + size])
        while (message := inbox.message(0)) is not None:
            found.append(message)
    assert found == messages
    assert not inbox.data


@given(st.binary(max_size=40))
def test_what_is_written_is_read(data: bytes) -> None:
    reader = frames.Reader(frames.counted(data) + data, ClientFault)
    assert reader.counted() == data
    assert reader.rest() == data
    reader.end()


@pytest.mark.parametrize("number", [0, 250, 251, 65535, 65536, (1 << 24) - 1, 1 << 24, (1 << 64) - 1])
def test_numbers(number: int) -> None:
    assert frames.Reader(frames.counted_number(number)).counted_number() == number


@pytest.mark.parametrize("data", [b"\xfb", b"\xff", b"\xfc\1", b"\xfe\1"])
def test_numbers_that_are_none(data: bytes) -> None:
    with pytest.raises(ClientFault):
        frames.Reader(data, ClientFault).counted_number()
