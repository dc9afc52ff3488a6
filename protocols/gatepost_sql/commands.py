"""Statements that change settings, transactions and definitions, and what is gathered of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from msgspec.structs import replace

from gatepost.values import Effect
from gatepost_sql.effects import ADMINISTERING, STATEMENTS, TRANSACTION_VERBS
from gatepost_sql.gathering import Scope, Visits
from gatepost_sql.objects import Objects
from gatepost_sql.tree import Node, constant

# Where a node holds the name of a column as plain text.
_COLUMN_NAMES: Final[Mapping[str, str]] = {"AlterTableCmd": "name", "ColumnDef": "colname", "IndexElem": "name"}


class Commands(Objects):
    """Gathers what statements define and set."""

    def _named(self, kind: str, node: Node, scope: Scope) -> None:
        name = node.get(_COLUMN_NAMES[kind])
        if name is not None:
            self._mentioned(name, scope)
        self._children(kind, node, scope)

    def _mention(self, kind: str, node: Node, scope: Scope) -> None:
        self._children(kind, node, replace(scope, verb="references"))

    def _create_table(self, kind: str, node: Node, scope: Scope) -> None:
        verb, effect = STATEMENTS["CreateStmt"]
        self._add(effect, verb, scope)
        self._children(kind, node, replace(scope, verb=verb), ("inhRelations",))
        # Its rows are also rows of the tables that it inherits from, or is a partition of.
        self._children(kind, {"inhRelations": node.get("inhRelations", [])}, replace(scope, verb="alter"))

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

    def _alter_command(self, kind: str, node: Node, scope: Scope) -> None:
        if node["subtype"] in ADMINISTERING:
            self._add(Effect.ADMINISTER, "alter", scope)
        self._cascade("alter", node)
        self._named(kind, node, scope)

    visits: ClassVar[Visits] = {
        **Objects.visits,
        "VariableSetStmt": _set,
        "TransactionStmt": _transaction,
        "DiscardStmt": _discard,
        "CreateStmt": _create_table,
        "ColumnDef": _named,
        "AlterTableCmd": _alter_command,
        "IndexElem": _named,
        "Constraint": _mention,
        "TableLikeClause": _mention,
    }
