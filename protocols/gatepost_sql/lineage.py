"""Queries, followed to the base columns that flow into their outputs and decide about their rows.

A name is looked up as PostgreSQL does: in the query, then in those around it. Where that cannot be done with certainty,
what it brings is not known, and counts as such wherever it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import ClassVar, Final

from gatepost.values import Effect, Origin, Output, Use
from gatepost_sql.catalogue import Relation, RelationKind
from gatepost_sql.deciding import bounds_rows, is_bounded, is_bounded_change
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.expressions import Expressions
from gatepost_sql.names import Column, Names
from gatepost_sql.outputs import UNNAMED, name_of
from gatepost_sql.ranges import NOTHING, Item, Join, Level, Origins, Read, Rows, Source, expanded, named, sources, union
from gatepost_sql.tree import Node, range_name, relation_name, strings, target_names

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
_UNKNOWN_ROWS: Final = Rows((), is_open=True, others=None)


class Lineage(Expressions):
    """Follows the queries of one text.

    Args:
        verb: what a change is counted as, by its own verb: "select" where it is only planned.
    """

    def __init__(self, names: Names, doubt: Callable[[Effect, str], None], verb: Callable[[str], str]) -> None:
        super().__init__(names, doubt)
        self._verb = verb
        self.is_resolved = True

    @property
    def uses(self) -> tuple[Use, ...]:
        return tuple(read.use() for read in self._reads.values() if read.is_needed)

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
            rows = _UNKNOWN_ROWS
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
        self.decide((query[key] for key in _EXPRESSIONS if key in query), level)
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

    def _shown(self, source: Source, column: Column) -> Column:
        source.touch(column)
        return column._replace(attribute=column.name)

    def _from(self, item: Node, level: Level, bounded: bool) -> Item:
        ((kind, node),) = item.items()
        return self._items[kind](self, node, level, bounded)

    def _range(self, node: Node, level: Level, bounded: bool) -> Item:
        rows = level.ctes.get(node["relname"]) if "schemaname" not in node else None
        if rows is None:
            source = self._table(node, "select", is_bounded=bounded)
        else:
            source = Source(range_name(node), rows.renamed(_column_names(node)))
        level.show(source)
        return source

    def _subquery(self, node: Node, level: Level, bounded: bool) -> Item:
        ((kind, query),) = node["subquery"].items()
        outer = level if node.get("lateral") else level.parent
        rows = self.rows(kind, query, outer, level.ctes)
        source = Source(node.get("alias", {}).get("aliasname", ""), rows.renamed(_column_names(node)))
        level.show(source)
        return source

    def _function(self, node: Node, level: Level, bounded: bool) -> Item:
        """A function or a table made of a document: what its arguments hold, its columns do, and its rows show."""
        origins = self.decide([node], level)
        name = node.get("alias", {}).get("aliasname", "")
        if not name and "functions" in node:
            call = node["functions"][0]["List"]["items"][0].get("FuncCall")
            name = strings(call["funcname"])[-1] if call else ""
        names = _column_names(node)
        rows = Rows(tuple(Column(each, each, origins, False) for each in names), is_open=True, others=origins)
        source = Source(name, rows)
        level.show(source)
        return source

    def _sample(self, node: Node, level: Level, bounded: bool) -> Item:
        source = self._from(node["relation"], level, bounded)
        self.decide(node.get("args", ()), level)
        return source

    def _join(self, node: Node, level: Level, bounded: bool) -> Item:
        names = strings(node.get("usingClause", ()))
        narrows = bounded or bool(names) or node.get("isNatural", False) or bounds_rows(node.get("quals"))
        left = self._from(node["larg"], level, narrows)
        right = self._from(node["rarg"], level, narrows)
        if node.get("isNatural"):
            names = self._common(left, right)
        merged = {name: self._merge(name, left, right, node["jointype"]) for name in names}
        joined = Join(left, right, merged)
        level.merged.update(merged)
        if "quals" in node:
            self.decide([node["quals"]], level)
        if "join_using_alias" in node:
            columns = tuple(column for _, column in merged.values())
            level.named[node["join_using_alias"]["aliasname"]] = Source("", Rows(columns))
        return self._aliased(joined, node, level) if "alias" in node else joined

    def _aliased(self, joined: Join, node: Node, level: Level) -> Item:
        """A join with a name of its own: the rows behind it cannot be named any more."""
        columns = tuple(self._shown(*pair) for pair in expanded(joined))
        opened = [source.touch_all() for source in sources(joined) if source.rows.is_open]
        level.hide(joined)
        rows = Rows(columns, bool(opened), union(opened)).renamed(_column_names(node))
        source = Source(node["alias"]["aliasname"], rows)
        level.show(source)
        return source

    def _common(self, left: Item, right: Item) -> list[str]:
        """The columns that a NATURAL JOIN compares."""
        if any(source.rows.is_open for side in (left, right) for source in sources(side)):
            self.decided(None)
        there = {column.name for _, column in expanded(right)}
        return [column.name for _, column in expanded(left) if column.name in there]

    def _merge(self, name: str, left: Item, right: Item, kind: str) -> tuple[Source, Column]:
        """The column that USING makes of two."""
        pairs: list[tuple[Source | None, Column]] = []
        for side in (left, right):
            found = named(side, name)
            opened = [source for source in sources(side) if source.rows.is_open]
            self.spend(len(found) + len(opened))
            for source, column in found:
                source.touch(column)
            origins = union([column.origins for _, column in found] + [source.touch_all() for source in opened])
            self.decided(origins)
            pairs.append(found[0] if len(found) == 1 and not opened else (None, Column(name, name, origins, False)))
        one, other = pairs
        kept, column = other if kind == "JOIN_RIGHT" else one
        # Where types differ, one side is converted, and may be left out for that.
        if kept is None or kind == "JOIN_FULL" or one[1].type != other[1].type:
            column = Column(name, name, union([one[1].origins, other[1].origins]), False)
            kept = Source("", Rows((column,)))
        return kept, column

    def _table(self, node: Node, verb: str, *, is_bounded: bool, is_needed: bool = True) -> Source:
        """The rows of a table or view, and its use."""
        name = range_name(node)
        try:
            relation = self._names.relation(node)
        except NotUnderstood as error:
            self._doubt(Effect.UNKNOWN, str(error))
            self.is_resolved = False
            written = self._names.known(relation_name(node))
            read = self.read(self._verb(verb), written, is_bounded=is_bounded, is_needed=is_needed)
            read.columns = None
            return Source(name, _UNKNOWN_ROWS.renamed(_column_names(node)), read=read)
        read = self.read(self._verb(verb), relation.qualified, is_bounded=is_bounded, is_needed=is_needed)
        columns = self._names.columns(relation)
        rows = Rows(tuple(columns.values()))
        names = _column_names(node)
        if names:
            rows = rows.renamed(names)
            return Source(name, rows, relation=relation, read=read, bases=self._bases(relation, verb, read))
        return Source(name, rows, columns, relation, read, self._bases(relation, verb, read))

    def _bases(self, relation: Relation, verb: str, read: Read) -> dict[str, Read] | None:
        """The uses of the tables behind a view: what a query reads of it, or changes in it, it does there."""
        facts = self._names.view(relation)
        if facts is None:
            return None
        if facts.effect is not Effect.READ and relation.kind is RelationKind.VIEW:
            self._doubt(facts.effect, f"view {relation.qualified}: {facts.reason}")
        via = relation.qualified
        bases = {}
        for use in facts.objects:
            base = self.read(
                self._verb(verb),
                use.name,
                via,
                is_bounded=read.is_bounded or use.is_bounded,
                is_needed=read.is_needed,
            )
            bases[use.name] = base
        if verb == "select" and read.is_needed:
            # What decides about the view's rows is read too. It is no predicate: who asks cannot choose it.
            for origin in facts.predicates or ():
                if origin.relation in bases:
                    bases[origin.relation].add(origin.column)
            if facts.predicates is None:
                for base in bases.values():
                    base.add_all()
        return bases

    def _target(self, query: Node, kind: str, verb: str, level: Level) -> tuple[Source, Source]:
        """The table that a change is made in: as what is changed, and as what is read of it."""
        bounded = is_bounded_change(kind, query)
        node = query["relation"]
        changed = self._table(node, verb, is_bounded=bounded)
        return changed, self._table(node, "select", is_bounded=bounded, is_needed=False)

    def _assign(self, target: Source, targets: Iterable[Node], level: Level) -> dict[str, Origins]:
        """What columns are given, by name."""
        given: dict[str, Origins] = {}
        for item in targets:
            assigned = item["ResTarget"]
            name = assigned.get("name", "")
            if name:
                self._of_source(name, target)
            if "val" in assigned:
                given[name] = union((given.get(name, NOTHING), self.value(assigned["val"], level)))
        return given

    def _insert(self, query: Node, level: Level) -> Rows:
        changed, read = self._target(query, "InsertStmt", "insert", level)
        names = target_names(query.get("cols", ())) or list(changed.columns)
        for name in names:
            self._of_source(name, changed)
        origins: Origins = NOTHING
        if "selectStmt" in query:
            ((kind, select),) = query["selectStmt"].items()
            origins = self.rows(kind, select, level.parent, level.ctes).origins
        level.show(read)
        given: dict[str, Origins] = dict.fromkeys(names, origins)
        conflict = query.get("onConflictClause")
        if conflict is not None:
            proposed = Rows(tuple(column._replace(origins=origins, is_direct=False) for column in read.rows.columns))
            level.named["excluded"] = Source("excluded", proposed._replace(is_open=read.rows.is_open, others=origins))
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
    _items: ClassVar[Mapping[str, Callable[[Lineage, Node, Level, bool], Item]]] = {
        "RangeVar": _range,
        "RangeSubselect": _subquery,
        "RangeFunction": _function,
        "RangeTableFunc": _function,
        "JsonTable": _function,
        "RangeTableSample": _sample,
        "JoinExpr": _join,
    }


# Members of a branch of UNION and the like that has no clauses of its own.
_PLAIN_BRANCH: Final = frozenset({"larg", "rarg", "op", "all", "limitOption"})


def _whole(target: Source) -> None:
    """A change of whole rows."""
    for read in filter(None, (target.read, *(target.bases or {}).values())):
        read.add_all()


def _column_names(node: Node) -> list[str]:
    """The names that an alias gives to columns."""
    definitions = strings(node.get("alias", {}).get("colnames", ()))
    return definitions or [item["ColumnDef"]["colname"] for item in node.get("coldeflist", ())]


def _with_search(cte: Node, rows: Rows) -> Rows:
    """SEARCH and CYCLE add columns, which hold those that they go by."""
    names = [cte[clause][name] for clause, name in _ADDED if name in cte.get(clause, {})]
    origins = rows.origins
    return rows._replace(columns=rows.columns + tuple(Column(name, name, origins, False) for name in names))


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
        origins=None if origins is None else tuple(sorted(origins, key=lambda each: (each.relation, each.column))),
        is_direct=column.is_direct,
    )
