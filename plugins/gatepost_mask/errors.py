"""Errors in which the database quotes values: what is left of them where columns are tagged.

`reverse(pan)::date` fails with the reversed number in its message, and a violated constraint with the whole row in its
detail. Nothing tells whether a tagged column's value is in there, so no quoted value is shown.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost import Notice, NoticeKind
from gatepost_mask.display import REMOVED

# Classes of SQLSTATE codes: data exceptions quote values anywhere, integrity violations in their detail.
_DATA: Final = "22"
_INTEGRITY: Final = "23"
_ABOUT_VALUES: Final = ("detail", "where", "query")
# From the first quote to the last, for a value may have quotes in it.
_QUOTED: Final = re.compile(r'".*"', re.DOTALL)


def hide_quoted(notice: Notice) -> None:
    """Take the values out of an error's texts."""
    if notice.kind is not NoticeKind.ERROR or not notice.code.startswith((_DATA, _INTEGRITY)):
        return
    for name in _ABOUT_VALUES:
        if name in notice.fields:
            notice.fields[name] = REMOVED
    if notice.code.startswith(_DATA):
        for name in ("message", "hint"):
            if name in notice.fields:
                notice.fields[name] = _QUOTED.sub(f'"{REMOVED}"', notice.fields[name])
