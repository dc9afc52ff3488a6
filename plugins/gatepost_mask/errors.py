"""Errors in which the database tells values: what is left of them where columns are tagged.

`reverse(pan)::date` fails with the reversed number in its message, `chr(left(pan, 9)::int)` with nine digits of it,
MySQL tells which latitude is out of range, and a violated constraint shows the whole row in its detail. Nothing tells
whether a tagged column's value is in there, so nothing is shown that may be a value. An error about the statement's own
text is left as it is.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost import Notice, NoticeKind
from gatepost_mask.display import REMOVED

# Classes of SQLSTATE codes: data exceptions, and integrity violations, whose message has names alone.
_DATA: Final = "22"
_INTEGRITY: Final = "23"
# Of notices by which nothing is the matter: a DROP … IF EXISTS, or what a function's author has to say.
_SUCCESS: Final = "00000"
_ABOUT_VALUES: Final = ("detail", "where", "query")
_TELLING: Final = ("message", "hint", *_ABOUT_VALUES)
# From the first quote to the last of its kind, for a value may have quotes in it.
_QUOTED: Final = re.compile(r"""(["']).*\1""", re.DOTALL)
# What is told without quotes: behind a colon, in digits, or as PostgreSQL's to_ascii does.
_UNQUOTED: Final = re.compile(r"""(?<=: )[^"'].*|\S*[0-9]\S*|\A.*(?= is not a valid encoding name)""", re.DOTALL)


def hide_values(notice: Notice) -> None:
    """Take the values out of the texts of an error or a warning."""
    is_warning = notice.kind is NoticeKind.NOTICE and notice.code != _SUCCESS
    if notice.is_about_text or not (is_warning or notice.kind is NoticeKind.ERROR):
        return
    fields = notice.fields
    if notice.code.startswith((_DATA, _INTEGRITY)):
        fields.update({name: REMOVED for name in _ABOUT_VALUES if name in fields})
    if not notice.code.startswith(_INTEGRITY):
        fields.update({name: _without_values(fields[name]) for name in _TELLING if name in fields})


def _without_values(text: str) -> str:
    return _UNQUOTED.sub(REMOVED, _QUOTED.sub(rf"\1{REMOVED}\1", text))
