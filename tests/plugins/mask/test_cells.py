"""Scalars of every kind: masked, and still of their kind."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cards import of_every_brand

from gatepost import Kind, Scalar
from gatepost_mask.cells import hide_digits, mask_cell, mask_digits, mask_scalar
from gatepost_mask.display import Display

PANS = of_every_brand(11)
NUMBERS = [pan for pan in PANS if int(pan) < 1 << 63]


def masked(kind: Kind, text: str, display: Display = Display.LAST4) -> str:
    return mask_scalar(Scalar(kind, text, 8 if kind is Kind.INTEGER else 0), display)


@pytest.mark.parametrize("pan", NUMBERS)
def test_an_integer_stays_an_integer_of_its_length(pan):
    for display in (Display.LAST4, Display.BIN_LAST4):
        number = masked(Kind.INTEGER, pan, display)
        assert len(str(int(number))) == len(pan)
        assert int(number) < 1 << 63
        assert number != pan
        assert masked(Kind.INTEGER, number, Display.LAST4)[-4:] in (number[-4:], "0" * 4, "00" + number[-2:])


def test_a_number_as_each_role_sees_it():
    assert masked(Kind.INTEGER, "4111111111111111") == "9000000000001111"
    assert masked(Kind.INTEGER, "4111111111111111", Display.BIN_LAST4) == "4111110000001111"
    assert masked(Kind.INTEGER, "4111111111111111", Display.CLEAR) == "4111111111111111"
    assert masked(Kind.INTEGER, "-4111111111111111") == "-9000000000001111"
    assert masked(Kind.DECIMAL, "5555555555554444.50") == "9000000000004444.50"
    assert masked(Kind.FLOAT, "4.111111111111111e+15") == "9000000000001111"


@pytest.mark.parametrize("shape", ["{}", "{}.00", "{}.5", "-{}", "{}.0000000000000000"])
def test_a_decimal_keeps_its_scale(shape):
    for pan in PANS:
        text = shape.format(pan)
        number = masked(Kind.DECIMAL, text)
        assert pan not in number
        assert Decimal(number).as_tuple().exponent == Decimal(text).as_tuple().exponent
        assert Decimal(number).is_signed() == Decimal(text).is_signed()


@pytest.mark.parametrize("places", [1, 2, 4])
def test_a_fraction_hides_no_number(places):
    for pan in PANS:
        text = f"{pan[:-places]}.{pan[-places:]}0000000000"
        assert pan not in masked(Kind.DECIMAL, text).replace(".", "")


def test_a_float_hides_no_number_that_it_has_rounded():
    for pan in PANS:
        shown = repr(float(pan)) if float(pan) >= 1e16 else f"{float(pan):.0f}"
        assert f"{float(masked(Kind.FLOAT, shown)):.0f}"[:9] != pan[:9]


@pytest.mark.parametrize("text", ["51.23456789012345", "4.111111111111111e-05", "NaN", "Infinity", "-12.5", "1e+300"])
def test_measures_are_no_numbers(text):
    assert masked(Kind.FLOAT, text) == text


@pytest.mark.parametrize("text", ["4.1111111111111111", "NaN", "40.0000000000000002", "12345678.99"])
def test_averages_are_no_numbers(text):
    assert masked(Kind.DECIMAL, text) == text


def holds(value: object, pan: str) -> bool:
    """Whether decoded JSON has the number in a string, a key or a number of it."""
    if isinstance(value, dict):
        return any(holds(part, pan) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(holds(part, pan) for part in value) or pan in "".join(map(str, value))
    return pan in str(value).replace(" ", "").replace("-", "").replace("\n", "").replace(".", "")


def escaped(pan: str) -> str:
    return "".join(f"\\u{ord(digit):04x}" for digit in pan)


@pytest.mark.parametrize(
    "shape",
    [
        '{{"card": "{pan}"}}',
        '{{"card": {pan}}}',
        '{{"card": {pan}.00}}',
        '{{"{pan}": 1}}',
        '["a", ["{pan}"], {{"b": [{pan}]}}]',
        '{{"card": "{escaped}"}}',
        '{{"card": "quoted \\"{pan}\\""}}',
        '{{"card": "{lines}"}}',
        '"{pan}"',
        "{pan}",
    ],
)
def test_json_stays_json_without_the_number(shape):
    for pan in PANS:
        lines = "\\n".join((pan[:4], pan[4:8], pan[8:]))
        text = shape.format(pan=pan, escaped=escaped(pan), lines=lines)
        assert not holds(json.loads(masked(Kind.JSON, text)), pan)


def test_json_keeps_the_types_of_its_values():
    text = '{"id": 12, "pan": 4111111111111111, "text": "4111111111111111", "lat": 51.23456789012345, "cvv": 123}'
    assert json.loads(masked(Kind.JSON, text)) == {
        "id": 12,
        "pan": 9000000000001111,
        "text": "************1111",
        "lat": 51.23456789012345,
        "cvv": None,
    }


def test_groups_of_a_number_as_elements_of_json():
    assert json.loads(masked(Kind.JSON, '["4111", "1111", "1111", "1111"]')) == ["****", "****", "****", "1111"]
    assert json.loads(masked(Kind.JSON, "[4111, 1111, 1111, 1111]")) == [9000, 9000, 9000, 1111]


@pytest.mark.parametrize("pan", PANS)
def test_bytes_hold_no_number_as_text_and_none_packed(pan):
    shown = bytes.fromhex(masked(Kind.BYTES, f"card {pan}.".encode().hex()))
    assert shown.startswith(b"card ")
    assert shown.endswith(b".")
    assert pan.encode() not in shown
    packed = pan if len(pan) % 2 == 0 else "0" + pan
    assert pan not in masked(Kind.BYTES, packed)


@pytest.mark.parametrize("kind", [Kind.TIME, Kind.BOOLEAN])
def test_kinds_that_hold_no_number_are_left_alone(kind):
    assert masked(kind, "4111111111111111") == "4111111111111111"


def test_a_uuid_is_a_number_only_if_it_is_all_digits():
    assert masked(Kind.OTHER, "41111111-1111-1111-a000-000000000000") == "41111111-1111-1111-a000-000000000000"
    assert "4111111111111111" not in masked(Kind.OTHER, "00000000-0000-0000-4111-111111111111").replace("-", "")


def cell(kind: Kind, *texts: str) -> list[str | None] | None:
    return mask_cell([Scalar(kind, text, 4 if kind is Kind.INTEGER else 0) for text in texts], Display.LAST4)


def test_elements_that_make_a_number_together():
    assert cell(Kind.TEXT, "4111", "1111", "1111", "1111") == ["****", "****", "****", "1111"]
    assert cell(Kind.INTEGER, "4111", "1111", "1111", "1111") == ["9000", "9000", "9000", "1111"]
    assert cell(Kind.TEXT, *"4111111111111111") == [*"************1111"]
    assert cell(Kind.TEXT, "first", "4111111111111111") == ["first", "************1111"]
    assert cell(Kind.INTEGER, "1", "2", "3") is None


@given(
    digits=st.text("0123456789", min_size=12, max_size=24),
    kind=st.sampled_from([Kind.TEXT, Kind.INTEGER]),
    display=st.sampled_from(list(Display)),
)
def test_digits_alone_are_masked_as_any_scalar(digits, kind, display):
    assert (mask_digits(digits, kind, display) or digits) == mask_scalar(Scalar(kind, digits, 8), display)


@given(
    pan=st.sampled_from(PANS), kind=st.sampled_from([Kind.TEXT, Kind.INTEGER]), display=st.sampled_from(list(Display))
)
def test_card_numbers_alone_are_masked_as_any_scalar(pan, kind, display):
    assert (mask_digits(pan, kind, display) or pan) == mask_scalar(Scalar(kind, pan, 8), display)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (Kind.TEXT, "4111111111111112", "************1112"),
        (Kind.TEXT, "4111 1111 1111 1112", "**** **** **** 1112"),
        (Kind.TEXT, "123", "***"),
        (Kind.INTEGER, "4111111111111112", "9000000000001112"),
        (Kind.DECIMAL, "4111111111111112", "9000000000001112"),
    ],
)
def test_a_tagged_number_is_hidden_whatever_its_digits(kind, text, expected):
    assert hide_digits(Scalar(kind, text), Display.LAST4) == expected
