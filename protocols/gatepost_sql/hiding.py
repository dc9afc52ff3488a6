"""What a statement may hide while nobody can tell what its names stand for: columns of others under their own names.

A table shows its own columns alone. A view, or a function that is a query, may show those of any table. Where the
catalogue is stale, everything may have become one. Within the transaction that makes it stale for one session alone,
what that session has defined is seen, and the catalogue still tells of the rest.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost.values import Effect, Facts
from gatepost_sql.catalogue import SYSTEM_SCHEMAS, Catalogue, Relation, RelationKind

# Verbs that read nothing of what they are on.
_BLIND: Final = frozenset(
    ("insert", "create", "alter", "drop", "comment", "references", "lock", "truncate", "vacuum", "analyze", "refresh")
)
# Verbs of statements that show no rows, whatever they run.
_SILENT: Final = frozenset(("do",))
# Verbs of statements that run no query. Whoever may read nothing any more has to end the transaction by them.
_WITHOUT_QUERY: Final = frozenset(
    (
        *("begin", "commit", "rollback", "savepoint", "release", "rollback_to", "set", "reset", "set_constraints"),
        *("prepare_transaction", "commit_prepared", "rollback_prepared", "close", "deallocate", "discard"),
        *("listen", "unlisten", "notify"),
    )
)
_DEFINING: Final = frozenset((Effect.DEFINE, Effect.ADMINISTER, Effect.UNKNOWN))
# How many names a session may have defined before any can be one of them.
_MOST: Final = 1000

_MAKES_TABLE: Final = re.compile(
    r"\s*create\s+(?:unlogged\s+|(?:(?:global|local)\s+)?temp(?:orary)?\s+)?table\s", re.IGNORECASE
)
_MAKES_VIEW: Final = re.compile(r"\s*create\s+(?:or\s+replace\s+)?(?:materialized\s+)?view\s", re.IGNORECASE)
_DEFINES_VIEW: Final = re.compile(r"\s*create\s+(?:or\s+replace\s+)?view\s", re.IGNORECASE)
_MAKES_NO_RELATION: Final = re.compile(
    r"\s*(?:alter\s+(?:table|index|sequence|type)|create\s+(?:(?:unique\s+)?index|sequence|type)|drop|comment\s+on)\s",
    re.IGNORECASE,
)
# What can give a table another table's rows, its columns what others hold, or anything another name.
_MOVES: Final = re.compile(
    r"\b(?:rename|schema|generated|expression|inherits?|partition)\b|\bas\s*\(|u&", re.IGNORECASE
)
# What makes of a name something else than a table or a built-in function.
_MAKES_MORE: Final = re.compile(
    r"\b(?:view|rule|function|procedure|routine|aggregate|operator|cast|domain|trigger|extension|import)\b",
    re.IGNORECASE,
)
_RIGHTS: Final = frozenset(("grant", "revoke"))
_DEFINES: Final = frozenset(("create", "alter", "do"))

_TABLES: Final = frozenset((RelationKind.TABLE, RelationKind.PARTITIONED))


class Definitions:
    """What a session has defined that the catalogue does not have yet."""

    def __init__(self) -> None:
        self._tables: set[str] = set()
        self._others: set[str] = set()
        self._is_anything = False

    def note(self, known: Facts, text: str) -> None:
        """A statement is about to run."""
        if known.effect not in _DEFINING or self._is_anything or _RIGHTS.issuperset(known.verbs):
            return
        names = _created(known)
        is_plain = known.effect is Effect.DEFINE and known.statements == 1 and _MOVES.search(text) is None
        if is_plain and _MAKES_TABLE.match(text):
            self._tables |= names
        elif is_plain and _MAKES_VIEW.match(text):
            self._others |= names
        elif not (is_plain and _MAKES_NO_RELATION.match(text)):
            self._is_anything = True
        if len(self._tables) + len(self._others) > _MOST:
            self._is_anything = True

    def within(self, known: Facts, text: str, catalogue: Catalogue) -> Definitions:
        """The same with what a text of several statements defines, for what the text itself reads."""
        more = Definitions()
        replaced = {name for name in _created(known) if catalogue.relations_named(name)}
        more._tables = self._tables | _created(known)
        more._others = self._others | replaced
        makes_more = "do" in known.verbs or bool(_MOVES.search(text) or _MAKES_MORE.search(text))
        more._is_anything = self._is_anything or makes_more
        return more

    def undone(self) -> None:
        """Some of it may not be there any more."""
        self._tables.clear()

    def may_hide(self, known: Facts, catalogue: Catalogue) -> bool:
        """Whether a statement may show columns under other names, by what the catalogue has had."""
        if self._is_anything or known.calls or known.effect is Effect.UNKNOWN:
            return True
        return not all(self._is_table(name, catalogue) for name in _read(known)) or any(
            catalogue.functions_named(_last(name)) for name in known.functions
        )

    def _is_table(self, name: str, catalogue: Catalogue) -> bool:
        """Whether a name can stand for nothing but tables whose columns are their own."""
        schema, _, relation = name.rpartition(".")
        found = catalogue.relations_named(relation)
        if relation in self._others:
            return False
        if not found:
            return relation in self._tables
        if schema:
            found = {schema: found.get(schema, ())}
        return any(found.values()) and all(_is_plain(each) for relations in found.values() for each in relations)


def may_hide(known: Facts, system: str, *, has_functions: bool) -> bool:
    """Whether a statement may show columns under other names, where anything may have become another.

    Args:
        system: the schema in which nobody defines anything.
        has_functions: what functions read is followed where the catalogue is known.
    """
    if known.effect is Effect.UNKNOWN and has_functions:
        return True
    functions = known.functions if has_functions else ()
    return any(not name.startswith(f"{system}.") for name in (*_read(known), *functions))


def defines_amid(known: Facts) -> bool:
    """Whether a text of several statements defines something, which the others may read."""
    return known.statements > 1 and not _DEFINES.isdisjoint(known.verbs)


def is_silent(known: Facts, text: str) -> bool:
    """Whether a statement shows nothing of what it reads, not even how many rows: a view's definition, or a block."""
    if _SILENT.issuperset(known.verbs):
        return True
    if _WITHOUT_QUERY.issuperset(known.verbs) and not (known.objects or known.functions):
        return True
    return known.effect is Effect.DEFINE and known.statements == 1 and _DEFINES_VIEW.match(text) is not None


def _read(known: Facts) -> list[str]:
    return [use.name for use in known.objects if use.verb not in _BLIND]


def _created(known: Facts) -> set[str]:
    return {_last(use.name) for use in known.objects if use.verb == "create"}


def _is_plain(relation: Relation) -> bool:
    if relation.schema in SYSTEM_SCHEMAS:
        return True
    is_own = not relation.parents and not any(attribute.sources for attribute in relation.attributes)
    return relation.kind in _TABLES and is_own


def _last(name: str) -> str:
    return name.rpartition(".")[2]
