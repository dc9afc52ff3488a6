"""Least privilege in MySQL's own words.

Source: MySQL 9 manual, "GRANT Statement".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gatepost.values import Use

_PRIVILEGES: Final = {"select": "SELECT", "insert": "INSERT", "update": "UPDATE", "delete": "DELETE"}
# Those that can be given on columns.
_BY_COLUMN: Final = frozenset(("select", "insert", "update"))


def grants(role: str, uses: Iterable[Use]) -> list[str]:
    """The statements that give a role what `uses` say, by object and verb; verbs without a privilege are left out."""
    statements = set()
    for use in uses:
        privilege = _PRIVILEGES.get(use.verb)
        if privilege is None:
            continue
        columns = ""
        if use.columns and use.verb in _BY_COLUMN:
            columns = f" ({', '.join(map(_quoted, sorted(use.columns)))})"
        name = ".".join(map(_quoted, use.name.split(".")))
        statements.add((use.name, f"GRANT {privilege}{columns} ON {name} TO {_quoted(role)}"))
    return [text for _, text in sorted(statements)]


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
