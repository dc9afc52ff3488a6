"""GRANT statements: what a database role needs for what a policy lets its agents do, so that the database refuses too.

Source: PostgreSQL 18 documentation, GRANT, and 5.8 "Privileges".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gatepost.values import Use
from gatepost_sql import Context, facts
from gatepost_sql.catalogue import Catalogue, Relation, RelationKind
from gatepost_sql.privileges import Privileges, comment

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
_CALL: Final = "call"
# These need no privilege.
_FREE: Final = frozenset(("set", "show"))


def grants(role: str, uses: Iterable[Use], catalogue: Catalogue) -> list[str]:
    """The statements that give `role` what `uses` say. What no privilege can give becomes a comment."""
    schemas: dict[str, None] = {}
    sequences: dict[str, None] = {}
    routines: dict[str, None] = {}
    comments: dict[str, None] = {}
    privileges = Privileges(_quote)
    for use in uses:
        needed = _PRIVILEGES.get(use.verb)
        if use.verb in _FREE:
            continue
        name = privileges.qualified(use.name)
        if needed is None and use.verb != _CALL:
            comments[comment(f"no privilege gives {use.verb} on {name}")] = None
            continue
        drawn = _sequences(use.name, catalogue) if needed is not None and "INSERT" in needed else []
        for each in (use.name, *drawn):
            schema, dot, _ = each.rpartition(".")
            if dot:
                schemas[_quote(schema)] = None
        sequences.update(dict.fromkeys(map(privileges.qualified, drawn)))
        if needed is None:
            routines[name] = None
        else:
            privileges.add(use, needed)
    to = f"TO {_quote(role)};"
    return [
        *(f"GRANT USAGE ON SCHEMA {schema} {to}" for schema in schemas),
        *(f"GRANT {said} ON TABLE {table} {to}" for table, said in privileges.by_table()),
        *(f"GRANT USAGE ON SEQUENCE {sequence} {to}" for sequence in sequences),
        *(f"GRANT EXECUTE ON ROUTINE {routine} {to}" for routine in routines),
        *comments,
    ]


def _sequences(name: str, catalogue: Catalogue) -> list[str]:
    """The sequences that inserting into a table takes, also through a view; those of identity columns it does not."""
    found = list(_relations(name, catalogue))
    for view in [relation for relation in found if relation.kind is RelationKind.VIEW]:
        for use in facts(view.definition, context=Context(catalogue=catalogue)).objects:
            found += _relations(use.name, catalogue)
    drawn = (each for relation in found for attribute in relation.attributes for each in attribute.sequences)
    return list(dict.fromkeys(drawn))


def _relations(name: str, catalogue: Catalogue) -> tuple[Relation, ...]:
    schema, _, own = name.rpartition(".")
    return catalogue.relations_named(own).get(schema, ())


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
