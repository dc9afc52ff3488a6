"""The data file, and the tables made of it."""

from __future__ import annotations

import random
import re

import pytest
from tests.cards import of_every_brand

from gatepost.demo.shop import card_number
from gatepost_mask.ranges import LANE, LONGEST, SHORTEST, brands, luhn, ranges

BRANDS = [(brand, prefix, length) for brand in brands() for prefix in brand.prefixes for length in brand.lengths]


def ends(prefix: str) -> set[str]:
    low, _, high = prefix.partition("-")
    return {low, high or low}


@pytest.mark.parametrize(
    ("brand", "prefix", "length"), BRANDS, ids=[f"{brand.name} {prefix} {length}" for brand, prefix, length in BRANDS]
)
def test_numbers_at_both_ends_of_every_range_are_card_numbers(brand, prefix, length):
    for end in ends(prefix):
        number = card_number(end, length, random.Random(length))
        assert ranges().holds(number)
        changed = number[:-1] + str((int(number[-1]) + 1) % 10)
        assert ranges().holds(changed) is any(
            not other.luhn and length in other.lengths and number.startswith(tuple(other.prefixes))
            for other in brands()
        )


def test_numbers_of_the_tests_own_list_are_card_numbers():
    assert [pan for pan in of_every_brand(1) if not ranges().holds(pan)] == []


@pytest.mark.parametrize(
    "number",
    [
        "0000000000000000",
        "9999999999999995",
        "490154203237518",
        "7011111111111116",
        "2720999999999996"[:15],
        "2721000000000004",
        "2220999999999990",
    ],
)
def test_luhn_alone_makes_no_card_number(number):
    assert not ranges().holds(number)


def test_every_length_is_one_that_a_table_has_a_bit_for():
    assert {length for brand in brands() for length in brand.lengths} <= set(range(SHORTEST, LONGEST + 1))


@pytest.mark.parametrize("length", range(SHORTEST, 17))
def test_the_expression_of_a_length_matches_its_prefixes_and_no_other(length):
    expression = re.compile(ranges().prefixes(length))
    for prefix in range(0, 10**6, 7):
        digits = f"{prefix:06}"
        fits = digits[0] != "0" and ranges().lengths(digits) >> (length - SHORTEST) & 1
        assert bool(expression.match(digits)) == bool(fits)


@pytest.mark.parametrize("length", range(SHORTEST, 17))
def test_many_numbers_are_checked_together_as_each_is_by_itself(length):
    source = random.Random(length)
    numbers = [card_number("4", length, source).encode() for _ in range(50)]
    padding = b"0" * (LANE - length)
    assert luhn(padding + padding.join(numbers)) == bytes(len(numbers))
    for at in (0, 24, 49):
        for digit in range(length):
            other = bytearray(numbers[at])
            other[digit] = 48 + (other[digit] - 48 + source.randrange(1, 10)) % 10
            missed = luhn(padding + padding.join([*numbers[:at], other, *numbers[at + 1 :]]))
            assert [index for index, some in enumerate(missed) if some] == [at]
