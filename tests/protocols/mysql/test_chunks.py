"""Where the rows of a chunk begin, found packet by packet and all at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import mysql_wire as wire

from gatepost_mysql import chunks

END = wire.eof()
PLAIN = [wire.text_row(str(number), "customer", None, "x" * (number % 90)) for number in range(600)]
# Each of these has zeros, or is long, or begins as an end does not.
ODD = [
    wire.text_row("", "", ""),
    wire.text_row("a", "", "", "b"),
    wire.text_row("\0\0\0\0", "\0"),
    wire.text_row("x" * 240, "y" * 100),
    wire.text_row("z" * 70_000),
    wire.text_row(None, None),
    b"\0\0\0\0\0\5\0\0\0",
    b"\xfd\1\0\0x",
    b"\0",
]


def rows(data: bytes, begin: int, number: int) -> tuple[list[int], int]:
    starts, end = chunks.rows(data, begin, number)
    return list(map(int, starts)), end


def expected(packets: list[bytes], number: int) -> tuple[list[int], int]:
    """Where rows begin, read as the protocol is written down, up to the first packet that is none."""
    starts, at = [], 0
    for index, packet in enumerate(packets):
        length = int.from_bytes(packet[:3], "little")
        if packet[3] != (number + index) & 0xFF or not length or packet[4] >= 0xFE or len(packet) != 4 + length:
            break
        starts.append(at)
        at += len(packet)
    return starts, at


def numbered(payloads: list[bytes], number: int) -> list[bytes]:
    return [wire.packet(number + index, payload) for index, payload in enumerate(payloads)]


@pytest.mark.parametrize("number", [1, 7, 255, 256, 300, 1 << 20])
@pytest.mark.parametrize("count", [0, 1, 20, 600])
def test_all_rows_are_found_up_to_the_end(number: int, count: int) -> None:
    packets = numbered([*PLAIN[:count], END], number)
    data = b"".join(packets)
    starts, end = rows(data, 0, number)
    assert (starts, end) == expected(packets, number)
    assert len(starts) == count
    assert end == len(data) - len(packets[-1])
    assert rows(b"before" + data, 6, number) == (starts, end + 6)


@pytest.mark.parametrize("place", [0, 1, 255, 256, 400, 599])
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_row_among_many_is_found_like_the_others(odd: bytes, place: int) -> None:
    packets = numbered([*PLAIN[:place], odd, *PLAIN[place:]], 3)
    starts, end = rows(b"".join(packets), 0, 3)
    assert (starts, end) == expected(packets, 3)
    assert len(starts) == 601


@pytest.mark.parametrize("place", [0, 1, 255, 256, 400, 599])
@pytest.mark.parametrize(
    "broken",
    [
        lambda packet: packet[:3] + bytes(((packet[3] + 1) & 0xFF,)) + packet[4:],
        lambda packet: b"\0\0\0" + packet[3:4],
        lambda packet: packet[:4] + b"\xfe" + packet[5:],
        lambda packet: packet[:4] + b"\xff" + packet[5:],
        lambda packet: b"\xff\xff\xff" + packet[3:],
        lambda packet: packet[:2] + b"\x7f" + packet[3:],
    ],
    ids=["number", "empty", "end", "error", "several packets", "not whole"],
)
def test_what_is_no_such_row_is_where_rows_end(broken: object, place: int) -> None:
    packets = numbered(PLAIN, 9)
    packets[place] = broken(packets[place])  # type: ignore[operator]
    starts, end = rows(b"".join(packets), 0, 9)
    assert (starts, end) == expected(packets, 9)
    assert len(starts) == place


@pytest.mark.parametrize("size", range(1, 80))
def test_a_last_row_that_is_not_whole_stays(size: int) -> None:
    packets = numbered(PLAIN, 0)
    data = b"".join(packets)
    whole, end = rows(data[:-size], 0, 0)
    starts = expected(packets, 0)[0]
    assert whole == [start for start in starts if start < end]
    assert end <= len(data) - size < ([*starts, len(data)][len(whole) + 1] if len(whole) < len(starts) else len(data))


@given(
    st.lists(st.sampled_from(ODD) | st.sampled_from(PLAIN) | st.binary(min_size=1, max_size=300), max_size=40),
    st.integers(0, 600),
    st.integers(0, 1 << 16),
)
@settings(max_examples=200)
def test_any_rows_are_found_as_they_are_written(payloads: list[bytes], place: int, number: int) -> None:
    packets = numbered([*PLAIN[:place], *payloads, *PLAIN[place:], END], number)
    assert rows(b"".join(packets), 0, number) == expected(packets, number)
