"""One pass over PostgreSQL's parse tree, which gathers what `Facts` says of it."""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec.structs import replace

from gatepost.values import Effect
from gatepost_sql.commands import Commands
from gatepost_sql.deciding import CLAUSES as DECIDING
from gatepost_sql.deciding import (
    bounds_rows,
    deciding_outputs,
    every_output_decides,
    is_bounded,
    is_bounded_change,
)
from gatepost_sql.effects import STATEMENTS
from gatepost_sql.functions import BUILT_IN, ROW_FUNCTIONS
from gatepost_sql.gathering import Scope, Visits
from gatepost_sql.lineage import Lineage
from gatepost_sql.names import Names
from gatepost_sql.ranges import NOTHING, Origins
from gatepost_sql.tree import Node, constant, is_cte, range_name, relation_name, strings, target_names

# An UPDATE of this view sets what it shows.
_SETTINGS_VIEWS: Final = frozenset({"pg_settings", "pg_catalog.pg_settings"})

_SAMPLING: Final = frozenset({"system", "bernoulli"})

_NO_TYPE: Final = ("",)

# DISTINCT ON takes an output by its number. What stands in the place of literals in a text without them looks the same.
_NUMBERS: Final = ({"A_Const"}, {"ParamRef"})

# What else is done with the rows of a table, so that it must be known.
_TOUCHING: Final = frozenset({"truncate", "lock", "vacuum", "analyze", "cluster", "refresh"})

# Parts of a SELECT that are looked at for themselves.
_NOT_READ: Final = frozenset({"withClause", "intoClause", "lockingClause"})
_READ_APART: Final = _NOT_READ | DECIDING

_OFF: Final = frozenset({"off", "false", "0"})


class Walk(Commands):
    """Gathers the facts of a list of statements."""

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
            self._listed(strings(cte.get("aliascolnames", ())))
            self._children("CommonTableExpr", cte, self._inside(replace(scope, ctes=visible, verb="select")))
            visible = visible | {cte["ctename"]}
        return replace(scope, ctes=visible)

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
        return replace(scope, is_followed=True)

    def _select(self, kind: str, node: Node, scope: Scope) -> None:
        scope = self._follow(kind, node, scope)
        scope = self._with(node, replace(scope, verb="select", is_bounded=is_bounded(node)))
        into = node.get("intoClause")
        if into is not None:
            self._add(Effect.DEFINE, "select into", scope)
            self._use("create", relation_name(into["rel"]))
        if "lockingClause" in node:
            self._add(Effect.WRITE, "select locks rows", scope)
        if any(item.keys() in _NUMBERS for item in node.get("distinctClause", ())):
            self._is_numbered = True
        aliases = self._aliases if scope.depth == 1 else self._renamed
        aliases.update(target_names(node.get("targetList", ())))
        if every_output_decides(node):
            self._children(kind, node, replace(scope, decides=True), _NOT_READ)
            return
        self._children(kind, node, scope, _READ_APART)
        clauses = {key: node[key] for key in node if key in DECIDING}
        if clauses:
            scope = replace(scope, decides=True)
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
        scope = self._with(node, replace(scope, verb="select", is_bounded=bounded))
        self._parts(kind, node, scope, ("withClause", "relation"))

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
        given: Origins = NOTHING
        if self._names is not None and "params" in node:
            lineage = self._lineage(self._names, scope)
            given = lineage.arguments(node["params"])
            lineage.decided(given)
            scope = replace(scope, is_followed=True)
        if known is None:
            self._add(Effect.UNKNOWN, "execute runs a statement that is not known", scope)
        else:
            self._add(known.effect, known.reason, scope, known.calls)
            if known.apart is not None:
                self._add_apart(known.apart)
            self._executed.append(known)
            self._functions.update(dict.fromkeys(known.functions))
            self._columns.update(known.columns)
            self._settings += known.settings
            if node is self._root and given == NOTHING:
                self._outputs = known.outputs
        self._children(kind, node, scope)

    def _explain(self, kind: str, node: Node, scope: Scope) -> None:
        analyze = any(
            option["DefElem"]["defname"] == "analyze" and constant(option["DefElem"].get("arg")) not in _OFF
            for option in node.get("options", ())
        )
        self._children(kind, node, replace(scope, planned=scope.planned or not analyze), ("options",))

    def _table(self, kind: str, node: Node, scope: Scope) -> None:
        self._ranges.add(range_name(node))
        if "alias" in node:
            self._listed(strings(node["alias"].get("colnames", ())), hides=True)
        if scope.is_followed:
            return
        if self._names is not None and scope.verb in _TOUCHING:
            self._lineage(self._names, scope).table(scope.verb, node, [])
        elif scope.verb != "select" or not is_cte(node, scope.ctes):
            is_temporary = self._names is not None and scope.verb == "create" and node.get("relpersistence") == "t"
            name = f"pg_temp.{node['relname']}" if is_temporary else relation_name(node)
            if scope.is_index:
                for table in self._words.indexed(name):
                    self._used(scope.verb, table)
            else:
                self._use(scope.verb, name, is_bounded=scope.is_bounded)

    def _listed(self, names: list[str], *, hides: bool = False) -> None:
        """A list of names for columns, which are not named themselves if it `hides` them."""
        if names:
            self._renamed.update((*names, "*"))
            if hides:
                self._columns.add("*")

    def _aliased(self, kind: str, node: Node, scope: Scope) -> None:
        self._ranges.add(node["aliasname"])
        self._listed(strings(node.get("colnames", ())))

    def _truncate(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.WRITE, "truncate", scope)
        self._cascade("truncate", node)
        self._children(kind, node, replace(scope, verb="truncate", is_bounded=False))

    def _nested(self, kind: str, node: Node, scope: Scope) -> None:
        self._children(kind, node, self._inside(scope))

    def _inside(self, scope: Scope) -> Scope:
        depth = scope.depth + 1
        self._depth = max(self._depth, depth)
        return replace(scope, depth=depth)

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

    def _indirection(self, kind: str, node: Node, scope: Scope) -> None:
        for item in node["indirection"]:
            if "String" in item:
                self._columns.add(item["String"]["sval"])
            elif "A_Star" in item:
                self._columns.add("*")
        self._children(kind, node, scope)

    def _join(self, kind: str, node: Node, scope: Scope) -> None:
        decides = replace(scope, decides=True)
        self._listed(strings(node.get("alias", {}).get("colnames", ())), hides=True)
        names = ["*"] if node.get("isNatural") else strings(node.get("usingClause", ()))
        for name in names:
            self._mentioned(name, decides)
        if not scope.is_bounded and (names or bounds_rows(node.get("quals"))):
            scope = replace(scope, is_bounded=True)
        self._parts(kind, node, scope, ("usingClause",))

    def _range_function(self, kind: str, node: Node, scope: Scope) -> None:
        for function in node["functions"]:
            call = function["List"]["items"][0].get("FuncCall")
            if call is not None:
                self._ranges.add(strings(call["funcname"])[-1])
        self._making_rows(kind, node, scope)

    def _making_rows(self, kind: str, node: Node, scope: Scope) -> None:
        self._children(kind, node, replace(scope, decides=True))

    def _call(self, kind: str, node: Node, scope: Scope) -> None:
        names = strings(node["funcname"])
        meaning = self._words.call(names, len(node.get("args", ())))
        if meaning.reads and not scope.is_followed:
            self._reads.update(dict.fromkeys(meaning.reads))
            self._columns.add("*")
        called = meaning.functions
        if not meaning.functions or (names[-1] in BUILT_IN and len(names) == 1):
            is_syntax = node.get("funcformat") == "COERCE_SQL_SYNTAX"
            called += (names[-1] if is_syntax else ".".join(names),)
        self._functions.update(dict.fromkeys(called))
        self._add(meaning.effect, meaning.reason, scope, called)
        if names[-1] == "set_config":
            self._set_config(node.get("args", []))
        if meaning.effect is Effect.CONTROL:
            # As in `Lineage`: any column may decide whether it is called.
            self._deciding["*"] = None
        if meaning.makes_rows and not scope.decides:
            scope = replace(scope, decides=True)
        self._parts(kind, node, scope, ("funcname",))

    def _do(self, kind: str, node: Node, scope: Scope) -> None:
        self._add(Effect.UNKNOWN, "do", scope)
        self._columns.add("*")
        self._is_legible = False

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

    def _sample(self, kind: str, node: Node, scope: Scope) -> None:
        if strings(node["method"])[-1] not in _SAMPLING:
            self._add(Effect.UNKNOWN, "a sampling method is not built in", scope)
        self._children(kind, node, replace(scope, decides=True), ("method",))

    visits: ClassVar[Visits] = {
        **Commands.visits,
        "SelectStmt": _select,
        "InsertStmt": _change,
        "UpdateStmt": _change,
        "DeleteStmt": _change,
        "MergeStmt": _change,
        "TruncateStmt": _truncate,
        "MergeWhenClause": _merge_when,
        "RangeSubselect": _nested,
        "RangeTableFunc": _making_rows,
        "JsonTable": _making_rows,
        "ReturningOption": _returning_option,
        "CopyStmt": _copy,
        "CallStmt": _call_procedure,
        "DoStmt": _do,
        "ExplainStmt": _explain,
        "ExecuteStmt": _execute,
        "RangeTableSample": _sample,
        "RangeVar": _table,
        "RangeFunction": _range_function,
        "Alias": _aliased,
        "JoinExpr": _join,
        "ColumnRef": _column,
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
