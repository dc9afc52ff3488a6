"""Numbers as words: what is quick for many is what is true of each."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cards import of_every_brand

from gatepost import Column, Kind
from gatepost.testing import PlainBatch
from gatepost_mask import words
from gatepost_mask.arrays import mask_cells
from gatepost_mask.cells import mask_digits
from gatepost_mask.display import Display
from gatepost_mask.ranges import ranges

PANS = of_every_brand(21)
NUMBERS = st.one_of(st.sampled_from(PANS), st.text("0123456789", min_size=12, max_size=19))
COLUMNS = (
    Column(name="text", kind=Kind.TEXT, is_text=True, type_name="text"),
    Column(name="number", kind=Kind.INTEGER, is_text=True, type_name="int8", capacity=8),
    Column(name="json", kind=Kind.JSON, is_text=True, type_name="json"),
)


def judged(numbers: list[str]) -> list[bool]:
    lengths = np.array([len(number) for number in numbers])
    data = "x".join(numbers).encode()
    starts = np.cumsum(lengths + 1) - lengths - 1
    every = words.words(data)
    found = np.zeros(len(numbers), dtype=bool)
    for is_long in (False, True):
        some = np.flatnonzero((lengths > 16) == is_long)
        cut = [every[starts[some] + place] for place in words.word_places(lengths[some], is_long=is_long)]
        assert all(words.are_digits(word).all() for word in cut)
        padded = [numbers[index][0] == "0" or numbers[index].endswith("00") for index in some]
        assert words.are_padded(cut[0], cut[-1]).tolist() == padded
        found[some] = words.are_card_numbers(cut, lengths[some] - 12)
    return found.tolist()


@given(numbers=st.lists(NUMBERS, min_size=1, max_size=20))
def test_many_numbers_are_card_numbers_if_each_is(numbers):
    assert judged(numbers) == [ranges().holds(number) for number in numbers]


def test_every_digit_at_every_place_counts():
    for pan in PANS:
        others = [pan[:at] + digit + pan[at + 1 :] for at in range(len(pan)) for digit in "0123456789"]
        assert judged(others) == [ranges().holds(other) for other in others]


@pytest.mark.parametrize("place", range(8))
def test_no_other_byte_is_a_digit(place):
    every = [b"0909090909"[:place] + bytes((byte,)) + b"90909090"[place + 1 :] for byte in range(256)]
    some = words.words(b"".join(every))[::8]
    assert np.flatnonzero(words.are_digits(some)).tolist() == list(range(ord("0"), ord("9") + 1))


@given(parts=st.lists(st.binary(max_size=24), min_size=1, max_size=10))
def test_digits_are_counted(parts):
    lengths = np.array([len(part) for part in parts])
    starts = np.cumsum(lengths) - lengths
    expected = [sum(48 <= byte < 58 or byte >= 0x80 for byte in part) for part in parts]
    assert words.digits_in(b"".join(parts) + bytes(24), starts, lengths, 24).tolist() == expected


ENDING_IN_ZEROS = [pan for seed in range(100) for pan in of_every_brand(seed) if pan.endswith("00")]
PADDED = st.builds(
    lambda before, pan, behind: ("0" * before + pan + "0" * behind)[:19],
    st.integers(0, 4),
    st.sampled_from(PANS),
    st.integers(0, 4),
)
ANY = st.one_of(PADDED, st.sampled_from(ENDING_IN_ZEROS), NUMBERS)
BROKEN = st.builds(lambda number, at: number[:at] + "-" + number[at + 1 :], ANY, st.integers(1, 18))
CELLS = st.one_of(ANY, ANY.map("x".__add__), BROKEN)
INTEGERS = st.one_of(ANY, ANY.map("-".__add__), st.none())


@given(
    rows=st.lists(st.tuples(CELLS, INTEGERS, st.one_of(ANY, st.none())), min_size=1, max_size=20),
    display=st.sampled_from(list(Display)),
)
def test_the_cells_of_many_rows_are_masked_as_each_is(rows, display):
    batch = PlainBatch(COLUMNS, rows)
    before = batch.buffer
    kinds = [(index, column.kind) for index, column in enumerate(COLUMNS)]
    left = mask_cells(batch, kinds, display)

    def alone(cell: str | None, kind: Kind) -> bool:
        return cell is not None and cell.isdigit() and kind is not Kind.JSON

    masked = [
        [
            mask_digits(cell, kind, display) if alone(cell, kind) else None
            for cell, (_, kind) in zip(row, kinds, strict=True)
        ]
        for row in rows
    ]
    expected = [
        tuple(after or cell for after, cell in zip(*both, strict=True)) for both in zip(masked, rows, strict=True)
    ]
    assert batch.values == expected
    assert batch.masked == sum(after is not None for row in masked for after in row)
    for column, kind in kinds:
        places = zip(batch.offsets(column).tolist(), batch.lengths(column).tolist(), rows, strict=True)
        for start, length, row in places:
            before_and_left = before[start : start + length], bytes(left[start : start + length])
            if alone(row[column], kind):
                assert not re.search(rb"[0-9]{12}", before_and_left[1])
            elif length > 0:
                assert before_and_left[0] == before_and_left[1]


def test_random_numbers_are_judged_as_each_is():
    source = random.Random(9)
    numbers = [str(source.randrange(10**11, 10 ** source.randrange(12, 20))) for _ in range(5000)]
    numbers = [number for number in numbers if len(number) >= 12]
    assert judged(numbers) == [ranges().holds(number) for number in numbers]
