"""What is gathered of statements while their trees are walked, and how it becomes `Facts`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, ClassVar, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace
from postgast import pg_query_pb2

from gatepost.values import Effect, Facts, Origin, Output, Use
from gatepost_sql import outputs
from gatepost_sql.deciding import PARTS
from gatepost_sql.effects import CLAUSES, LEAVES, STATEMENTS, STRENGTH, verb_of
from gatepost_sql.lineage import Lineage
from gatepost_sql.meanings import WORDS
from gatepost_sql.names import Names
from gatepost_sql.tree import Node

# A member that is a node is written as {"Kind": {…}}; where the grammar allows one kind alone, as {…}. These are those:
# kind of the parent -> name of the member -> kind of the member.
_FIXED: Final[Mapping[str, Mapping[str, str]]] = {
    kind: {
        field.json_name: field.message_type.name
        for field in message.fields
        if field.message_type is not None and field.message_type.name != "Node"
    }
    for kind, message in pg_query_pb2.DESCRIPTOR.message_types_by_name.items()
}

_PLAIN: Final = frozenset({"select", "insert", "update", "delete", "merge"})

_NOTHING_PREPARED: Final[Mapping[str, Facts]] = {}


class Scope(Struct, frozen=True, gc=False):
    """What holds for a part of the tree.

    Attributes:
        verb: what a table named here is used for.
        ctes: the names that WITH gives to queries here.
        planned: only planned, never run (EXPLAIN).
        depth: how many queries it is in.
        is_bounded: something bounds the rows of a table named here.
        decides: it decides which rows come, in what order or in which groups.
        is_followed: it is part of a query that `Lineage` follows.
        is_index: what is named like a table here is an index.
    """

    verb: str = "select"
    ctes: frozenset[str] = frozenset()
    planned: bool = False
    depth: int = 1
    is_bounded: bool = True
    decides: bool = False
    is_followed: bool = False
    is_index: bool = False


# What looks at the nodes of a kind: a method, which takes the kind, the node and what holds for it.
Visits: TypeAlias = Mapping[str, Callable[[Any, str, Node, Scope], None]]


class Gathering:
    """Walks trees, and gathers. What a node of a kind means, a subclass knows.

    Args:
        names: what names stand for; None: nothing but the text tells.
        prepared: what EXECUTE runs, by name.
    """

    def __init__(
        self, statements: list[Node], names: Names | None = None, prepared: Mapping[str, Facts] = _NOTHING_PREPARED
    ) -> None:
        self._names = names
        self._words = WORDS if names is None else names
        self._prepared = prepared
        self._followed: list[Lineage] = []
        self._outputs: tuple[Output, ...] | None = None
        self._effect = Effect.READ
        self._apart = Effect.READ
        self._reason = ""
        self._verbs: list[str] = []
        self._objects: dict[tuple[str, str, tuple[str, ...] | None], bool] = {}
        self._reads: dict[Use, None] = {}
        self._functions: dict[str, None] = {}
        self._calls: dict[str, None] = {}
        self._columns: set[str] = set()
        self._settings: list[tuple[str, str | None]] = []
        self._bare: set[str] = set()
        self._ranges: set[str] = set()
        self._deciding: dict[str, None] = {}
        self._renamed: set[str] = set()
        self._aliases: set[str] = set()
        self._depth = 1
        self._executed: list[Facts] = []
        self._stack: list[tuple[str, Node, Scope]] = []
        self._statements = statements
        self._root = _shown(statements[0])
        self._set_by_call = self._is_numbered = False
        # All that it does is in the tree.
        self._is_legible = True
        for statement in statements:
            self._statement(statement)
        if not self._bare.isdisjoint(self._ranges):
            self._columns.add("*")

    def facts(self, fingerprint: str) -> Facts:
        uses = [
            Use(verb=verb, name=name, columns=columns, is_bounded=is_bounded)
            for (verb, name, columns), is_bounded in self._objects.items()
        ]
        uses += self._reads
        is_resolved = self._is_legible and self._names is not None
        for part in self._followed:
            uses += part.uses
            is_resolved = is_resolved and part.is_resolved
        for known in self._executed:
            uses += known.objects
        return Facts(
            effect=self._effect,
            statements=len(self._statements),
            verbs=tuple(self._verbs),
            objects=tuple(uses),
            functions=tuple(self._functions),
            calls=tuple(self._calls),
            apart=self._apart,
            columns=frozenset(self._columns),
            renamed=frozenset() if is_resolved else frozenset(self._renamed | self._aliases),
            outputs=self._shown() if len(self._statements) == 1 else (),
            predicates=self._predicates(),
            is_resolved=is_resolved,
            depth=self._depth,
            settings=tuple(self._settings),
            fingerprint=fingerprint,
            reason=self._reason,
        )

    def _shown(self) -> tuple[Output, ...]:
        if self._outputs is None and self._names is None:
            return outputs.of(self._statements[0])
        return self._outputs or ()

    def _predicates(self) -> tuple[Origin, ...] | None:
        every = [known.predicates for known in self._executed]
        every += [part.predicates for part in self._followed]
        if self._names is None:
            every.append(self._predicates_by_name())
        found: dict[Origin, None] = {}
        for predicates in every:
            if predicates is None:
                return None
            found.update(dict.fromkeys(predicates))
        return tuple(found)

    def _predicates_by_name(self) -> tuple[Origin, ...] | None:
        """The columns that decide, by name; None if a name may be a whole row, or what a query inside calls another."""
        names = self._deciding.keys()
        if "*" in names or not self._renamed.isdisjoint(names) or not self._ranges.isdisjoint(names & self._bare):
            return None
        return tuple(Origin("", name) for name in names)

    @property
    def literals_matter(self) -> bool:
        """Texts that differ in literals only may have other facts."""
        return self._set_by_call or self._is_numbered or len(self._statements) != 1 or self._verbs[0] not in _PLAIN

    def _statement(self, statement: Node) -> None:
        for kind, node in statement.items():
            self._verbs.append(verb_of(kind, node))
            self._stack.append((kind, node, Scope()))
        visits, stack, otherwise = self.visits, self._stack, Gathering._not_understood
        while stack:
            kind, node, scope = stack.pop()
            visits.get(kind, otherwise)(self, kind, node, scope)

    def _command(self, kind: str, node: Node, scope: Scope) -> None:
        verb, effect = STATEMENTS[kind]
        self._add(effect, verb, scope)
        self._children(kind, node, replace(scope, verb=verb))

    def _not_understood(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.UNKNOWN, f"{kind} is not understood", scope)
        self._children(kind, node, scope)

    def _add(self, effect: Effect, reason: str, scope: Scope, calls: tuple[str, ...] = ()) -> None:
        """A part of the statement can do this: the call of what may be these functions, or another."""
        if effect is Effect.READ or (scope.planned and effect is not Effect.UNKNOWN):
            return
        if not calls:
            self._add_apart(effect)
        else:
            self._calls.update(dict.fromkeys(calls))
        if STRENGTH[effect] > STRENGTH[self._effect]:
            self._effect = effect
            self._reason = reason

    def _add_apart(self, effect: Effect) -> None:
        if STRENGTH[effect] > STRENGTH[self._apart]:
            self._apart = effect

    def _children(self, kind: str, node: Node, scope: Scope, without: Collection[str] = ()) -> None:
        push = self._stack.append
        fixed = _FIXED[kind]
        for key, value in node.items():
            if value.__class__ is dict:
                if key in without:
                    continue
                items: Iterable[Node] = ({fixed[key]: value} if key in fixed else value,)
            elif value.__class__ is list and key not in without:
                items = value
            else:
                continue
            for item in items:
                for child, inner in item.items():
                    if child not in LEAVES:
                        push((child, inner, scope))

    def _parts(self, kind: str, node: Node, scope: Scope, without: tuple[str, ...] = ()) -> None:
        """The children of a node some of which decide."""
        deciding = PARTS.get(kind, ())
        self._children(kind, node, scope, (*without, *deciding))
        chosen = {key: node[key] for key in deciding if key in node}
        if chosen:
            self._children(kind, chosen, replace(scope, decides=True))

    def _use(self, verb: str, name: str, columns: list[str] | None = None, is_bounded: bool = True) -> None:
        name = self._words.created(name) if verb == "create" else self._words.known(name)
        self._used(verb, name, columns, is_bounded)

    def _used(self, verb: str, name: str, columns: list[str] | None = None, is_bounded: bool = True) -> None:
        """A use by a name that stands for nothing else."""
        key = (verb, name, tuple(columns) if columns else None)
        self._objects[key] = is_bounded and self._objects.get(key, True)
        self._columns.update(columns or ())

    def _mentioned(self, name: str, scope: Scope) -> None:
        self._columns.add(name)
        if scope.decides:
            self._deciding[name] = None

    visits: ClassVar[Visits] = {
        **dict.fromkeys(STATEMENTS, _command),
        **dict.fromkeys(CLAUSES, _children),
        "OnConflictClause": _parts,
        "CaseExpr": _parts,
        "CaseWhen": _parts,
    }


def _shown(statement: Node) -> Node:
    """The query whose outputs are those of a statement, or the statement itself."""
    ((kind, node),) = statement.items()
    return next(iter(node["query"].values())) if kind == "CopyStmt" and "query" in node else node
