"""Long texts: found is what a look at every place finds, and the work grows as the text does."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cards import of_every_brand

from gatepost_mask import detect
from gatepost_mask.chunks import inside
from gatepost_mask.detect import find, mask, sensitive
from gatepost_mask.display import Display
from gatepost_mask.ranges import LONGEST, SHORTEST, ranges

PANS = of_every_brand(17)
DIGITS = st.text("0123456789", min_size=1, max_size=40)
CHUNKS = st.lists(st.one_of(DIGITS, st.sampled_from(PANS)), min_size=1, max_size=30).map("".join)
PIECES = st.lists(
    st.one_of(
        DIGITS,
        st.sampled_from(PANS),
        st.sampled_from(PANS).map(lambda pan: f"{pan[:4]} {pan[4:8]}-{pan[8:12]},{pan[12:]}"),
        st.sampled_from(PANS).map(lambda pan: pan.encode().hex()),
        st.sampled_from(
            [" ", ",", "cvv 123", "x", " 12/26 123 ", "=2612101", ";", "%B", "^DOE/JOHN^2612101", "0" * 30]
        ),
    ),
    max_size=30,
).map("".join)


def everywhere(digits: str) -> set[tuple[int, int]]:
    """The numbers of widely met networks at every place of some digits, each looked at by itself."""
    table = ranges()
    return {
        (first, length)
        for first in range(len(digits) - SHORTEST + 1)
        for length in range(SHORTEST, min(LONGEST, len(digits) - first) + 1)
        if table.world_lengths(digits[first : first + 6]) >> (length - SHORTEST) & 1
        and table.holds(digits[first : first + length])
    }


def found_inside(digits: str) -> set[tuple[int, int]]:
    return {(number.start - 3, len(number)) for many in inside(digits.encode(), 3) for number in many.numbers()}


def tilings(digits: str) -> set[tuple[int, int]]:
    """The numbers of every way to fill the digits with numbers, end to end."""
    table, size = ranges(), len(digits)
    numbers = [
        (first, first + length)
        for first in range(size - SHORTEST + 1)
        for length in range(SHORTEST, min(LONGEST, size - first) + 1)
        if table.holds(digits[first : first + length])
    ]
    forward, backward = {0}, {size}
    for first, end in numbers:
        if first in forward:
            forward.add(end)
    for first, end in reversed(numbers):
        if end in backward:
            backward.add(first)
    return {(first, end) for first, end in numbers if first in forward and end in backward}


@settings(deadline=None)
@given(digits=CHUNKS)
def test_the_numbers_inside_a_chunk_are_those_at_every_place(digits):
    assert found_inside(digits) == everywhere(digits)


def test_no_end_of_a_block_hides_a_number(monkeypatch):
    source = random.Random(3)
    digits = "".join(source.choice("0123456789") for _ in range(1000)) + "".join(PANS)
    expected = everywhere(digits)
    for block in (1, 7, 19, 64, 999):
        monkeypatch.setattr("gatepost_mask.chunks._BLOCK", block)
        assert found_inside(digits) == expected


@settings(deadline=None)
@given(pans=st.lists(st.sampled_from(PANS), max_size=12), more=st.text("0126", max_size=30))
def test_tiles_are_those_of_every_way_to_fill_a_chunk(pans, more):
    for digits in ("".join(pans), "".join(pans) + more):
        found = detect._tiles(digits, 5, ranges())
        assert {(number[0] - 5, number[-1] - 4) for number in found} == (
            tilings(digits) if len(digits) >= 24 else set()
        )


@settings(deadline=None)
@given(text=PIECES, display=st.sampled_from(list(Display)))
def test_a_long_text_is_masked_as_a_short_one_is(text, display):
    before, after = "#" * 4096, '"' + "#" * 4096
    found = {tuple(number) for number in find(text)}
    assert {tuple(place - len(before) for place in number) for number in find(before + text)} == found
    assert mask(before + text, display) == before + mask(text, display)
    assert mask(text + after, display) == mask(text, display) + after


STRIPES = st.text("0123456789=D^;%B? \n", max_size=80)
PARTS = [
    "411111111111",
    "4111111111111111",
    "41111111111111111111111",
    "=",
    "D",
    "^",
    "^DOE/J^",
    "2612101",
    ";",
    "%",
    "B",
    "?",
    " ",
]


@given(text=st.one_of(STRIPES, st.lists(st.sampled_from(PARTS), max_size=14).map("".join)))
def test_stripes_are_found_by_their_marks(text):
    assert list(sensitive(text, [])) == [match.span() for match in detect._TRACK.finditer(text)]


NAMED = re.compile(
    r"(?<![a-z])(?:cvv2?|cvc2?|cav2?|csc|cid|pin|security.?code)(?![a-z])[^0-9a-z]{0,6}([0-9]{3,6})(?![0-9])",
    re.IGNORECASE,
)
NAMES = [
    "cvv",
    "CVC2",
    "Cav",
    "csc",
    "CID",
    "pin",
    "Security code",
    "\u017fecurity_code",
    "c\u017fc",
    "p\u0131n",
    "x",
    " ",
    ":",
    "\n",
    "123",
    "1234567",
]


@given(text=st.lists(st.sampled_from(NAMES), max_size=10).map("".join))
def test_codes_are_found_by_their_names(text):
    assert [match.span(1) for match in detect._NAMED_CODE.finditer(text)] == [
        match.span(1) for match in NAMED.finditer(text)
    ]


class Counted(str):
    """A text that counts the characters that are taken out of it."""

    def __init__(self, text):
        self.taken = 0

    def __getitem__(self, key):
        part = super().__getitem__(key)
        self.taken += len(part)
        return part


@pytest.mark.parametrize("digits", ["1234567890", "4" * 10, "0" * 10, "1" + "0" * 9])
def test_a_long_chunk_is_not_taken_apart_at_every_place(digits):
    text = Counted(digits * 1000)
    found = [*detect.in_chunk(text), *detect._inside(text, 0, ranges()), *detect._tiles(text, 0, ranges())]
    assert len(found) <= 10
    assert text.taken <= 2 * len(text)


@pytest.mark.parametrize("length", [10_000, 100_000])
def test_a_long_text_is_copied_only_so_often(length):
    for text in (Counted("x" * length + PANS[0]), Counted("7" * length), Counted("7 " * length)):
        assert list(find(text)) or PANS[0] not in text
        assert text.taken <= 2 * len(text)
