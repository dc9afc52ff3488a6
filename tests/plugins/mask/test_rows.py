"""Rows: few and many, in every format, alone and among others."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cards import of_every_brand

from gatepost import Column, Kind
from gatepost.testing import PlainBatch
from gatepost_mask.cells import mask_cell
from gatepost_mask.display import Display
from gatepost_mask.ranges import ranges
from gatepost_mask.rows import mask_rows, plan

PANS = of_every_brand(13)
COLUMNS = (
    Column(name="id", kind=Kind.INTEGER, is_text=True, type_name="int4", capacity=4),
    Column(name="number", kind=Kind.INTEGER, is_text=True, type_name="int8", capacity=8),
    Column(name="text", kind=Kind.TEXT, is_text=True, type_name="text"),
    Column(name="binary", kind=Kind.INTEGER, is_text=False, type_name="int8", capacity=8),
    Column(name="amount", kind=Kind.DECIMAL, is_text=True, type_name="numeric"),
    Column(name="json", kind=Kind.JSON, is_text=True, type_name="json"),
    Column(name="float", kind=Kind.FLOAT, is_text=True, type_name="float8"),
    Column(name="list", kind=Kind.ARRAY, is_text=True, element=Kind.TEXT, type_name="text[]"),
    Column(name="when", kind=Kind.TIME, is_text=True, type_name="timestamptz"),
)
NOTHING = ("1", "2", "x", "3", "1.5", "{}", "0.5", ("a", None), "2026-11-23 08:00:00+00")


def masked(rows, display=Display.LAST4, columns=COLUMNS):
    batch = PlainBatch(columns, rows)
    mask_rows(batch, plan(columns), display)
    return batch


def one_by_one(rows, display=Display.LAST4):
    return [masked([row], display).values[0] for row in rows]


def with_pan(pan: str, column: int):
    shapes = (pan, pan, pan, pan, f"{pan}.00", f'{{"a": "{pan}"}}', f"{float(pan):.0f}", ("a", pan), pan)
    return (*NOTHING[:column], shapes[column], *NOTHING[column + 1 :])


@pytest.mark.parametrize("copies", [1, 5], ids=["few rows", "many rows"])
@pytest.mark.parametrize("column", range(1, 8), ids=[column.name for column in COLUMNS[1:8]])
def test_no_row_shows_a_number(column, copies):
    pans = [pan for pan in PANS if column not in (1, 3) or int(pan) < 1 << 63]
    for start in range(0, len(pans), 20):
        some = pans[start : start + 20] * copies
        batch = masked([NOTHING, *(with_pan(pan, column) for pan in some)])
        assert batch.masked == len(some)
        assert batch.values[0] == NOTHING
        assert [pan for pan, row in zip(some, batch.values[1:], strict=True) if pan in str(row)] == []


def test_many_rows_are_masked_in_place():
    rows = [("1", "2", pan, *NOTHING[3:]) for pan in PANS if pan[-2:] != "00" and len(pan) <= 16] * 20
    batch = PlainBatch(COLUMNS, rows)
    size = len(batch.buffer)
    mask_rows(batch, plan(COLUMNS), Display.LAST4)
    assert len(batch.buffer) == size
    assert b"*" * 11 in batch.buffer
    assert [row[2] for row in batch.values] == ["*" * (len(row[2]) - 4) + row[2][-4:] for row in rows]


def test_json_escapes_and_short_floats_are_looked_at():
    for copies in (1, 200):
        escapes = '{"a": "' + "".join(f"\\u{ord(digit):04x}" for digit in PANS[0]) + '"}'
        row = (*NOTHING[:5], escapes, "4e+15", *NOTHING[7:])
        found = plan(COLUMNS)
        assert found.maybe is not None
        assert found.maybe(escapes.encode())
        assert found.maybe(b"4e+15")
        batch = masked([row] * copies)
        assert {value[5] != escapes for value in batch.values} == {True}


def test_numbers_in_binary_format_are_wanted_whatever_their_bytes():
    assert plan(COLUMNS).columns == {3}
    small = (Column(name="n", kind=Kind.INTEGER, is_text=False, type_name="int4", capacity=4),)
    assert plan(small).columns == frozenset()


def test_sensitive_authentication_data_leaves_for_nobody():
    rows = [(*NOTHING[:2], ";4111111111111111=26121010000000000?", *NOTHING[3:])]
    for copies in (1, 100):
        assert {row[2] for row in masked(rows * copies, Display.CLEAR).values} == {"[removed]"}


def test_a_role_that_may_sees_the_rows_as_they_are():
    rows = [with_pan(pan, 2) for pan in PANS] * 10
    batch = masked(rows, Display.CLEAR)
    assert batch.values == rows
    assert batch.masked == 0


DIGITS = st.text("0123456789", min_size=1, max_size=24)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="|"), max_size=24),
    st.text("0123456789 -.,", max_size=30),
    DIGITS,
    st.sampled_from(PANS),
    st.sampled_from(PANS).map(lambda pan: f"{pan[:4]} {pan[4:8]} {pan[8:]}"),
    st.none(),
)
INTEGERS = st.one_of(DIGITS.filter(lambda text: int(text) < 1 << 63), st.sampled_from(PANS), st.none())
TWO = (COLUMNS[1], COLUMNS[2])
# Beside a number: what stripes are told by, what ends a stretch, and digests.
AROUND = st.text("a=D^;x", max_size=2)
PARTS = st.builds("{}{}{}".format, AROUND, st.one_of(DIGITS, st.sampled_from(PANS)), AROUND)


def cell_by_cell(rows, display):
    """The general way: every cell decoded, none left out."""
    batch = PlainBatch(TWO, rows)
    for index in range(len(rows)):
        row = batch.row(index)
        for column in range(len(TWO)):
            texts = mask_cell(row.scalars(column), display)
            if texts is not None:
                row.replace(column, texts)
    return batch.values


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(INTEGERS, st.one_of(TEXTS, PARTS)), min_size=1, max_size=30),
    display=st.sampled_from(list(Display)),
)
def test_rows_are_masked_as_their_cells_are(rows, display):
    expected = cell_by_cell(rows, display)
    changed = sum(row[column] != seen[column] for row, seen in zip(rows, expected, strict=True) for column in (0, 1))
    for copies in (1, 64 // len(rows) + 1, 160 // len(rows) + 1):
        batch = masked(rows * copies, display, TWO)
        assert batch.values == expected * copies
        assert batch.masked == changed * copies


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(INTEGERS, TEXTS), min_size=1, max_size=30), display=st.sampled_from(list(Display)))
def test_many_rows_are_masked_as_each_is_by_itself(rows, display):
    alone = [masked([row], display, TWO).values[0] for row in rows]
    copies = 64 // len(rows) + 1
    assert masked(rows * copies, display, TWO).values == alone * copies


@pytest.mark.parametrize("count", [20, 60, 100, 127, 300])
def test_a_mask_that_looks_like_a_number_counts_once(count):
    numbers = [number for number in PANS if len(number) == 16]
    shown = {number: f"{number[:6]}000000{number[-4:]}" for number in numbers}
    again = [number for number in numbers if number != shown[number] and ranges().holds(shown[number])]
    rows = [(again[index % len(again)], f"card {PANS[index % len(PANS)]}.") for index in range(count)]
    batch = masked(rows, Display.BIN_LAST4, TWO)
    assert [row[0] for row in batch.values] == [shown[number] for number, _ in rows]
    assert batch.masked == 2 * count


def test_random_rows_are_masked_as_each_is_by_itself():
    source = random.Random(5)
    rows = [
        with_pan(source.choice(PANS), source.choice((2, 4, 5, 7)))
        if source.random() < 0.5
        else (*NOTHING[:2], str(source.randrange(10**15, 10**16)), *NOTHING[3:])
        for _ in range(300)
    ]
    assert masked(rows).values == one_by_one(rows)
