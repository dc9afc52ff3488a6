"""GRANT statements: what a database role needs for what a policy lets its agents do, so that the database refuses too.

Source: MySQL 9 manual, "GRANT Statement".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gatepost.values import Use

# The privileges that a verb needs on a table, in the order in which they are written. To truncate is to drop.
_PRIVILEGES: Final[Mapping[str, tuple[str, ...]]] = {
    "select": ("SELECT",),
    "insert": ("INSERT",),
    "update": ("UPDATE",),
    "delete": ("DELETE",),
    "truncate": ("DROP",),
}
_BY_COLUMN: Final = frozenset(("SELECT", "INSERT", "UPDATE"))
_CALL: Final = "call"
# These need no privilege, or are PostgreSQL's alone.
_FREE: Final = frozenset(("set", "show", "copy", "merge", "notify"))

# A privilege's columns: in the order in which they were named, None for all.
_Columns = dict[str, None] | None


def grants(role: str, uses: Iterable[Use]) -> list[str]:
    """The statements that give `role` what `uses` say. What no privilege can give becomes a comment."""
    tables: dict[str, dict[str, _Columns]] = {}
    comments: dict[str, None] = {}
    to = f"TO {_quote(role)};"
    for use in uses:
        needed = _PRIVILEGES.get(use.verb)
        if use.verb in _FREE:
            continue
        name = _qualified(use.name)
        if needed is None:
            text = f"-- no privilege gives {use.verb} on {name}"
            if use.verb == _CALL:
                text = f"-- GRANT EXECUTE ON PROCEDURE {name} {to} -- or ON FUNCTION, if it is one"
            # A comment ends with its line, whatever the name holds.
            comments[" ".join(text.split())] = None
            continue
        privileges = tables.setdefault(name, {})
        for privilege in needed:
            columns = use.columns if privilege in _BY_COLUMN else None
            privileges[privilege] = _joined(privileges.get(privilege, {}), columns)
    return [
        *(
            f"GRANT {', '.join(said)} ON {table} {to}"
            for table, privileges in tables.items()
            if (said := [_said(*each) for each in privileges.items() if each[1] is None or each[1]])
        ),
        *comments,
    ]


def _joined(known: _Columns, columns: tuple[str, ...] | None) -> _Columns:
    return None if known is None or columns is None else known | dict.fromkeys(columns)


def _said(privilege: str, columns: _Columns) -> str:
    if columns is None:
        return privilege
    return f"{privilege} ({', '.join(map(_quote, columns))})"


def _qualified(name: str) -> str:
    database, dot, own = name.rpartition(".")
    return f"{_quote(database)}.{_quote(own)}" if dot else _quote(own)


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
