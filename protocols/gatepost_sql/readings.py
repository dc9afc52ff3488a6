r"""The other way to read a text: with `standard_conforming_strings` off, a backslash escapes in plain strings too.

A statement that no text gives away (a DO block, a function) can turn the setting off, and what was sent behind it is
then read so. In `SELECT '\', '; DROP TABLE t; --'` that makes all the difference.

Source: PostgreSQL 18 documentation, 4.1.2.1 and 4.1.2.2.
"""

from __future__ import annotations

import re
from typing import Final

from postgast import PgQueryError, scan
from postgast.pg_query_pb2 import Token

from gatepost_sql.errors import NotUnderstood

# Each makes another scan necessary.
MAX_DIFFERENCES: Final = 16

# A plain string that ends at the same quote in both readings.
_ends_alike = re.compile(rb"'(?:[^'\\]|\\.|'')*'", re.DOTALL).fullmatch


def escaping(text: str) -> str | None:
    """A text that means now what `text` means with the setting off.

    None if that differs in the values of strings alone, or is no SQL. Raises NotUnderstood if they differ too often.
    """
    before, rest = b"", text.encode()
    for _ in range(MAX_DIFFERENCES):
        try:
            start = _first_difference(rest)
        except (PgQueryError, UnicodeDecodeError):
            return None
        if start is None:
            return (before + rest).decode() if before else None
        before += rest[:start] + b" "
        rest = b"E" + rest[start:]
    raise NotUnderstood("what its strings are depends on standard_conforming_strings")


def _first_difference(data: bytes) -> int | None:
    """Where the first string starts that ends somewhere else in the other reading."""
    for token in scan(data.decode()).tokens:
        if token.token == Token.SCONST and data[token.start] == ord("'"):
            string = data[token.start : token.end]
            if b"\\" in string and not _ends_alike(string):
                return int(token.start)
    return None
