"""GRANT statements: what a database role needs for what a policy lets its agents do, so that the database refuses too.

Source: PostgreSQL 18 documentation, GRANT, and 5.8 "Privileges".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gatepost.values import Use

# The privileges that a verb needs on a table, in the order in which they are written.
_PRIVILEGES: Final[Mapping[str, tuple[str, ...]]] = {
    "select": ("SELECT",),
    "copy_to": ("SELECT",),
    "insert": ("INSERT",),
    "copy_from": ("INSERT",),
    "copy": ("SELECT", "INSERT"),
    "update": ("UPDATE",),
    "delete": ("DELETE",),
    "merge": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "truncate": ("TRUNCATE",),
}
_BY_COLUMN: Final = frozenset(("SELECT", "INSERT", "UPDATE"))
_CALL: Final = "call"
# These need no privilege.
_FREE: Final = frozenset(("set", "show"))

# A privilege's columns: in the order in which they were named, None for all.
_Columns = dict[str, None] | None


def grants(role: str, uses: Iterable[Use]) -> list[str]:
    """The statements that give `role` what `uses` say. What no privilege can give becomes a comment."""
    schemas: dict[str, None] = {}
    tables: dict[str, dict[str, _Columns]] = {}
    routines: dict[str, None] = {}
    comments: dict[str, None] = {}
    for use in uses:
        needed = _PRIVILEGES.get(use.verb)
        if use.verb in _FREE:
            continue
        if needed is None and use.verb != _CALL:
            # A comment ends with its line, whatever the name holds.
            text = f"-- no privilege gives {use.verb} on {_qualified(use.name)}"
            comments[" ".join(text.split())] = None
            continue
        schema, dot, _ = use.name.rpartition(".")
        if dot:
            schemas[_quote(schema)] = None
        if needed is None:
            routines[_qualified(use.name)] = None
        else:
            privileges = tables.setdefault(_qualified(use.name), {})
            for privilege in needed:
                columns = use.columns if privilege in _BY_COLUMN else None
                privileges[privilege] = _joined(privileges.get(privilege, {}), columns)
    to = f"TO {_quote(role)};"
    return [
        *(f"GRANT USAGE ON SCHEMA {schema} {to}" for schema in schemas),
        *(
            f"GRANT {', '.join(said)} ON TABLE {table} {to}"
            for table, privileges in tables.items()
            if (said := [_said(*each) for each in privileges.items() if each[1] is None or each[1]])
        ),
        *(f"GRANT EXECUTE ON ROUTINE {routine} {to}" for routine in routines),
        *comments,
    ]


def _joined(known: _Columns, columns: tuple[str, ...] | None) -> _Columns:
    return None if known is None or columns is None else known | dict.fromkeys(columns)


def _said(privilege: str, columns: _Columns) -> str:
    if columns is None:
        return privilege
    return f"{privilege} ({', '.join(_quote(column) for column in columns)})"


def _qualified(name: str) -> str:
    schema, dot, own = name.rpartition(".")
    return f"{_quote(schema)}.{_quote(own)}" if dot else _quote(own)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
