"""`facts`, with what was found out before: by exact text, and by text without literals."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gatepost.values import Facts
from gatepost_sql import postgres

# Texts up to this many characters are kept by the thousand, longer ones by the dozen, the longest not at all.
_SHORT: Final = 4096
_LONG: Final = 65536


def facts(text: str, dialect: str = "postgres") -> Facts:
    """What `text` means in `dialect`. Pure, and raises for no text: what cannot be understood is UNKNOWN.

    Names are taken as they are written. The text does not prove that an unqualified function is the built-in one of its
    name, that `t.f` is a column and no call of f(t), that a table is no view and has no triggers, and that a cast or an
    operator runs no function of a user; the catalogue would.

    Raises:
        ValueError: the dialect is not known.
    """
    if dialect != "postgres":
        raise ValueError(f"no such SQL dialect: {dialect!r}; known is 'postgres'")
    if len(text) <= _SHORT:
        return _short(text)
    return _long(text) if len(text) <= _LONG else postgres.judge(text)


_short = lru_cache(maxsize=4096)(postgres.judge)
_long = lru_cache(maxsize=64)(postgres.judge)
