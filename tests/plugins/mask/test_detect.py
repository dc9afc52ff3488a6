"""Card numbers in texts: every brand, every separator, every script, whatever stands beside them."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
import unicodedata
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cards import of_every_brand

from gatepost_mask.detect import mask
from gatepost_mask.display import Display
from gatepost_mask.prefilter import maybe_text

PANS = of_every_brand(7)
SEPARATORS = {
    "space": " ",
    "double space": "  ",
    "dash": "-",
    "spaced dash": " - ",
    "dot": ".",
    "underscore": "_",
    "no-break space": "\u00a0",
    "soft hyphen": "\u00ad",
    "en dash": "\u2013",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "narrow no-break space": "\u202f",
    "middle dot": "\u00b7",
    "combining mark": "\u0336",
    "newline": "\n",
    "return and newline": "\r\n",
    "tab": "\t",
}
PRINTED = {"comma": ",", "comma and space": ", ", "semicolon": ";", "bar": "|", "slash": "/", "quotes": '","'}
SCRIPTS = {
    "Arabic-Indic": "\u0660",
    "Persian": "\u06f0",
    "Devanagari": "\u0966",
    "full-width": "\uff10",
    "subscript": "\u2080",
    "bold": "\U0001d7ce",
}
SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"
NEIGHBOURS = [
    "{}",
    "pan{}x",
    "<{}>",
    "x{}",
    "{}€",
    "карта {} клиента",
    "カード{}です",
    '{{"p": "{}"}}',
    "a=1&pan={}&b=2",
    "'{}':1",
    "({})",
]


def digits(text: str) -> str:
    """Every digit that a reader of the text could see, by its own means."""
    return "".join(
        str(unicodedata.digit(character)) for character in text if unicodedata.digit(character, None) is not None
    )


def by_four(pan: str, separator: str) -> str:
    return separator.join(re.findall("..?.?.?", pan))


@pytest.mark.parametrize("pan", PANS)
def test_the_last_four_digits_are_left_of_a_number(pan):
    masked = mask(pan, Display.LAST4)
    assert len(masked) == len(pan)
    assert set(masked[:-4]) == {"*"}
    assert masked[-4:].replace("*", "") == pan[-4:][-len(masked[-4:].replace("*", "")) :]


def test_a_known_number_as_each_role_sees_it():
    assert mask("4111111111111111", Display.LAST4) == "************1111"
    assert mask("4111111111111111", Display.BIN_LAST4) == "411111******1111"
    assert mask("4111111111111111", Display.CLEAR) == "4111111111111111"
    assert mask("4111 1111-1111.1111", Display.BIN_LAST4) == "4111 11**-****.1111"


@pytest.mark.parametrize("display", [Display.LAST4, Display.BIN_LAST4])
@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_no_neighbour_hides_a_number(neighbour, display):
    for pan in PANS:
        text = neighbour.format(pan)
        masked = mask(text, display)
        assert pan not in digits(masked)
        assert len(masked) == len(text)
        assert masked.startswith(neighbour.partition("{")[0].replace("{{", "{")[:3])


@pytest.mark.parametrize("separator", SEPARATORS.values(), ids=SEPARATORS)
def test_no_separator_hides_a_number(separator):
    for pan in PANS:
        text = f"card {by_four(pan, separator)} of a customer"
        masked = mask(text, Display.LAST4)
        assert digits(masked) in (pan[-4:], pan[-3:], pan[-2:], pan[-1:], "")
        assert len(masked) == len(text)
        assert maybe_text(text)


@pytest.mark.parametrize("separator", [SEPARATORS[name] for name in ("space", "tab", "zero-width space", "dot")])
def test_no_place_of_a_separator_hides_a_number(separator):
    for pan in PANS:
        for place in range(1, len(pan)):
            assert pan not in digits(mask(pan[:place] + separator + pan[place:], Display.LAST4))


@pytest.mark.parametrize("separator", PRINTED.values(), ids=PRINTED)
def test_lists_of_printed_groups_hide_no_number(separator):
    for pan in PANS:
        if len(pan) == 16:
            text = f"[{by_four(pan, separator)}]"
            assert maybe_text(text)
            assert digits(mask(text, Display.LAST4)) == pan[-4:]
    assert digits(mask("3782,822463,10005", Display.LAST4)) == "0005"


@pytest.mark.parametrize(
    "script", [*("".join(chr(ord(zero) + n) for n in range(10)) for zero in SCRIPTS.values()), SUPERSCRIPT]
)
def test_no_script_hides_a_number(script):
    for pan in PANS:
        text = pan.translate(dict(zip(map(ord, "0123456789"), script, strict=True)))
        masked = mask(f"№ {text}.", Display.LAST4)
        assert maybe_text(text)
        assert pan not in digits(masked)
        assert len(masked) == len(text) + 3


@pytest.mark.parametrize("padded", ["{:0>24}", "{:0<24}", "{}.00", "{}.0000000000000000"])
def test_padding_hides_no_number(padded):
    for pan in PANS:
        assert pan not in digits(mask(padded.format(pan), Display.LAST4))


def test_numbers_end_to_end_are_found():
    for first, second in itertools.pairwise(PANS):
        masked = mask(first + second, Display.LAST4)
        assert first not in masked
        assert second not in masked


def test_a_widely_met_number_is_found_between_other_digits():
    for number in ("4111111111111111", "5555555555554444", "6011111111111117"):
        for text in (f"9{number}", f"{number}9", f"1000{number}1226"):
            assert number not in mask(text, Display.LAST4)
    assert "378282246310005" not in mask("1000378282246310005", Display.LAST4)


def test_overlapping_numbers_show_no_more_than_each_may():
    # The number of 16 digits and that of 18, with the two behind it, are both valid.
    assert mask("4111111111111111.00", Display.LAST4) == "**************11.00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%B4111111111111111^DOE/JOHN^26121010000000000?", "[removed]"),
        ("swiped %B4111111111111111^DOE/JOHN^2612101? today", "swiped [removed] today"),
        (";4111111111111111=26121010000000000?", "[removed]"),
        ("4111111111111111D2612101", "[removed]"),
        ("4111111111111111 12/26 123", "************1111 12/26 [removed]"),
        ("4111111111111111|12|2026|1234", "************1111|12|2026|[removed]"),
        ("pan=4111111111111111 cvv=123", "pan=************1111 cvv=[removed]"),
        ("pan 4111111111111111, CVC2: 123", "pan ************1111, CVC2: [removed]"),
    ],
)
def test_sensitive_authentication_data_is_removed(text, expected):
    assert mask(text, Display.LAST4) == expected
    assert maybe_text(text)


def test_sensitive_authentication_data_is_removed_for_every_role():
    assert mask(";4111111111111111=26121010000000000?", Display.CLEAR) == "[removed]"
    assert mask("4111111111111111 12/26 123", Display.CLEAR) == "4111111111111111 12/26 [removed]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111",
        "2026-11-23 08:00:00.123456+00",
        "1700000000000000",
        "+1 555 123 4567",
        "192.168.100.200",
        "978-3-16-148410-0",
        "00000000-0000-0000-0000-000000000000",
        "************1111",
        "[2021,2022,2023,2024,2025,2026]",
        "1,234,567.89",
    ],
)
def test_what_is_no_number_stays_the_same_object(text):
    assert mask(text, Display.LAST4) is text


def rate(texts: list[str]) -> float:
    return sum(mask(text, Display.LAST4) is not text for text in texts) / len(texts)


def test_false_positives_stay_within_their_bounds():
    source = random.Random(20261123)
    many = range(4000)
    bounds = {
        "random numbers of 16 digits": ([str(source.randrange(10**15, 10**16)) for _ in many], 0.08),
        "random numbers of 20 digits": ([str(source.randrange(10**19, 10**20)) for _ in many], 0.25),
        "microseconds since 1970": ([str(1_700_000_000_000_000 + source.randrange(10**14)) for _ in many], 0.0),
        "milliseconds since 1970": ([str(1_700_000_000_000 + source.randrange(10**11)) for _ in many], 0.0),
        "IMEI": ([str(source.randrange(35 * 10**13, 36 * 10**13)) for _ in many], 0.01),
        "MD5": ([hashlib.md5(b"%d" % index).hexdigest() for index in many], 0.01),
        "UUID": ([str(uuid.UUID(int=source.getrandbits(128), version=4)) for _ in many], 0.01),
        "ISBN": ([f"978-{source.randrange(10**9):09}{source.randrange(10)}" for _ in many], 0.0),
        "timestamps": (
            [f"2026-{month:02}-11 08:{minute:02}:12.345678" for month in range(1, 13) for minute in range(60)],
            0.0,
        ),
    }
    assert {name: rate(texts) for name, (texts, bound) in bounds.items() if rate(texts) > bound} == {}


ASIDE = st.text(st.characters(exclude_categories=["Cs", "Nd", "No", "Nl"]), max_size=12)


@given(before=ASIDE, pan=st.sampled_from(PANS), after=ASIDE, separator=st.sampled_from(["", *SEPARATORS.values()]))
def test_no_text_shows_the_number_that_is_in_it(before, pan, after, separator):
    text = before + by_four(pan, separator) + after
    assert maybe_text(text)
    assert pan not in digits(mask(text, Display.LAST4))
    assert pan not in digits(mask(text, Display.BIN_LAST4))


@given(text=st.text(st.characters(codec="utf-8"), max_size=60))
def test_the_prefilter_keeps_its_promise(text):
    if mask(text, Display.LAST4) is not text:
        assert maybe_text(text)


@given(text=st.text("0123456789 -.,'\"\n\t;", max_size=60))
def test_the_prefilter_keeps_its_promise_on_texts_of_digits(text):
    if mask(text, Display.LAST4) is not text:
        assert maybe_text(text)


@given(text=st.text("0123456789 *", max_size=60))
def test_a_masked_text_is_masked_no_further(text):
    masked = mask(text, Display.LAST4)
    assert mask(masked, Display.LAST4) == masked
