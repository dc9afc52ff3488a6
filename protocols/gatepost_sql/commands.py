"""Statements that change settings, transactions and definitions, and what is gathered of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from gatepost.values import Effect
from gatepost_sql.effects import ADMINISTERED, ADMINISTERING, ON_TABLES, STATEMENTS, TRANSACTION_VERBS
from gatepost_sql.gathering import Gathering, Scope, Visits
from gatepost_sql.tree import Node, constant, relation_name, strings

# Where a node holds the name of a column as plain text.
_COLUMN_NAMES: Final[Mapping[str, str]] = {"AlterTableCmd": "name", "ColumnDef": "colname", "IndexElem": "name"}

# Where the name of what is dropped stands.
_DROPPED_NAMES: Final[Mapping[str, str]] = {"List": "items", "ObjectWithArgs": "objname", "TypeName": "names"}


class Commands(Gathering):
    """Gathers what statements define and set."""

    def _named(self, kind: str, node: Node, scope: Scope) -> None:
        name = node.get(_COLUMN_NAMES[kind])
        if name is not None:
            self._mentioned(name, scope)
        self._children(kind, node, scope)

    def _mention(self, kind: str, node: Node, scope: Scope) -> None:
        self._children(kind, node, scope._replace(verb="references"))

    def _on_table(self, kind: str, node: Node, scope: Scope) -> None:
        """What belongs to a table changes it."""
        verb, effect = STATEMENTS[kind]
        self._add(effect, verb, scope)
        self._children(kind, node, scope._replace(verb="alter"))

    def _create_table(self, kind: str, node: Node, scope: Scope) -> None:
        verb, effect = STATEMENTS["CreateStmt"]
        self._add(effect, verb, scope)
        self._children(kind, node, scope._replace(verb=verb), ("inhRelations",))
        # Its rows are also rows of the tables that it inherits from, or is a partition of.
        self._children(kind, {"inhRelations": node.get("inhRelations", [])}, scope._replace(verb="alter"))

    def _set(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.CONTROL, "set", scope)
        kind = node["kind"]
        if kind == "VAR_SET_MULTI":
            options = node.get("args", ())
            self._options(option for option in options if "DefElem" in option)
            self._settings += [("transaction_snapshot", constant(item)) for item in options if "A_Const" in item]
        elif kind == "VAR_RESET_ALL":
            self._settings.append(("*", None))
        else:
            values = [constant(item) for item in node.get("args", ())]
            texts = [value for value in values if value is not None]
            known = kind == "VAR_SET_VALUE" and values and len(texts) == len(values)
            self._settings.append((node["name"].lower(), ", ".join(texts) if known else None))

    def _options(self, options: Iterable[Node]) -> None:
        for item in options:
            option = item["DefElem"]
            self._settings.append((option["defname"], constant(option.get("arg"))))

    def _transaction(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.CONTROL, TRANSACTION_VERBS.get(node["kind"], "transaction"), scope)
        self._options(node.get("options", ()))

    def _discard(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.CONTROL, "discard", scope)
        if node["target"] == "DISCARD_ALL":
            self._settings.append(("*", None))

    def _drop(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.ADMINISTER if node["removeType"] in ADMINISTERED else Effect.DEFINE, "drop", scope)
        for item in node["objects"]:
            (shape, inner), *_ = item.items()
            member = _DROPPED_NAMES.get(shape)
            names = strings(inner[member] if member else [item])
            if node["removeType"] in ON_TABLES:
                self._use("alter", ".".join(names[:-1]))
            elif names:
                self._use("drop", ".".join(names))

    def _rename(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.ADMINISTER if node["renameType"] in ADMINISTERED else Effect.DEFINE, "alter", scope)
        if node["renameType"] == "OBJECT_COLUMN":
            self._columns.update((node["subname"], node["newname"]))
        elif "relation" in node and "subname" not in node:
            schema, dot, _ = self._words.known(relation_name(node["relation"])).rpartition(".")
            self._use("alter", f"{schema}{dot}{node['newname']}")
        self._children(kind, node, scope._replace(verb="alter"))

    def _move(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.DEFINE, "alter", scope)
        if "relation" in node:
            self._use("alter", f"{node['newschema']}.{node['relation']['relname']}")
        self._children(kind, node, scope._replace(verb="alter"))

    def _alter_command(self, kind: str, node: Node, scope: Scope) -> None:
        if node["subtype"] in ADMINISTERING:
            self._add(Effect.ADMINISTER, "alter", scope)
        self._named(kind, node, scope)

    visits: ClassVar[Visits] = {
        **Gathering.visits,
        "VariableSetStmt": _set,
        "TransactionStmt": _transaction,
        "DiscardStmt": _discard,
        "DropStmt": _drop,
        "CreateStmt": _create_table,
        **dict.fromkeys(("IndexStmt", "CreateTrigStmt", "RuleStmt", "CreateStatsStmt", "CreatePolicyStmt"), _on_table),
        "RenameStmt": _rename,
        "AlterObjectSchemaStmt": _move,
        "ColumnDef": _named,
        "AlterTableCmd": _alter_command,
        "IndexElem": _named,
        "Constraint": _mention,
        "TableLikeClause": _mention,
    }
