"""`facts`, with what was found out before: by exact text, and by text without literals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from gatepost.values import Facts
from gatepost_sql import mysql, postgres

Judge: TypeAlias = Callable[[str], Facts]

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
    judges = _DIALECTS.get(dialect)
    if judges is None:
        raise ValueError(f"no such SQL dialect: {dialect!r}; known are {', '.join(sorted(_DIALECTS))}")
    short, long, judge = judges
    if len(text) <= _SHORT:
        return short(text)
    return long(text) if len(text) <= _LONG else judge(text)


def _cached(judge: Judge) -> tuple[Judge, Judge, Judge]:
    """A dialect's judge: for short texts, for long ones, and for the longest."""
    return lru_cache(maxsize=4096)(judge), lru_cache(maxsize=64)(judge), judge


_DIALECTS: Final[Mapping[str, tuple[Judge, Judge, Judge]]] = {
    "postgres": _cached(postgres.judge),
    "mysql": _cached(mysql.judge),
}
