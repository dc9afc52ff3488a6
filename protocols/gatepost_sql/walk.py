"""One pass over PostgreSQL's parse tree, which gathers what `Facts` says of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import ClassVar, Final, NamedTuple

from postgast import pg_query_pb2

from gatepost.values import Effect, Facts, Origin, Output, Use
from gatepost_sql import outputs
from gatepost_sql.deciding import CLAUSES as DECIDING
from gatepost_sql.deciding import (
    PARTS,
    bounds_rows,
    deciding_outputs,
    every_output_decides,
    is_bounded,
    is_bounded_change,
)
from gatepost_sql.effects import (
    ADMINISTERED,
    ADMINISTERING,
    CLAUSES,
    LEAVES,
    STATEMENTS,
    STRENGTH,
    TRANSACTION_VERBS,
    verb_of,
)
from gatepost_sql.functions import BUILT_IN, ROW_FUNCTIONS
from gatepost_sql.lineage import Lineage
from gatepost_sql.meanings import WORDS
from gatepost_sql.names import Names
from gatepost_sql.tree import Node, constant, is_cte, range_name, relation_name, strings, target_names

# A member that is a node is written as {"Kind": {…}}; where the grammar allows one kind alone, as {…}. These are those:
# (kind of the parent, name of the member) -> kind of the member.
_FIXED: Final[Mapping[tuple[str, str], str]] = {
    (kind, field.json_name): field.message_type.name
    for kind, message in pg_query_pb2.DESCRIPTOR.message_types_by_name.items()
    if kind != "Node"
    for field in message.fields
    if field.message_type is not None and field.message_type.name != "Node"
}

# Where a node holds the name of a column as plain text.
_COLUMN_NAMES: Final[Mapping[str, str]] = {"AlterTableCmd": "name", "ColumnDef": "colname", "IndexElem": "name"}

# Where the name of what is dropped stands.
_DROPPED_NAMES: Final[Mapping[str, str]] = {"List": "items", "ObjectWithArgs": "objname", "TypeName": "names"}

_PLAIN: Final = frozenset({"select", "insert", "update", "delete", "merge"})

# An UPDATE of this view sets what it shows.
_SETTINGS_VIEWS: Final = frozenset({"pg_settings", "pg_catalog.pg_settings"})

_SAMPLING: Final = frozenset({"system", "bernoulli"})

_NOTHING_PREPARED: Final[Mapping[str, Facts]] = {}

_NO_TYPE: Final = ("",)

# What else is done with the rows of a table, so that it must be known.
_TOUCHING: Final = frozenset({"truncate", "lock", "vacuum", "analyze", "cluster", "refresh"})

# Parts of a SELECT that are looked at for themselves.
_NOT_READ: Final = frozenset({"withClause", "intoClause", "lockingClause"})
_READ_APART: Final = _NOT_READ | DECIDING

_OFF: Final = frozenset({"off", "false", "0"})


class Scope(NamedTuple):
    """What holds for a part of the tree.

    Attributes:
        verb: what a table named here is used for.
        ctes: the names that WITH gives to queries here.
        planned: only planned, never run (EXPLAIN).
        depth: how many queries it is in.
        is_bounded: something bounds the rows of a table named here.
        decides: it decides which rows come, in what order or in which groups.
        is_followed: it is part of a query that `Lineage` follows.
    """

    verb: str = "select"
    ctes: frozenset[str] = frozenset()
    planned: bool = False
    depth: int = 1
    is_bounded: bool = True
    decides: bool = False
    is_followed: bool = False


class Walk:
    """Gathers the facts of a list of statements.

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
        self._functions: dict[str, None] = {}
        self._calls: dict[str, None] = {}
        self._columns: set[str] = set()
        self._settings: list[tuple[str, str | None]] = []
        self._bare: set[str] = set()
        self._ranges: set[str] = set()
        self._deciding: dict[str, None] = {}
        self._renamed: set[str] = set()
        self._depth = 1
        self._executed: list[Facts] = []
        self._stack: list[tuple[str, Node, Scope]] = []
        self._statements = statements
        self._root = _shown(statements[0])
        self._set_by_call = False
        for statement in statements:
            self._statement(statement)
        if not self._bare.isdisjoint(self._ranges):
            self._columns.add("*")

    def facts(self, fingerprint: str) -> Facts:
        uses = tuple(
            Use(verb=verb, name=name, columns=columns, is_bounded=is_bounded)
            for (verb, name, columns), is_bounded in self._objects.items()
        )
        for part in self._followed:
            uses += part.uses
        for known in self._executed:
            uses += known.objects
        return Facts(
            effect=self._effect,
            statements=len(self._statements),
            verbs=tuple(self._verbs),
            objects=uses,
            functions=tuple(self._functions),
            calls=tuple(self._calls),
            apart=self._apart,
            columns=frozenset(self._columns),
            outputs=self._shown() if len(self._statements) == 1 else (),
            predicates=self._predicates(),
            is_resolved=self._names is not None and all(part.is_resolved for part in self._followed),
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
        every += [part.predicates for part in self._followed] if self._names else [self._predicates_by_name()]
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
        return self._set_by_call or len(self._statements) != 1 or self._verbs[0] not in _PLAIN

    def _statement(self, statement: Node) -> None:
        for kind, node in statement.items():
            self._verbs.append(verb_of(kind, node))
            self._stack.append((kind, node, Scope()))
        visits = self._visits
        while self._stack:
            kind, node, scope = self._stack.pop()
            if kind in LEAVES:
                continue
            visit = visits.get(kind)
            if visit is not None:
                visit(self, kind, node, scope)
            elif kind in STATEMENTS:
                verb, effect = STATEMENTS[kind]
                self._add(effect, verb, scope)
                self._children(kind, node, scope._replace(verb=verb))
            else:
                if kind not in CLAUSES:
                    self._add(Effect.UNKNOWN, f"{kind} is not understood", scope)
                self._children(kind, node, scope)

    def _add(self, effect: Effect, reason: str, scope: Scope, calls: tuple[str, ...] = ()) -> None:
        """A part of the statement can do this: the call of what may be these functions, or another."""
        if scope.planned and effect is not Effect.UNKNOWN:
            return
        if not calls:
            self._apart = max(self._apart, effect, key=STRENGTH.__getitem__)
        elif effect is not Effect.READ:
            self._calls.update(dict.fromkeys(calls))
        if STRENGTH[effect] > STRENGTH[self._effect]:
            self._effect = effect
            self._reason = reason

    def _children(self, kind: str, node: Node, scope: Scope, without: Collection[str] = ()) -> None:
        push = self._stack.append
        for key, value in node.items():
            if value.__class__ is dict:
                if key in without:
                    continue
                fixed = _FIXED.get((kind, key))
                if fixed is not None:
                    push((fixed, value, scope))
                else:
                    for child, inner in value.items():
                        push((child, inner, scope))
            elif value.__class__ is list and key not in without:
                for item in value:
                    for child, inner in item.items():
                        push((child, inner, scope))

    def _parts(self, kind: str, node: Node, scope: Scope, without: tuple[str, ...] = ()) -> None:
        """The children of a node some of which decide."""
        deciding = PARTS.get(kind, ())
        self._children(kind, node, scope, (*without, *deciding))
        if any(key in node for key in deciding):
            chosen = {key: node[key] for key in deciding if key in node}
            self._children(kind, chosen, scope._replace(decides=True))

    def _use(self, verb: str, name: str, columns: list[str] | None = None, is_bounded: bool = True) -> None:
        name = self._words.created(name) if verb == "create" else self._words.known(name)
        key = (verb, name, tuple(columns) if columns else None)
        self._objects[key] = is_bounded and self._objects.get(key, True)
        self._columns.update(columns or ())

    def _with(self, node: Node, scope: Scope) -> Scope:
        """Visit the queries of a WITH; returns the scope of the query that it belongs to."""
        clause = node.get("withClause")
        if clause is None:
            return scope
        ctes = [item["CommonTableExpr"] for item in clause["ctes"]]
        self._ranges.update(cte["ctename"] for cte in ctes)
        visible = scope.ctes
        if clause.get("recursive"):
            visible = visible.union(cte["ctename"] for cte in ctes)
        for cte in ctes:
            self._renamed.update(strings(cte.get("aliascolnames", ())))
            self._children("CommonTableExpr", cte, self._inside(scope._replace(ctes=visible, verb="select")))
            visible = visible | {cte["ctename"]}
        return scope._replace(ctes=visible)

    def _lineage(self, names: Names, scope: Scope) -> Lineage:
        def doubt(effect: Effect, reason: str) -> None:
            self._add(effect, reason, scope)

        lineage = Lineage(names, doubt, lambda verb: "select" if scope.planned else verb)
        self._followed.append(lineage)
        return lineage

    def _follow(self, kind: str, node: Node, scope: Scope) -> Scope:
        """Let `Lineage` follow a query that is no part of another."""
        if self._names is None or scope.is_followed:
            return scope
        shown = self._lineage(self._names, scope).outputs(kind, node)
        if node is self._root:
            self._outputs = shown
        return scope._replace(is_followed=True)

    def _select(self, kind: str, node: Node, scope: Scope) -> None:
        scope = self._follow(kind, node, scope)
        scope = self._with(node, scope._replace(verb="select", is_bounded=is_bounded(node)))
        into = node.get("intoClause")
        if into is not None:
            self._add(Effect.DEFINE, "select into", scope)
            self._use("create", relation_name(into["rel"]))
        if "lockingClause" in node:
            self._add(Effect.WRITE, "select locks rows", scope)
        if scope.depth > 1:
            self._renamed.update(target_names(node.get("targetList", ())))
        if every_output_decides(node):
            self._children(kind, node, scope._replace(decides=True), _NOT_READ)
            return
        self._children(kind, node, scope, _READ_APART)
        clauses = {key: node[key] for key in node if key in DECIDING}
        if clauses:
            scope = scope._replace(decides=True)
            self._children(kind, clauses, scope)
            for expression in deciding_outputs(node):
                self._children(kind, {"val": expression}, scope)

    def _change(self, kind: str, node: Node, scope: Scope) -> None:
        verb, effect = STATEMENTS[kind]
        self._add(effect, verb, scope)
        scope = self._follow(kind, node, scope)
        name = relation_name(node["relation"])
        self._ranges.update((range_name(node["relation"]), "excluded", "old", "new"))
        # An UPDATE's targets have names, a MERGE's are in its branches, an INSERT's are these.
        targets = target_names(node.get("cols") or node.get("targetList") or ())
        conflict = node.get("onConflictClause", {})
        also = target_names(conflict.get("targetList", ()))
        self._columns.update((*targets, *also))
        bounded = is_bounded_change(kind, node)
        if not scope.is_followed:
            self._use("select" if scope.planned else verb, name, targets, bounded)
            if "targetList" in conflict:
                self._use("select" if scope.planned else "update", name, also)
            if "returningClause" in node:
                self._use("select", name, is_bounded=bounded)
        if name in _SETTINGS_VIEWS:
            self._settings.append(("*", None))
        scope = self._with(node, scope._replace(verb="select", is_bounded=bounded))
        self._parts(kind, node, scope, ("withClause", "relation", "cols"))

    def _merge_when(self, kind: str, node: Node, scope: Scope) -> None:
        self._columns.update(target_names(node.get("targetList", ())))
        self._parts(kind, node, scope)

    def _returning_option(self, kind: str, node: Node, scope: Scope) -> None:
        self._ranges.add(node["value"])

    def _copy(self, kind: str, node: Node, scope: Scope) -> None:
        coming = node.get("is_from", False)
        verb = "copy_from" if coming else "copy_to"
        if "filename" in node:
            self._add(Effect.ADMINISTER, f"{verb} a file or program", scope)
        elif coming:
            self._add(Effect.WRITE, verb, scope)
        if "relation" in node:
            columns = [item["String"]["sval"] for item in node.get("attlist", ())]
            if self._names is None:
                self._use(verb, relation_name(node["relation"]), columns, coming)
            else:
                self._outputs = self._lineage(self._names, scope).table(verb, node["relation"], columns)
            if not columns:
                self._columns.add("*")
        self._children(kind, node, scope, ("relation", "attlist", "options"))

    def _execute(self, kind: str, node: Node, scope: Scope) -> None:
        known = self._prepared.get(node["name"])
        if known is None:
            self._add(Effect.UNKNOWN, "execute runs a statement that is not known", scope)
        else:
            self._add(known.effect, known.reason, scope, known.calls)
            if known.apart is not None:
                self._apart = max(self._apart, known.apart, key=STRENGTH.__getitem__)
            self._executed.append(known)
            self._functions.update(dict.fromkeys(known.functions))
            self._columns.update(known.columns)
            self._settings += known.settings
            if node is self._root:
                self._outputs = known.outputs
        self._children(kind, node, scope)

    def _explain(self, kind: str, node: Node, scope: Scope) -> None:
        analyze = any(
            option["DefElem"]["defname"] == "analyze" and constant(option["DefElem"].get("arg")) not in _OFF
            for option in node.get("options", ())
        )
        self._children(kind, node, scope._replace(planned=scope.planned or not analyze), ("options",))

    def _table(self, kind: str, node: Node, scope: Scope) -> None:
        self._ranges.add(range_name(node))
        if "alias" in node:
            self._renamed.update(strings(node["alias"].get("colnames", ())))
        if scope.is_followed:
            return
        if self._names is not None and scope.verb in _TOUCHING:
            self._lineage(self._names, scope).table(scope.verb, node, [])
        elif scope.verb != "select" or not is_cte(node, scope.ctes):
            is_temporary = self._names is not None and scope.verb == "create" and node.get("relpersistence") == "t"
            name = f"pg_temp.{node['relname']}" if is_temporary else relation_name(node)
            self._use(scope.verb, name, is_bounded=scope.is_bounded)

    def _aliased(self, kind: str, node: Node, scope: Scope) -> None:
        self._ranges.add(node["aliasname"])
        self._renamed.update(strings(node.get("colnames", ())))

    def _truncate(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.WRITE, "truncate", scope)
        self._children(kind, node, scope._replace(verb="truncate", is_bounded=False))

    def _nested(self, kind: str, node: Node, scope: Scope) -> None:
        self._children(kind, node, self._inside(scope))

    def _inside(self, scope: Scope) -> Scope:
        depth = scope.depth + 1
        self._depth = max(self._depth, depth)
        return scope._replace(depth=depth)

    def _column(self, kind: str, node: Node, scope: Scope) -> None:
        fields = node["fields"]
        last = fields[-1].get("String")
        if last is None:
            self._mentioned("*", scope)
            return
        name: str = last["sval"]
        self._mentioned(name, scope)
        if len(fields) == 1:
            self._bare.add(name)
        elif name in ROW_FUNCTIONS:
            self._mentioned("*", scope)

    def _mentioned(self, name: str, scope: Scope) -> None:
        self._columns.add(name)
        if scope.decides:
            self._deciding[name] = None

    def _indirection(self, kind: str, node: Node, scope: Scope) -> None:
        for item in node["indirection"]:
            if "String" in item:
                self._columns.add(item["String"]["sval"])
            elif "A_Star" in item:
                self._columns.add("*")
        self._children(kind, node, scope)

    def _join(self, kind: str, node: Node, scope: Scope) -> None:
        decides = scope._replace(decides=True)
        names = ["*"] if node.get("isNatural") else strings(node.get("usingClause", ()))
        for name in names:
            self._mentioned(name, decides)
        if not scope.is_bounded and (names or bounds_rows(node.get("quals"))):
            scope = scope._replace(is_bounded=True)
        self._parts(kind, node, scope, ("usingClause",))

    def _named(self, kind: str, node: Node, scope: Scope) -> None:
        name = node.get(_COLUMN_NAMES[kind])
        if name is not None:
            self._mentioned(name, scope)
        self._children(kind, node, scope)

    def _mention(self, kind: str, node: Node, scope: Scope) -> None:
        self._children(kind, node, scope._replace(verb="references"))

    def _range_function(self, kind: str, node: Node, scope: Scope) -> None:
        for function in node["functions"]:
            call = function["List"]["items"][0].get("FuncCall")
            if call is not None:
                self._ranges.add(strings(call["funcname"])[-1])
        self._making_rows(kind, node, scope)

    def _making_rows(self, kind: str, node: Node, scope: Scope) -> None:
        self._children(kind, node, scope._replace(decides=True))

    def _call(self, kind: str, node: Node, scope: Scope) -> None:
        names = strings(node["funcname"])
        meaning = self._words.call(names, len(node.get("args", ())))
        called = meaning.functions
        if not meaning.functions or (names[-1] in BUILT_IN and len(names) == 1):
            is_syntax = node.get("funcformat") == "COERCE_SQL_SYNTAX"
            called += (names[-1] if is_syntax else ".".join(names),)
        self._functions.update(dict.fromkeys(called))
        self._add(meaning.effect, meaning.reason, scope, called)
        if names[-1] == "set_config":
            self._set_config(node.get("args", []))
        self._parts(kind, node, scope, ("funcname",))

    def _call_procedure(self, kind: str, node: Node, scope: Scope) -> None:
        call = node["funccall"]
        names = strings(call["funcname"])
        called = self._words.call(names, len(call.get("args", ()))).functions or (".".join(names),)
        self._add(Effect.UNKNOWN, "call", scope, called)
        self._children(kind, node, scope)

    def _set_config(self, arguments: list[Node]) -> None:
        self._set_by_call = True
        name = constant(arguments[0]) if arguments else None
        value = constant(arguments[1]) if len(arguments) > 1 else None
        # A backslash need not be one to the server: see `readings`.
        self._settings.append(("*", None) if name is None or "\\" in name else (name.lower(), value))

    def _operator(self, names: list[Node], scope: Scope) -> None:
        meaning = self._words.operator(strings(names))
        self._add(meaning.effect, meaning.reason, scope)

    def _expression(self, kind: str, node: Node, scope: Scope) -> None:
        # The grammar puts the word BETWEEN where the operator's name would be.
        if not node["kind"].endswith(("BETWEEN", "BETWEEN_SYM")):
            self._operator(node["name"], scope)
        self._children(kind, node, scope, ("name",))

    def _sublink(self, kind: str, node: Node, scope: Scope) -> None:
        if "operName" in node:
            self._operator(node["operName"], scope)
        self._children(kind, node, self._inside(scope), ("operName",))

    def _sort(self, kind: str, node: Node, scope: Scope) -> None:
        if "useOp" in node:
            self._operator(node["useOp"], scope)
        self._children(kind, node, scope, ("useOp",))

    def _conversion(self, kind: str, node: Node, scope: Scope) -> None:
        meaning = self._words.conversion(strings(node.get("typeName", {}).get("names", ())) or _NO_TYPE)
        self._add(meaning.effect, meaning.reason, scope)
        self._children(kind, node, scope, ("typeName",))

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
            if names:
                self._use("drop", ".".join(names))

    def _rename(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.ADMINISTER if node["renameType"] in ADMINISTERED else Effect.DEFINE, "alter", scope)
        if node["renameType"] == "OBJECT_COLUMN":
            self._columns.update((node["subname"], node["newname"]))
        self._children(kind, node, scope._replace(verb="alter"))

    def _alter_command(self, kind: str, node: Node, scope: Scope) -> None:
        if node["subtype"] in ADMINISTERING:
            self._add(Effect.ADMINISTER, "alter", scope)
        self._named(kind, node, scope)

    def _sample(self, kind: str, node: Node, scope: Scope) -> None:
        if strings(node["method"])[-1] not in _SAMPLING:
            self._add(Effect.UNKNOWN, "a sampling method is not built in", scope)
        self._children(kind, node, scope, ("method",))

    _visits: ClassVar[Mapping[str, Callable[[Walk, str, Node, Scope], None]]] = {
        "SelectStmt": _select,
        "InsertStmt": _change,
        "UpdateStmt": _change,
        "DeleteStmt": _change,
        "MergeStmt": _change,
        "TruncateStmt": _truncate,
        "MergeWhenClause": _merge_when,
        "OnConflictClause": _parts,
        "CaseExpr": _parts,
        "CaseWhen": _parts,
        "RangeSubselect": _nested,
        "RangeTableFunc": _making_rows,
        "JsonTable": _making_rows,
        "ReturningOption": _returning_option,
        "CopyStmt": _copy,
        "CallStmt": _call_procedure,
        "ExplainStmt": _explain,
        "ExecuteStmt": _execute,
        "VariableSetStmt": _set,
        "TransactionStmt": _transaction,
        "DiscardStmt": _discard,
        "DropStmt": _drop,
        "RenameStmt": _rename,
        "RangeTableSample": _sample,
        "RangeVar": _table,
        "RangeFunction": _range_function,
        "Alias": _aliased,
        "JoinExpr": _join,
        "ColumnRef": _column,
        "ColumnDef": _named,
        "AlterTableCmd": _alter_command,
        "IndexElem": _named,
        "Constraint": _mention,
        "TableLikeClause": _mention,
        "A_Indirection": _indirection,
        "FuncCall": _call,
        "A_Expr": _expression,
        "SubLink": _sublink,
        "SortBy": _sort,
        "TypeCast": _conversion,
        "XmlSerialize": _conversion,
        "JsonOutput": _conversion,
        "JsonTableColumn": _conversion,
        "RangeTableFuncCol": _conversion,
    }


def _shown(statement: Node) -> Node:
    """The query whose outputs are those of a statement, or the statement itself."""
    ((kind, node),) = statement.items()
    return next(iter(node["query"].values())) if kind == "CopyStmt" and "query" in node else node
