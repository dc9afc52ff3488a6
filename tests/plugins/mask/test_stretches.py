"""Where card numbers can lie: the same for few bytes and for many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cards import of_every_brand

from gatepost_mask.stretches import are_many, classify, stretches, stretches_of_many

PIECES = st.one_of(
    st.binary(max_size=6),
    st.text("0123456789", max_size=30).map(str.encode),
    st.text("0123456789 -.,", max_size=40).map(str.encode),
    st.just(b" " * 30),
    st.just(b"4111,1111"),
)


def of_few(data: bytes) -> list[tuple[int, int]]:
    classes = classify(data)
    return [] if classes is None else list(stretches(data, classes))


def of_many(data: bytes) -> list[tuple[int, int]]:
    starts, ends = stretches_of_many(data)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


@given(data=st.lists(PIECES, max_size=12).map(b"x".join))
def test_few_and_many_bytes_have_the_same(data):
    assert of_many(data) == of_few(data)


@given(data=st.lists(PIECES, max_size=12).map(b"x".join), before=st.integers(0, 9), behind=st.integers(0, 9))
def test_it_does_not_matter_where_they_lie(data, before, behind):
    shifted = [(start + before, end + before) for start, end in of_few(data)]
    assert of_many(b"x" * before + data + b"x" * behind) == shifted


@pytest.mark.parametrize("find", [of_few, of_many], ids=["few", "many"])
def test_every_number_is_in_one(find):
    for pan in of_every_brand(3):
        groups = [group for group in (pan[:4], pan[4:8], pan[8:12], pan[12:]) if group]
        for separator in ("", " - ", ","):
            data = b"D\0" + separator.join(groups).encode()
            assert find(data) == [(2, len(data))]
            assert find(data + b"x") == [(2, len(data))]


@pytest.mark.parametrize("find", [of_few, of_many], ids=["few", "many"])
def test_fewer_digits_make_none(find):
    assert find(b"") == []
    assert find(b"2026-11-23 08:00:00") == []
    assert find(b" " * 100) == []


@given(data=st.lists(PIECES, max_size=12).map(b"x".join))
def test_many_bytes_have_those_of_a_few(data):
    many = data + b"x" * 16384
    assert of_few(many) == of_few(data)
    assert of_many(many) == of_many(data)


@given(data=st.lists(PIECES, max_size=4).map(b"x".join))
def test_many_stretches_are_those_of_few(data):
    many = (data + b"x") * 150
    assert of_many(many) == of_few(many)


@pytest.mark.parametrize("separators", [1000, 5000])
def test_a_grouped_number_is_found_behind_many_separators(separators):
    data = b"a," * separators + b"x4111,1111,1111,1111"
    assert of_many(data) == of_few(data) == [(len(data) - 19, len(data))]


@pytest.mark.parametrize(("copies", "expected"), [(1, False), (100, False), (200, True), (10_000, True)])
def test_whether_there_are_many_is_told_by_a_sample(copies, expected):
    assert are_many(b"x4111111111111111" * copies) is expected
    assert are_many(b"x4111111111111111" * copies, alone=True) is expected
    assert are_many(b"x4111-1111-1111-1111" * copies) is expected
    assert not are_many(b"x4111-1111-1111-1111" * copies, alone=True)
    assert not are_many(b"x" * 16384 + b"x4111111111111111" * copies)
