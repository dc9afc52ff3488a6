"""MySQL's queries, followed to the base columns that flow into their outputs and decide about their rows.

It needs a catalogue. A name is looked up as MySQL does, in the query and then in those around it; where several columns
could be meant, all of them count. What cannot be followed with certainty is not known, wherever it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlglot import exp

from gatepost.values import Effect, Output, Use
from gatepost_sql.catalogue import Relation
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_bounds import bounds_rows, is_bounded, joins
from gatepost_sql.mysql_expressions import Expressions, QueryLevel
from gatepost_sql.mysql_names import Names
from gatepost_sql.names import Column
from gatepost_sql.ranges import Level, Origins, Read, Rows, Source, union

_UNKNOWN_ROWS: Final = Rows((), is_open=True, others=None)

# How often the columns of a recursive query are followed again until nothing new comes.
_ROUNDS: Final = 16

_QUERY: Final = 100


class Lineage(Expressions):
    """Follows one statement.

    Attributes:
        effect, reason: what the views in it can do, UNKNOWN where a name is not what it must be.
        is_resolved: every table was found.
    """

    def __init__(self, names: Names) -> None:
        super().__init__()
        self.is_resolved = True
        self._names = names
        self._reads: dict[tuple[str, str, str], Read] = {}
        # Nodes of tables that are changed: they are read only if a column of them is.
        self._changed: set[int] = set()

    @property
    def uses(self) -> tuple[Use, ...]:
        return tuple(read.use() for read in self._reads.values() if read.is_needed)

    def follow(self, tree: exp.Expr) -> tuple[Output, ...]:
        """Follow a statement; returns its outputs, or () where it is not known how many there are."""
        if isinstance(tree, exp.Insert):
            self._insert(tree)
        elif isinstance(tree, exp.Update | exp.Delete):
            self._change(tree)
        else:
            rows = self.rows(tree, None, {})
            return () if rows.is_open else tuple(map(_output, rows.columns))
        return ()

    # Queries.

    def rows(self, query: exp.Expr, parent: Level | None, ctes: Mapping[str, Rows]) -> Rows:
        self.spend(_QUERY)
        ctes = self._with(query, parent, ctes)
        if isinstance(query, exp.Subquery):
            rows = self.rows(query.this, parent, ctes)
            self._clauses(query, rows, QueryLevel(parent, ctes))
            return rows
        if isinstance(query, exp.SetOperation):
            rows = _merged([self.rows(query.this, parent, ctes), self.rows(query.expression, parent, ctes)])
            if query.args.get("distinct") or not isinstance(query, exp.Union):
                self.decided(rows.origins)
            self._clauses(query, rows, QueryLevel(parent, ctes))
            return rows
        if isinstance(query, exp.Select):
            return self._select(query, QueryLevel(parent, ctes))
        if isinstance(query, exp.Values):
            origins = self.value(query.expressions, QueryLevel(parent, ctes))
            return Rows((), is_open=True, others=origins)
        raise NotUnderstood("a query is of no kind that is known")

    def _select(self, query: exp.Select, level: QueryLevel) -> Rows:
        self._sources(query, level, is_bounded=is_bounded(query))
        self.decide([query.args.get("where")], level)
        rows = self._targets(query.expressions, level)
        if query.args.get("distinct"):
            self.decided(rows.origins)
        level.shows_outputs = True
        self._clauses(query, rows, level)
        return rows

    def _with(self, query: exp.Expr, parent: Level | None, ctes: Mapping[str, Rows]) -> Mapping[str, Rows]:
        clause = query.args.get("with_")
        if clause is None:
            return ctes
        found = dict(ctes)
        for part in clause.expressions:
            names = [name.name for name in part.args["alias"].columns]
            recurs = clause.args.get("recursive") and isinstance(part.this, exp.SetOperation)
            if recurs:
                found[part.alias] = self._recursive(part, names, parent, found)
            else:
                found[part.alias] = _renamed(self.rows(part.this, parent, found), names)
        return found

    def _recursive(self, part: exp.Expr, names: list[str], parent: Level | None, ctes: Mapping[str, Rows]) -> Rows:
        first = part.this
        while isinstance(first, exp.SetOperation):
            first = first.this
        rows = _indirect(_renamed(self.rows(first, parent, ctes), names))
        for _ in range(_ROUNDS):
            more = _renamed(self.rows(part.this, parent, {**ctes, part.alias: rows}), names)
            before, rows = rows, _merged([rows, more])
            if rows == before:
                return rows
        return _UNKNOWN_ROWS

    def _clauses(self, query: exp.Expr, rows: Rows, level: QueryLevel) -> None:
        """What decides about the rows besides WHERE."""
        for part in ("group", "order"):
            clause = query.args.get(part)
            for key in clause.expressions if clause is not None else ():
                self._key(key, rows, level)
        self.decide([query.args.get(part) for part in ("having", "limit", "offset", "qualify")], level)
        self.decide(query.args.get("windows") or (), level)

    def _key(self, key: exp.Expr, rows: Rows, level: QueryLevel) -> None:
        """One of ORDER BY or GROUP BY: an expression, or an output by its name or number."""
        inner = key.this if isinstance(key, exp.Ordered) else key
        while isinstance(inner, exp.Paren):
            inner = inner.this
        if not isinstance(inner, exp.Expr) or isinstance(inner, exp.Literal):
            # Numbers are all the same here, so it is any of the outputs.
            self.decided(rows.origins)
            return
        if isinstance(inner, exp.Column) and not inner.table:
            named = [column.origins for column in rows.columns if column.name == inner.name.lower()]
            self.decided(rows.origins if rows.is_open else union(named))
            if (named or rows.is_open) and not self.is_known(inner.name.lower(), level):
                return
        self.decide([inner], level)

    def _targets(self, targets: Iterable[exp.Expr], level: QueryLevel) -> Rows:
        columns: list[Column] = []
        opened: list[Origins] = []
        for target in targets:
            value = target.this if isinstance(target, exp.Alias) else target
            if isinstance(value, exp.Star) or (isinstance(value, exp.Column) and isinstance(value.this, exp.Star)):
                self._star(value, level, columns, opened)
                continue
            origins = self.value([value], level)
            name = target.alias_or_name if isinstance(target, exp.Alias | exp.Column) else ""
            is_direct = isinstance(value, exp.Column) and origins is not None and self.is_direct(value, level)
            columns.append(Column(name.lower(), name, origins, is_direct))
            if name:
                level.outputs.setdefault(name.lower(), []).append(origins)
        return Rows(tuple(columns), bool(opened), union(opened))

    def _star(self, star: exp.Expr, level: QueryLevel, columns: list[Column], opened: list[Origins]) -> None:
        qualifier, database = (star.table, star.text("db")) if isinstance(star, exp.Column) else ("", "")
        chosen = self.qualified(qualifier, database, level) if qualifier else level.visible
        if not chosen:
            raise NotUnderstood("a star stands for what is not known")
        for source in chosen:
            if source.rows.is_open or (level.is_merged and not qualifier):
                opened.append(source.touch_all())
                continue
            self.spend(len(source.rows.columns))
            attributes = source.relation.attributes if source.relation is not None else ()
            hidden = {each.name.lower() for each in attributes if each.is_hidden}
            for column in source.rows.columns:
                if column.name not in hidden:
                    source.touch(column)
                    columns.append(column._replace(attribute=column.name))

    # What a FROM holds.

    def _sources(self, query: exp.Expr, level: QueryLevel, *, is_bounded: bool) -> None:
        from_ = query.args.get("from_")
        if from_ is not None:
            self._item(from_.this, level, is_bounded=is_bounded)
        self._joins(query.args.get("joins") or (), level, is_bounded=is_bounded)

    def _joins(self, every: Sequence[exp.Join], level: QueryLevel, *, is_bounded: bool) -> None:
        for join in every:
            before = list(level.visible)
            condition = join.args.get("on")
            using = [name.name.lower() for name in join.args.get("using") or ()]
            narrows = is_bounded or bool(using or join.method) or bounds_rows(condition)
            self._item(join.this, level, is_bounded=narrows)
            if join.method:
                using = self._common(before, level.visible[len(before) :])
            for name in using:
                level.is_merged = True
                self.decided(self.named(name, "", "", level))
            self.decide([condition], level)

    def _common(self, left: Sequence[Source], right: Sequence[Source]) -> list[str]:
        """The columns that NATURAL compares."""
        if any(source.rows.is_open for source in (*left, *right)):
            self.decided(None)
        return [name for source in right for name in source.columns if any(name in other.columns for other in left)]

    def _item(self, item: Any, level: QueryLevel, *, is_bounded: bool) -> None:
        if isinstance(item, exp.Table) and isinstance(item.this, exp.Identifier):
            level.show(self._table_or_cte(item, level, is_bounded=is_bounded))
        elif isinstance(item, exp.Table):
            # JSON_TABLE: what its arguments hold, its columns do.
            level.show(self._made(item.alias, self.decide([item.this], level)))
        elif isinstance(item, exp.Subquery) and isinstance(item.this, exp.Query) and item.alias:
            rows = self.rows(item.this, level.parent, level.ctes)
            level.show(_source(item.alias, _renamed(rows, _column_names(item))))
        elif isinstance(item, exp.Subquery):
            self._item(item.this, level, is_bounded=is_bounded)
        elif isinstance(item, exp.Values):
            level.show(self._made(item.alias, self.value(item.expressions, level)))
        else:
            raise NotUnderstood("the rows come from where it is not known")
        self._joins(joins(item), level, is_bounded=is_bounded)

    def _made(self, name: str, origins: Origins) -> Source:
        return Source(name, Rows((), is_open=True, others=origins))

    def _table_or_cte(self, node: exp.Table, level: Level, *, is_bounded: bool) -> Source:
        if not node.db and node.name in level.ctes:
            return _source(node.alias_or_name, _renamed(level.ctes[node.name], _column_names(node)))
        if not node.db and node.name.lower() in map(str.lower, level.ctes):
            raise NotUnderstood("a table's name differs from a query's in the case of letters alone")
        if not node.db and node.name.lower() == "dual":
            return _source("dual", Rows(()))
        return self._table(node, "select", is_bounded=is_bounded, is_needed=id(node) not in self._changed)

    def _table(self, node: exp.Table, verb: str, *, is_bounded: bool, is_needed: bool = True) -> Source:
        """The rows of a table or view, and its use."""
        name = node.alias_or_name
        try:
            relation = self._names.relation(node.db, node.name)
        except NotUnderstood as error:
            self.doubt(Effect.UNKNOWN, str(error))
            self.is_resolved = False
            written = self._names.qualified(node.db, node.name)
            read = self._read(verb, written, "", is_bounded=is_bounded, is_needed=is_needed)
            read.columns = None
            return Source(name, _UNKNOWN_ROWS, read=read)
        read = self._read(verb, relation.qualified, "", is_bounded=is_bounded, is_needed=is_needed)
        columns = self._names.columns(relation)
        bases = self._bases(relation, verb, read)
        return Source(name, Rows(tuple(columns.values())), columns, relation, read, bases)

    def _bases(self, relation: Relation, verb: str, read: Read) -> dict[str, Read]:
        """The uses of the tables behind a view: what is done with it is done there too."""
        facts = self._names.view(relation)
        if facts is None:
            return {}
        if facts.effect is not Effect.READ:
            self.doubt(facts.effect, f"view {relation.qualified}: {facts.reason}")
        bases = {}
        for use in facts.objects:
            bounded = read.is_bounded or use.is_bounded
            bases[use.name] = self._read(
                verb, use.name, relation.qualified, is_bounded=bounded, is_needed=read.is_needed
            )
        if verb == "select" and read.is_needed:
            # What decides about the view's rows is read too. It is no predicate: who asks cannot choose it.
            for origin in facts.predicates or ():
                if origin.relation in bases:
                    bases[origin.relation].add(origin.column)
            if facts.predicates is None:
                for base in bases.values():
                    base.add_all()
        return bases

    def _read(self, verb: str, name: str, via: str, *, is_bounded: bool, is_needed: bool) -> Read:
        key = (verb, name, via)
        found = self._reads.get(key)
        if found is None:
            found = self._reads[key] = Read(verb, name, via)
        found.is_bounded = found.is_bounded and is_bounded
        found.is_needed = found.is_needed or is_needed
        return found

    # Changes.

    def _insert(self, tree: exp.Insert) -> None:
        schema = tree.this
        table = schema.this if isinstance(schema, exp.Schema) else schema
        changed = self._table(table, "insert", is_bounded=True)
        if isinstance(schema, exp.Schema):
            self._assigned((name.name for name in schema.expressions), [changed])
        else:
            _all(changed)
        ctes = self._with(tree, None, {})
        level = QueryLevel(None, ctes)
        rows = tree.args.get("expression")
        if isinstance(rows, exp.Query):
            self.rows(rows, None, ctes)
        elif rows is not None:
            self.value([rows], level)
        conflict = tree.args.get("conflict")
        if conflict is not None:
            level.show(self._table(table, "select", is_bounded=True, is_needed=False))
            if isinstance(rows, exp.Select):
                self._sources(rows, level, is_bounded=True)
            updated = self._table(table, "update", is_bounded=True)
            self._assign(conflict.expressions, [updated], level)
        returning = tree.args.get("returning")
        if returning is not None:
            shown = self._table(table, "select", is_bounded=True, is_needed=False)
            self._targets(returning.expressions, _showing(shown))

    def _change(self, tree: exp.Expr) -> None:
        """UPDATE and DELETE, of one table or several."""
        level = QueryLevel(None, self._with(tree, None, {}))
        bounded = is_bounded(tree)
        using = tree.args.get("using")
        items = using if isinstance(using, list) else [tree.this]
        tables = [table for item in items for table in _tables(item)]
        if isinstance(tree, exp.Delete):
            self._delete(tree, tables, is_from=items is using, is_bounded=bounded)
            assigned = {}
        else:
            assigned = {id(each): self._updated(each.this, tables, is_bounded=bounded) for each in tree.expressions}
        for item in items:
            self._item(item, level, is_bounded=bounded)
        for each in tree.expressions if assigned else ():
            self._assign([each], assigned[id(each)], level)
        self.decide([tree.args.get(part) for part in ("where", "order", "limit")], level)
        returning = tree.args.get("returning")
        if returning is not None:
            self._targets(returning.expressions, level)

    def _delete(self, tree: exp.Delete, tables: Sequence[exp.Table], *, is_from: bool, is_bounded: bool) -> None:
        chosen = list(_tables(tree.this)) if is_from else tree.args.get("tables") or ()
        named = {table.name.lower() for table in chosen}
        found = set()
        for table in tables:
            names = {table.alias_or_name.lower(), table.name.lower()}
            if not named or names & named:
                found |= names & named
                self._changed.add(id(table))
                _all(self._table(table, "delete", is_bounded=is_bounded))
        if found != named:
            raise NotUnderstood("what is deleted from is not known")

    def _updated(self, column: exp.Expr, tables: Sequence[exp.Table], *, is_bounded: bool) -> list[Source]:
        """The tables that a column of an UPDATE can be of."""
        name, qualifier = column.name.lower(), column.text("table").lower()
        changed = []
        for table in tables:
            if qualifier and table.alias_or_name.lower() != qualifier:
                continue
            source = self._table(table, "update", is_bounded=is_bounded, is_needed=False)
            if len(tables) == 1 or qualifier or name in source.columns or source.rows.is_open:
                self._changed.add(id(table))
                changed.append(source)
        if not changed:
            raise NotUnderstood("which table is updated is not known")
        return changed

    def _assign(self, assignments: Iterable[exp.Expr], changed: Sequence[Source], level: QueryLevel) -> None:
        for assignment in assignments:
            self._assigned([assignment.this.name], changed)
            self.value([assignment.expression], level)

    def _assigned(self, names: Iterable[str], changed: Sequence[Source]) -> None:
        for name in names:
            for source in changed:
                column = source.columns.get(name.lower())
                if column is None:
                    self._missing(name, source)
                else:
                    source.touch(column)

    def _missing(self, name: str, source: Source) -> None:
        _all(source)
        if not source.rows.is_open:
            self.doubt(Effect.UNKNOWN, f"column {name} is not in the catalogue")


def _tables(item: Any) -> Iterator[exp.Table]:
    """The tables that an UPDATE or DELETE names as its own."""
    if isinstance(item, exp.Table) and isinstance(item.this, exp.Identifier):
        yield item
    elif isinstance(item, exp.Subquery) and not isinstance(item.this, exp.Query):
        yield from _tables(item.this)
    for join in joins(item):
        yield from _tables(join.this)


def _source(name: str, rows: Rows) -> Source:
    columns: dict[str, Column] = {}
    for column in rows.columns:
        columns.setdefault(column.name, column)
    return Source(name, rows, columns)


def _showing(source: Source) -> QueryLevel:
    level = QueryLevel(None, {})
    level.show(source)
    return level


def _all(source: Source) -> None:
    """A change of whole rows."""
    for read in filter(None, (source.read, *(source.bases or {}).values())):
        read.add_all()


def _column_names(item: exp.Expr) -> list[str]:
    alias = item.args.get("alias")
    return [name.name for name in alias.columns] if alias is not None else []


def _renamed(rows: Rows, names: list[str]) -> Rows:
    return rows.renamed([name.lower() for name in names])


def _indirect(rows: Rows) -> Rows:
    return rows._replace(columns=tuple(column._replace(is_direct=False) for column in rows.columns))


def _merged(branches: list[Rows]) -> Rows:
    """What a set operation makes of its branches: columns of each position derive from all of them."""
    first = branches[0].columns
    if any(rows.is_open or len(rows.columns) != len(first) for rows in branches):
        return Rows((), is_open=True, others=union(rows.origins for rows in branches))
    return Rows(
        tuple(
            Column(column.name, column.attribute, union(rows.columns[at].origins for rows in branches), False)
            for at, column in enumerate(first)
        )
    )


def _output(column: Column) -> Output:
    origins = column.origins
    return Output(
        name=column.attribute,
        origins=None if origins is None else tuple(sorted(origins, key=lambda each: (each.relation, each.column))),
        is_direct=column.is_direct,
    )
