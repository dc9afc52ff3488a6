"""Statements that concern objects of any kind: which they name, and what they reach besides.

A statement that reaches what it does not name (CASCADE, a schema, an index whose table is not known) is said to use
`*`: "shop.*" is any object of that schema, and "*.*" any object at all.

Source: PostgreSQL 18 documentation, VI.I "SQL Commands"; its `ObjectType` in `src/include/nodes/parsenodes.h`.
"""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec.structs import replace

from gatepost.values import Effect
from gatepost_sql.effects import ADMINISTERED, IN_CLASSES, IN_SCHEMAS, ON_TABLES, RELATIONS, STATEMENTS
from gatepost_sql.gathering import Gathering, Scope, Visits
from gatepost_sql.tree import Node, qualified, relation_name, strings

_ANYTHING: Final = "*.*"

# Where the names of an object stand in a node of a kind.
_NAMES: Final = {"List": "items", "ObjectWithArgs": "objname", "TypeName": "names"}


class Objects(Gathering):
    """Gathers which objects statements concern."""

    def _object(self, verb: str, kind: str, node: Node) -> None:
        """A use of an object of a kind; of one that is in no schema, the effect alone tells."""
        parts = _parts(kind, node)
        if kind in ON_TABLES:
            self._use(verb, qualified(parts[:-1]))
        elif kind == "OBJECT_INDEX":
            for table in self._words.indexed(qualified(parts)):
                self._used(verb, table)
        elif kind in RELATIONS:
            self._use(verb, qualified(parts))
        elif kind == "OBJECT_SCHEMA":
            self._used(verb, qualified([*parts, "*"]))
        elif kind in IN_SCHEMAS or kind == "OBJECT_DOMCONSTRAINT":
            self._own(verb, parts)

    def _own(self, verb: str, parts: list[str]) -> None:
        """A use of what is no table, by its own name, which may be one of any schema of the search path."""
        for name in self._words.possible(qualified(parts)):
            self._used(verb, name)

    def _cascade(self, verb: str, node: Node) -> None:
        """CASCADE reaches what depends on what is named."""
        if node.get("behavior") == "DROP_CASCADE":
            self._used(verb, _ANYTHING)

    def _concern(self, kind: str, effect: Effect, verb: str, scope: Scope) -> None:
        self._add(Effect.ADMINISTER if kind in ADMINISTERED else effect, verb, scope)

    def _drop(self, kind: str, node: Node, scope: Scope) -> None:
        self._concern(node["removeType"], Effect.DEFINE, "drop", scope)
        verb = "alter" if node["removeType"] in ON_TABLES or node["removeType"] == "OBJECT_INDEX" else "drop"
        for item in node["objects"]:
            self._object(verb, node["removeType"], item)
        self._cascade("drop", node)

    def _comment(self, kind: str, node: Node, scope: Scope) -> None:
        self._concern(node["objtype"], Effect.DEFINE, "comment", scope)
        self._object("comment", node["objtype"], node["object"])

    def _rename(self, kind: str, node: Node, scope: Scope) -> None:
        """What is renamed, and what it is called then."""
        what = node["renameType"]
        self._concern(what, Effect.DEFINE, "alter", scope)
        self._cascade("alter", node)
        if what == "OBJECT_COLUMN":
            self._columns.update((node["subname"], node["newname"]))
        if what == "OBJECT_SCHEMA":
            self._used("alter", qualified([node["subname"], "*"]))
            self._used("create", qualified([node["newname"], "*"]))
        elif what == "OBJECT_ATTRIBUTE":
            self._row_type(node["relation"])
        elif "relation" in node:
            self._children(kind, node, replace(scope, verb="alter", is_index=what == "OBJECT_INDEX"))
            if what in RELATIONS:
                old = self._words.known(relation_name(node["relation"]))
                self._use("create", qualified([*old.split(".")[:-1], node["newname"]]))
        elif what in IN_SCHEMAS:
            self._object("alter", what, node["object"])
            self._own("create", [*_parts(what, node["object"])[:-1], node["newname"]])

    def _move(self, kind: str, node: Node, scope: Scope) -> None:
        """SET SCHEMA: what moves, and where to."""
        what = node["objectType"]
        self._concern(what, Effect.DEFINE, "alter", scope)
        if "relation" in node:
            self._children(kind, node, replace(scope, verb="alter"))
            self._use("create", qualified([node["newschema"], node["relation"]["relname"]]))
        elif what in IN_SCHEMAS:
            self._object("alter", what, node["object"])
            self._used("create", qualified([node["newschema"], _parts(what, node["object"])[-1]]))

    def _depends(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.DEFINE, "alter", scope)
        self._children(kind, node, replace(scope, verb="alter", is_index=node["objectType"] == "OBJECT_INDEX"))

    def _create_schema(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.ADMINISTER if "authrole" in node else Effect.DEFINE, "create", scope)
        if "schemaname" in node:
            self._used("create", qualified([node["schemaname"], "*"]))
        if "schemaElts" in node:
            self._add(Effect.UNKNOWN, "what a CREATE SCHEMA makes besides is not judged", scope)
        self._children(kind, node, replace(scope, verb="create"))

    def _create_type(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.DEFINE, "create", scope)
        self._use("create", qualified(strings(node["domainname" if kind == "CreateDomainStmt" else "typeName"])))
        self._children(kind, node, scope)

    def _alter_enum(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.DEFINE, "alter", scope)
        self._own("alter", strings(node["typeName"]))

    def _create_statistics(self, kind: str, node: Node, scope: Scope) -> None:
        self._on_table(kind, node, scope)
        if "defnames" in node:
            self._use("create", qualified(strings(node["defnames"])))

    def _alter_statistics(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.DEFINE, "alter", scope)
        self._own("alter", strings(node["defnames"]))

    def _sequence(self, kind: str, node: Node, scope: Scope) -> None:
        """A sequence that a table's column owns goes with that."""
        verb, effect = STATEMENTS[kind]
        self._add(effect, verb, scope)
        for option in node.get("options", ()):
            if option["DefElem"]["defname"] == "owned_by":
                table = strings(option["DefElem"]["arg"]["List"]["items"])[:-1]
                if table:
                    self._use("alter", qualified(table))
        self._children(kind, node, replace(scope, verb=verb))

    def _create_trigger(self, kind: str, node: Node, scope: Scope) -> None:
        """Whoever changes the table calls the function then."""
        self._on_table(kind, node, scope)
        names = strings(node["funcname"])
        called = self._words.call(names, 0).functions or (qualified(names),)
        self._functions.update(dict.fromkeys(called))
        self._calls.update(dict.fromkeys(called))

    def _on_table(self, kind: str, node: Node, scope: Scope) -> None:
        """What belongs to a table changes it."""
        verb, effect = STATEMENTS[kind]
        self._add(effect, verb, scope)
        self._children(kind, node, replace(scope, verb="alter"))

    def _reindex(self, kind: str, node: Node, scope: Scope) -> None:
        verb, effect = STATEMENTS[kind]
        self._add(effect, verb, scope)
        if node["kind"] == "REINDEX_OBJECT_SCHEMA":
            self._used(verb, qualified([node["name"], "*"]))
        self._children(kind, node, replace(scope, verb=verb, is_index=node["kind"] == "REINDEX_OBJECT_INDEX"))

    def _alter_table(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.DEFINE, "alter", scope)
        scope = replace(scope, verb="alter", is_index=node["objtype"] == "OBJECT_INDEX")
        if node["objtype"] == "OBJECT_TYPE":
            self._row_type(node["relation"])
            self._children(kind, node, scope, ("relation",))
        else:
            self._children(kind, node, scope)

    def _row_type(self, node: Node) -> None:
        """A composite type, which is written like a table."""
        for name in self._words.possible(relation_name(node)):
            self._used("alter", name)

    visits: ClassVar[Visits] = {
        **Gathering.visits,
        "DropStmt": _drop,
        "CommentStmt": _comment,
        "RenameStmt": _rename,
        "AlterObjectSchemaStmt": _move,
        "AlterObjectDependsStmt": _depends,
        "CreateSchemaStmt": _create_schema,
        "CreateDomainStmt": _create_type,
        "CreateEnumStmt": _create_type,
        "AlterEnumStmt": _alter_enum,
        "CreateStatsStmt": _create_statistics,
        "AlterStatsStmt": _alter_statistics,
        "CreateSeqStmt": _sequence,
        "AlterSeqStmt": _sequence,
        "CreateTrigStmt": _create_trigger,
        **dict.fromkeys(("IndexStmt", "RuleStmt", "CreatePolicyStmt"), _on_table),
        "ReindexStmt": _reindex,
        "AlterTableStmt": _alter_table,
    }


def _parts(kind: str, node: Node) -> list[str]:
    """The parts of an object's name; of a domain's constraint, those of the domain's."""
    ((shape, inner),) = node.items()
    names = inner[_NAMES[shape]] if shape in _NAMES else [node]
    if kind == "OBJECT_DOMCONSTRAINT":
        names = names[0]["TypeName"]["names"]
    return strings(names)[kind in IN_CLASSES :]
