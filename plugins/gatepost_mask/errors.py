"""Errors in which the database quotes values: what is left of them where columns are tagged.

`reverse(pan)::date` fails with the reversed number in its message, `reverse(pan)::regclass` names it as a table that is
missing, and a violated constraint shows the whole row in its detail. Numbers come without quotes: MySQL tells which
latitude is out of range. Nothing tells whether a tagged column's value is in there, so nothing quoted is shown, and no
number of a message. An error about the statement's own text is left as it is.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost import Notice, NoticeKind
from gatepost_mask.display import REMOVED

# Classes of SQLSTATE codes: data exceptions, and integrity violations, whose message has names alone.
_DATA: Final = "22"
_INTEGRITY: Final = "23"
_ABOUT_VALUES: Final = ("detail", "where", "query")
_QUOTING: Final = ("message", "hint", *_ABOUT_VALUES)
# Not the digits of a function's name.
_NUMBER: Final = re.compile(r"(?<![\w$])[0-9][\w.:/+-]*(?<![.:])")
# From the first quote to the last of its kind, for a value may have quotes in it.
_QUOTED: Final = re.compile(r"""(["']).*\1""", re.DOTALL)


def hide_quoted(notice: Notice) -> None:
    """Take the values out of an error's texts."""
    fields = notice.fields
    if notice.kind is not NoticeKind.ERROR or notice.is_about_text:
        return
    if notice.code.startswith((_DATA, _INTEGRITY)):
        fields.update({name: REMOVED for name in _ABOUT_VALUES if name in fields})
    if not notice.code.startswith(_INTEGRITY):
        fields.update({name: _QUOTED.sub(rf"\1{REMOVED}\1", fields[name]) for name in _QUOTING if name in fields})
        if "message" in fields:
            fields["message"] = _NUMBER.sub(REMOVED, fields["message"])
