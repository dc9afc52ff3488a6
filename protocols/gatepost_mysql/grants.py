"""GRANT statements: what a database role needs for what a policy lets its agents do, so that the database refuses too.

Source: MySQL 9 manual, "GRANT Statement".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gatepost.values import Use
from gatepost_sql.privileges import Privileges, comment

# The privileges that a verb needs on a table, in the order in which they are written. To truncate is to drop.
_PRIVILEGES: Final[Mapping[str, tuple[str, ...]]] = {
    "select": ("SELECT",),
    "insert": ("INSERT",),
    "update": ("UPDATE",),
    "delete": ("DELETE",),
    "truncate": ("DROP",),
}
_CALL: Final = "call"
# These need no privilege, or are PostgreSQL's alone.
_FREE: Final = frozenset(("set", "show", "copy", "merge", "notify"))


def grants(role: str, uses: Iterable[Use]) -> list[str]:
    """The statements that give `role` what `uses` say. What no privilege can give becomes a comment."""
    comments: dict[str, None] = {}
    privileges = Privileges(_quote)
    to = f"TO {_quote(role)};"
    for use in uses:
        needed = _PRIVILEGES.get(use.verb)
        if use.verb in _FREE:
            continue
        name = privileges.qualified(use.name)
        if needed is not None:
            privileges.add(use, needed)
        elif use.verb == _CALL:
            comments[comment(f"GRANT EXECUTE ON PROCEDURE {name} {to} -- or ON FUNCTION, if it is one")] = None
        else:
            comments[comment(f"no privilege gives {use.verb} on {name}")] = None
    return [*(f"GRANT {said} ON {table} {to}" for table, said in privileges.by_table()), *comments]


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
