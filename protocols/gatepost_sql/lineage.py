"""Queries, followed to the base columns that flow into their outputs and decide about their rows.

A name is looked up as PostgreSQL does: in the query, then in those around it. Where that cannot be done with certainty,
what it brings is not known, and counts as such wherever it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import ClassVar, Final

from msgspec.structs import replace

from gatepost.values import Origin, Output, Use
from gatepost_sql.deciding import CLAUSES as DECIDING
from gatepost_sql.deciding import bounds_rows, is_bounded, is_bounded_change
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.items import UNKNOWN_ROWS, Items
from gatepost_sql.names import Column
from gatepost_sql.outputs import UNNAMED, name_of
from gatepost_sql.ranges import NOTHING, Item, Level, Origins, Rows, Source, expanded, in_order, sources, union
from gatepost_sql.tree import Node, strings, target_names

# What is done with all the rows of a table.
_WHOLE: Final = frozenset({"copy_to", "truncate"})

# How often the columns of a recursive query are followed again until nothing new comes.
_ROUNDS: Final = 16

# PostgreSQL's own bound for the columns of a query.
MAX_COLUMNS: Final = 1664

# What following a query costs at least, in steps.
_QUERY: Final = 100

_EXPRESSIONS: Final = ("whereClause", "havingClause", "limitCount", "limitOffset")

_NO_ROWS: Final = Rows(())


class Lineage(Items):
    """Follows the queries of one text."""

    @property
    def uses(self) -> tuple[Use, ...]:
        return tuple([read.use() for read in self._reads.values() if read.is_needed])

    @property
    def predicates(self) -> tuple[Origin, ...] | None:
        return tuple(self._decided) if self._is_decided else None

    def outputs(self, kind: str, query: Node) -> tuple[Output, ...]:
        """Follow a query; returns its outputs, or () where it is not known how many there are."""
        rows = self.rows(kind, query, None, {})
        return () if rows.is_open else tuple(map(_output, rows.columns))

    def table(self, verb: str, relation: Node, columns: list[str]) -> tuple[Output, ...]:
        """A table that a statement names outside of queries, as COPY and TRUNCATE do; returns its columns."""
        source = self._table(relation, verb, is_bounded=verb not in _WHOLE)
        if verb.startswith("copy"):
            for name in columns or source.columns:
                self._of_source(name, source)
        else:
            _whole(source)
        chosen = [source.columns[name] for name in columns if name in source.columns] or source.rows.columns
        return () if source.rows.is_open else tuple(map(_output, chosen))

    def arguments(self, expressions: list[Node]) -> Origins:
        """Expressions that are in no query, as those that EXECUTE hands over; returns what they derive from."""
        return union([self.value(expression, Level(None, {})) for expression in expressions])

    def rows(self, kind: str, query: Node, parent: Level | None, ctes: Mapping[str, Rows]) -> Rows:
        self.spend(_QUERY)
        ctes = self._with(query, parent, ctes)
        if kind != "SelectStmt":
            return self._changes[kind](self, query, Level(parent, ctes))
        if "larg" in query:
            return self._set_operation(query, parent, ctes)
        level = Level(parent, ctes)
        if "valuesLists" in query:
            rows = self._values(query, level)
        else:
            bounded = is_bounded(query)
            for item in query.get("fromClause", ()):
                level.items.append(self._from(item, level, bounded))
            rows = self._targets(query.get("targetList", ()), level)
        self._clauses(query, rows, level)
        return rows

    def _with(self, query: Node, parent: Level | None, ctes: Mapping[str, Rows]) -> Mapping[str, Rows]:
        clause = query.get("withClause")
        if clause is None:
            return ctes
        found = dict(ctes)
        if clause.get("recursive"):
            # They may name each other, in any order.
            found.update(dict.fromkeys((item["CommonTableExpr"]["ctename"] for item in clause["ctes"]), UNKNOWN_ROWS))
        for item in clause["ctes"]:
            cte = item["CommonTableExpr"]
            ((kind, inner),) = cte["ctequery"].items()
            names = strings(cte.get("aliascolnames", ()))
            if clause.get("recursive") and "larg" in inner:
                rows = self._recursive(cte["ctename"], names, inner, parent, found)
            else:
                rows = self.rows(kind, inner, parent, found).renamed(names)
            found[cte["ctename"]] = _with_search(cte, rows)
        return found

    def _recursive(
        self, name: str, names: list[str], query: Node, parent: Level | None, ctes: Mapping[str, Rows]
    ) -> Rows:
        ctes = self._with(query, parent, ctes)
        first = self.rows("SelectStmt", query["larg"], parent, ctes).renamed(names)
        rows = _merged([first])
        for _ in range(_ROUNDS):
            more = self.rows("SelectStmt", query["rarg"], parent, {**ctes, name: rows}).renamed(names)
            before, rows = rows, _merged([rows, more])
            if rows == before:
                break
        else:
            rows = UNKNOWN_ROWS
        self._clauses(query, rows, Level(parent, {**ctes, name: rows}))
        return rows

    def _set_operation(self, query: Node, parent: Level | None, ctes: Mapping[str, Rows]) -> Rows:
        branches: list[Rows] = []
        decides = False
        pending = [query]
        while pending:
            node = pending.pop()
            if "larg" not in node or (node is not query and not _PLAIN_BRANCH.issuperset(node)):
                branches.append(self.rows("SelectStmt", node, parent, ctes))
            else:
                decides = decides or not node.get("all")
                pending += (node["rarg"], node["larg"])
        rows = _merged(branches)
        if decides:
            self.decided(rows.origins)
        self._clauses(query, rows, Level(parent, ctes))
        return rows

    def _values(self, query: Node, level: Level) -> Rows:
        every = []
        for row in query["valuesLists"]:
            values = [self.value(item, level) for item in row["List"]["items"]]
            names = [f"column{position}" for position in range(1, len(values) + 1)]
            every.append(
                Rows(tuple(Column(name, name, value, False) for name, value in zip(names, values, strict=True)))
            )
        return _merged(every)

    def _clauses(self, query: Node, rows: Rows, level: Level) -> None:
        """What decides about the rows of a SELECT."""
        if DECIDING.isdisjoint(query):
            return
        self.decide([query[key] for key in _EXPRESSIONS if key in query], level)
        self.decide(query.get("windowClause", ()), level)
        for item in query.get("sortClause", ()):
            self._key(item["SortBy"]["node"], rows, level, prefers_output=True)
        for item in query.get("groupClause", ()):
            self._key(item, rows, level, prefers_output=False)
        for item in query.get("distinctClause", ()):
            if item:
                self._key(item, rows, level, prefers_output=True)
            else:
                self.decided(rows.origins)

    def _key(self, key: Node, rows: Rows, level: Level, *, prefers_output: bool) -> None:
        """One of ORDER BY, GROUP BY or DISTINCT ON: an expression, or an output by number or name."""
        if "A_Const" in key or not all("ColumnRef" in item for item in key.get("GroupingSet", {}).get("content", ())):
            self._numbered(key, rows, level)
            return
        column = key.get("ColumnRef", {})
        name = "".join(strings(column["fields"])) if len(column.get("fields", ())) == 1 else ""
        outputs = [each.origins for each in rows.columns if each.name == name]
        if outputs and (prefers_output or self._named(name, level) is None):
            self.decided(union(outputs))
        else:
            self.decide([key], level)

    def _numbered(self, key: Node, rows: Rows, level: Level) -> None:
        number = key.get("A_Const", {}).get("ival", {}).get("ival", 0)
        if 0 < number <= len(rows.columns) and not rows.is_open:
            self.decided(rows.columns[number - 1].origins)
        else:
            self.decided(rows.origins)
            self.decide([key], level)

    def _targets(self, targets: Iterable[Node], level: Level) -> Rows:
        columns: list[Column] = []
        opened: list[Origins] = []
        for item in targets:
            target = item["ResTarget"]
            value: Node = target["val"]
            star = self._starred(value, level)
            if star is None:
                origins, is_direct = self.output(value, level)
                name = target.get("name") or name_of(value) or UNNAMED
                columns.append(Column(name, name, origins, is_direct))
                continue
            for each in star:
                if isinstance(each, Source):
                    self._expand(each, columns, opened)
                else:
                    columns += [self._shown(*pair) for pair in islice(expanded(each), MAX_COLUMNS + 1)]
                    opened += [source.touch_all() for source in sources(each) if source.rows.is_open]
            if not star:
                opened.append(self.value(value, level))
            if len(columns) > MAX_COLUMNS:
                raise NotUnderstood(f"a query in it has more than {MAX_COLUMNS} columns")
        return Rows(tuple(columns), bool(opened), union(opened))

    def _starred(self, value: Node, level: Level) -> list[Item] | None:
        """The rows that `*`, `t.*` or `(t).*` means, [] for those of another value; None for what is no star."""
        fields = value.get("ColumnRef", {}).get("fields")
        if fields is not None:
            if "A_Star" not in fields[-1]:
                return None
            source = level.source(strings(fields)[-1]) if len(fields) > 1 else None
            return [source] if source is not None else level.items if len(fields) == 1 else []
        indirection = value.get("A_Indirection")
        if indirection is None or "A_Star" not in indirection["indirection"][-1]:
            return None
        column = indirection["arg"].get("ColumnRef")
        whole = column and len(indirection["indirection"]) == 1 and self.whole_row(column, level)
        return [whole] if whole else []

    def _expand(self, source: Source, columns: list[Column], opened: list[Origins]) -> None:
        columns += [self._shown(source, column) for column in source.rows.columns]
        if source.rows.is_open:
            opened.append(source.touch_all())

    def _target(self, query: Node, kind: str, verb: str, level: Level) -> tuple[Source, Source]:
        """The table that a change is made in: as what is changed, and as what is read of it."""
        bounded = is_bounded_change(kind, query)
        node = query["relation"]
        changed = self._table(node, verb, is_bounded=bounded)
        return changed, self._table(node, "select", is_bounded=bounded, is_needed=False)

    def _assign(self, target: Source, targets: Iterable[Node], level: Level) -> dict[str, Origins]:
        """What columns are given, by name: values, and subscripts, which may be keys of what is shown then."""
        given: dict[str, Origins] = {}
        for item in targets:
            assigned = item["ResTarget"]
            name = assigned.get("name", "")
            if name:
                self._of_source(name, target)
            parts = {key: assigned[key] for key in ("val", "indirection") if key in assigned}
            given[name] = union((given.get(name, NOTHING), self.value(parts, level)))
        return given

    def _insert(self, query: Node, level: Level) -> Rows:
        changed, read = self._target(query, "InsertStmt", "insert", level)
        subscripts = self._assign(changed, query.get("cols", ()), level)
        names = subscripts or list(changed.columns)
        for name in names:
            self._of_source(name, changed)
        origins: Origins = NOTHING
        if "selectStmt" in query:
            ((kind, select),) = query["selectStmt"].items()
            origins = self.rows(kind, select, level.parent, level.ctes).origins
        level.show(read)
        given: dict[str, Origins] = {name: union((origins, subscripts.get(name, NOTHING))) for name in names}
        conflict = query.get("onConflictClause")
        if conflict is not None:
            proposed = Rows(tuple(replace(column, origins=origins, is_direct=False) for column in read.rows.columns))
            level.named["excluded"] = Source("excluded", replace(proposed, is_open=read.rows.is_open, others=origins))
            if "targetList" in conflict:
                updated = self._table(query["relation"], "update", is_bounded=True)
                for name, more in self._assign(updated, conflict["targetList"], level).items():
                    given[name] = union((given.get(name, NOTHING), more))
            self._conflict(conflict, read, level)
        return self._returning(query, read, given, level)

    def _conflict(self, conflict: Node, read: Source, level: Level) -> None:
        """ON CONFLICT tells whether there is such a row."""
        inferred = conflict.get("infer", {})
        for item in inferred.get("indexElems", ()):
            if "name" in item["IndexElem"]:
                self.decided(self._of_source(item["IndexElem"]["name"], read)[0])
        self.decide([inferred], level)
        if "whereClause" in conflict:
            self.decide([conflict["whereClause"]], level)

    def _update(self, query: Node, level: Level) -> Rows:
        changed, read = self._target(query, "UpdateStmt", "update", level)
        self._beside(query, "fromClause", read, level)
        given = self._assign(changed, query["targetList"], level)
        return self._returning(query, read, given, level)

    def _delete(self, query: Node, level: Level) -> Rows:
        changed, read = self._target(query, "DeleteStmt", "delete", level)
        _whole(changed)
        self._beside(query, "usingClause", read, level)
        return self._returning(query, read, {}, level)

    def _beside(self, query: Node, others: str, read: Source, level: Level) -> None:
        level.show(read)
        level.items.append(read)
        for item in query.get(others, ()):
            level.items.append(self._from(item, level, is_bounded(query)))
        if "whereClause" in query:
            self.decide([query["whereClause"]], level)

    def _merge_into(self, query: Node, level: Level) -> Rows:
        changed, read = self._target(query, "MergeStmt", "merge", level)
        level.items.append(self._from(query["sourceRelation"], level, bounds_rows(query["joinCondition"])))
        level.show(read)
        level.items.append(read)
        self.decide([query["joinCondition"]], level)
        given: dict[str, Origins] = {}
        for item in query["mergeWhenClauses"]:
            when = item["MergeWhenClause"]
            self.decide([when["condition"]] if "condition" in when else [], level)
            assigned = self._assign(changed, when.get("targetList", ()), level)
            inserted = union([self.value(value, level) for value in when.get("values", ())])
            names = target_names(when.get("targetList", ())) or list(changed.columns)
            for name in names if "values" in when else ():
                assigned[name] = union((assigned.get(name, NOTHING), inserted))
            for name, more in assigned.items():
                given[name] = union((given.get(name, NOTHING), more))
            if when["commandType"] != "CMD_NOTHING" and "targetList" not in when:
                _whole(changed)
        return self._returning(query, read, given, level)

    def _returning(self, query: Node, read: Source, given: Mapping[str, Origins], level: Level) -> Rows:
        """What a change returns: rows as they were, or as they have become."""
        clause = query.get("returningClause")
        if clause is None:
            return _NO_ROWS
        written = read.given(given)
        level.items = [written if item is read else item for item in level.items] or [written]
        level.visible = [written if source is read else source for source in level.visible]
        level.named[read.name] = written
        level.named.setdefault("old", read)
        level.named.setdefault("new", written)
        for option in clause.get("options", ()):
            chosen = option["ReturningOption"]
            level.named[chosen["value"]] = read if chosen["option"] == "RETURNING_OPTION_OLD" else written
        return self._targets(clause["exprs"], level)

    _changes: ClassVar[Mapping[str, Callable[[Lineage, Node, Level], Rows]]] = {
        "InsertStmt": _insert,
        "UpdateStmt": _update,
        "DeleteStmt": _delete,
        "MergeStmt": _merge_into,
    }


# Members of a branch of UNION and the like that has no clauses of its own.
_PLAIN_BRANCH: Final = frozenset({"larg", "rarg", "op", "all", "limitOption"})


def _whole(target: Source) -> None:
    """A change of whole rows."""
    for read in filter(None, (target.read, *(target.bases or {}).values())):
        read.add_all()


def _with_search(cte: Node, rows: Rows) -> Rows:
    """SEARCH and CYCLE add columns, which hold those that they go by."""
    names = [cte[clause][name] for clause, name in _ADDED if name in cte.get(clause, {})]
    origins = rows.origins
    return replace(rows, columns=rows.columns + tuple(Column(name, name, origins, False) for name in names))


_ADDED: Final = (
    ("search_clause", "search_seq_column"),
    ("cycle_clause", "cycle_mark_column"),
    ("cycle_clause", "cycle_path_column"),
)


def _merged(branches: list[Rows]) -> Rows:
    """What a set operation makes of its branches: columns of each position derive from all of them."""
    first = branches[0].columns
    is_open = any(rows.is_open or len(rows.columns) != len(first) for rows in branches)
    if is_open:
        every = union([rows.origins for rows in branches])
        return Rows(tuple(Column(column.name, column.name, every, False) for column in first), True, every)
    return Rows(
        tuple(
            Column(column.name, column.name, union([rows.columns[position].origins for rows in branches]), False)
            for position, column in enumerate(first)
        )
    )


def _output(column: Column) -> Output:
    origins = column.origins
    return Output(
        name=column.name,
        origins=None if origins is None else tuple(in_order(origins)),
        is_direct=column.is_direct,
    )
