"""Where the rows of a chunk begin, found message by message and all at once."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire import message

from gatepost_postgres import chunks
from gatepost_postgres.chunks import LARGE, rows

DATA_ROW, COPY_DATA = b"D", b"d"
READY = message("Z", b"I")


def row(*cells: bytes | None) -> bytes:
    body = [struct.pack("!i", -1) if cell is None else struct.pack("!i", len(cell)) + cell for cell in cells]
    return message("D", struct.pack("!H", len(cells)) + b"".join(body))


def expected(data: bytes, begin: int, kind: bytes) -> tuple[list[int], int]:
    """Where messages begin, read as the protocol is written down, up to the first that is another or not whole."""
    starts, at = [], begin
    while at + 5 <= len(data):
        length = int.from_bytes(data[at + 1 : at + 5], "big")
        if data[at : at + 1] != kind or length < 4 or at + 1 + length > len(data):
            break
        starts.append(at - begin)
        at += 1 + length
    return starts, at


def check(data: bytes, begin: int = 0, kind: bytes = DATA_ROW) -> int:
    """That rows are found as expected; returns how many there are."""
    starts, end = rows(data, begin, kind[0])
    assert (starts.tolist(), end) == expected(data, begin, kind)
    assert starts.dtype == np.int64
    return len(starts)


PLAIN = [row(str(number).encode(), b"customer", None, b"x" * (number % 90)) for number in range(1000)]
# Each of these has what looks like a row's begin in it, or is long, or begins as others do not.
ODD = [
    row(b"D", b"", b"D", b"USD"),
    row(b"USD", b"D" * 68, None, b"x" * 0x4400),
    row(b"D" * 2000, b"D\0" * 500, b"D\0\0\0\4" * 100, b""),
    row(b"D\0\0\0\6\0\4" * 50, b"", b"", b""),
    row(b"", row(b"a", b"b", b"c", b"d") * 20, None, PLAIN[7] + READY),
    row(b"D\0\0\xff\0\0\4" * 30, None, None, b""),
    row(b"x", struct.pack("!I", 68), struct.pack("!I", 4 << 16), b"y"),
    row(b"z" * 70_000, b"", b"", b""),
    row(),
    row(b"D"),
    message("D", b""),
    message("D", b"\0"),
    message("D", b"D\0" * 30),
]


@pytest.mark.parametrize("begin", [0, 1, 7])
@pytest.mark.parametrize("count", [0, 1, 20, 1000])
def test_all_rows_are_found_up_to_the_end(count: int, begin: int) -> None:
    data = bytes(begin) + b"".join(PLAIN[:count]) + READY
    assert check(data, begin) == count


@pytest.mark.parametrize("place", [0, 1, 400, 999, 1000])
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_row_among_many_is_found_like_the_others(odd: bytes, place: int) -> None:
    assert check(b"".join([*PLAIN[:place], odd, *PLAIN[place:]])) == 1001


@pytest.mark.parametrize("odd", ODD)
def test_odd_rows_alone_are_found(odd: bytes) -> None:
    count = 1 + 4 * LARGE // len(odd)
    assert check(odd * count) == count


@pytest.mark.parametrize("place", [0, 1, 400, 999])
@pytest.mark.parametrize(
    "broken",
    [
        lambda data: b"E" + data[1:],
        lambda data: b"d" + data[1:],
        lambda data: data[:1] + b"\0\0\0\3" + data[5:],
        lambda data: data[:1] + b"\0\0\0\0" + data[5:],
        lambda data: data[:1] + b"\xff\xff\xff\xff" + data[5:],
        lambda data: data[:1] + b"\x7f\xff\xff\xff" + data[5:],
        lambda data: data[:1] + b"\0\1" + data[3:],
        lambda data: data[:1] + b"\0\xff\xff\xff" + data[5:],
        lambda data: data[:4] + bytes(((data[4] + 1) & 0xFF,)) + data[5:],
        lambda data: data[:4] + bytes(((data[4] - 1) & 0xFF,)) + data[5:],
    ],
)
def test_what_is_no_such_row_is_where_rows_end(broken: object, place: int) -> None:
    messages = list(PLAIN)
    messages[place] = broken(messages[place])  # type: ignore[operator]
    check(b"".join(messages))


@pytest.mark.parametrize("size", range(1, 120))
def test_a_last_row_that_is_not_whole_stays(size: int) -> None:
    check(b"".join(PLAIN)[:-size])


def test_rows_that_no_block_ends_with_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"".join([*PLAIN, *ODD[:5], *PLAIN, READY])
    for size in range(LARGE, LARGE + 200):
        monkeypatch.setattr(chunks, "_BLOCK", size)
        assert check(data) == 2005


@pytest.mark.parametrize("length", [0, 1, 0x60, 0x64, 0x5FFC, 0x6400, 70_000])
def test_lines_of_copy_are_found(length: int) -> None:
    lines = [message("d", b"%d\tdddd\t" % number + b"d" * (number % 90) + b"\n") for number in range(1000)]
    data = b"".join([*lines, message("d", b"d" * length), *lines, message("c")])
    assert check(data, kind=COPY_DATA) == 2001


def test_another_kind_is_no_row() -> None:
    data = b"".join(PLAIN)
    assert check(READY + data) == 0
    assert check(data, kind=COPY_DATA) == 0


@given(
    st.lists(
        st.sampled_from(ODD)
        | st.sampled_from(PLAIN)
        | st.binary(max_size=300).map(lambda body: message("D", body))
        | st.lists(st.sampled_from([b"D", b"\0", b"\4", b"DD\0\0\0", b"\0\0\0\6"]), max_size=90).map(b"".join),
        max_size=20,
    ),
    st.integers(0, 1000),
    st.integers(0, 20),
)
@settings(max_examples=300, deadline=None)
def test_any_messages_are_found_as_they_are_written(messages: list[bytes], place: int, missing: int) -> None:
    data = b"".join([*PLAIN[:place], *messages, *PLAIN[place:]])
    check(data[: len(data) - missing])


@given(st.integers(0, 2**32 - 1), st.sampled_from([b"D\0", b"D\0\4", b"D\0\0\0\5", b"d\0\0\0\1D", bytes(range(256))]))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_found_as_they_are_written(seed: int, alphabet: bytes) -> None:
    letters = np.frombuffer(alphabet, dtype=np.uint8)
    noise = np.random.default_rng(seed).choice(letters, 2 * LARGE).tobytes()
    check(noise)
    check(PLAIN[3] + noise)
    check(row(b"D", noise[:100]) * 300 + noise)
