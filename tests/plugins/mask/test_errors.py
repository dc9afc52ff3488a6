"""What is left of the database's errors where columns are tagged."""

from __future__ import annotations

import pytest

from gatepost import Notice, NoticeKind
from gatepost.testing import make_session
from gatepost_mask import Mask, MaskConfig
from gatepost_mask.tags import Tag, TaggedColumn

GONE = "[removed]"
TAGGING = MaskConfig(columns=(TaggedColumn("cards.cvv", Tag.SAD),))


@pytest.mark.parametrize(
    ("code", "fields", "left"),
    [
        (
            "22P02",
            {"message": 'invalid input syntax for type integer: "12"34x"', "where": "JSON data, line 1: 1234x"},
            {"message": f'invalid input syntax for type integer: "{GONE}"', "where": GONE},
        ),
        (
            "22003",
            {"message": 'value "98765432109" is out of range for type integer'},
            {"message": f'value "{GONE}" is out of range for type integer'},
        ),
        (
            "54000",
            {"message": "requested character too large for encoding: 459785855"},
            {"message": f"requested character too large for encoding: {GONE}"},
        ),
        (
            "2202E",
            {"message": "index 3725211558587954 out of valid range, 0..7"},
            {"message": f"index {GONE} out of valid range, {GONE}"},
        ),
        (
            "42601",
            {"message": "improper relation name (too many dotted names): seven.x.y.z"},
            {"message": f"improper relation name (too many dotted names): {GONE}"},
        ),
        (
            "22021",
            {"message": 'invalid byte sequence for encoding "UTF8": 0xe4 0x61 0x62'},
            {"message": f'invalid byte sequence for encoding "{GONE}": {GONE}'},
        ),
        (
            "42704",
            {"message": "seven three is not a valid encoding name"},
            {"message": f"{GONE} is not a valid encoding name"},
        ),
        ("22012", {"message": "division by zero"}, {"message": "division by zero"}),
        (
            "23502",
            {"message": 'null value in column "holder"', "detail": "Failing row contains (1, null, 737)."},
            {"message": 'null value in column "holder"', "detail": GONE},
        ),
        ("42P01", {"message": 'relation "1234" does not exist'}, {"message": f'relation "{GONE}" does not exist'}),
        ("1062", {"message": "Duplicate entry '12'34' for key 'k'"}, {"message": f"Duplicate entry '{GONE}'"}),
        (
            "3616",
            {"message": "Longitude 4111111.000000 is out of range in function st_x2. It must be within (-180, 180]."},
            {"message": f"Longitude {GONE} is out of range in function {GONE} It must be within {GONE} {GONE}"},
        ),
        (
            "22008",
            {"message": "date field value out of range: 411111-01-01"},
            {"message": f"date field value out of range: {GONE}"},
        ),
        ("00000", {"message": 'value "1234"'}, {"message": f'value "{GONE}"'}),
        ("1105", {"message": "XPATH syntax error: '~1234'"}, {"message": f"XPATH syntax error: '{GONE}'"}),
    ],
)
def test_no_value_is_shown(code: str, fields: dict[str, str], left: dict[str, str]) -> None:
    notice = Notice(NoticeKind.ERROR, dict(fields), code)
    Mask(TAGGING).on_notice(make_session(), notice)
    assert notice.fields == left


def test_nor_in_a_warning() -> None:
    long = 'identifier "1234" will be truncated to "123"'
    for code, left in (("42622", f'identifier "{GONE}"'), ("00000", long)):
        notice = Notice(NoticeKind.NOTICE, {"message": long}, code)
        Mask(TAGGING).on_notice(make_session(), notice)
        assert notice.fields == {"message": left}


@pytest.mark.parametrize(
    ("code", "message"),
    [("42703", 'column "nam" does not exist'), ("22P02", 'invalid input syntax for type integer: "12x"')],
)
def test_an_error_about_the_text_is_as_it_was(code: str, message: str) -> None:
    notice = Notice(NoticeKind.ERROR, {"message": message, "position": "8"}, code, is_about_text=True)
    Mask(TAGGING).on_notice(make_session(), notice)
    assert notice.fields["message"] == message


def test_where_nothing_is_tagged_errors_are_as_they_were() -> None:
    notice = Notice(NoticeKind.ERROR, {"message": 'invalid input syntax for type integer: "12x"'}, "22P02")
    Mask(MaskConfig()).on_notice(make_session(), notice)
    assert notice.fields == {"message": 'invalid input syntax for type integer: "12x"'}
