"""MySQL's queries, followed to the base columns that flow into their outputs and decide about their rows.

It needs a catalogue. A name is looked up as MySQL does, in the query and then in those around it; where several columns
could be meant, all of them count. What cannot be followed with certainty is not known, wherever it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from sqlglot import exp

from gatepost.values import Effect, Output
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_bounds import is_bounded, joins
from gatepost_sql.mysql_expressions import QueryLevel
from gatepost_sql.mysql_items import UNKNOWN_ROWS, Items, renamed
from gatepost_sql.names import Column
from gatepost_sql.ranges import Level, Origins, Rows, Source, union

# How often the columns of a recursive query are followed again until nothing new comes.
_ROUNDS: Final = 16

_QUERY: Final = 100


class Lineage(Items):
    """Follows one statement."""

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
        self.spend(len(found))
        for part in clause.expressions:
            names = [name.name for name in part.args["alias"].columns]
            recurs = clause.args.get("recursive") and isinstance(part.this, exp.SetOperation)
            if recurs:
                found[part.alias] = self._recursive(part, names, parent, found)
            else:
                found[part.alias] = renamed(self.rows(part.this, parent, found), names)
        return found

    def _recursive(self, part: exp.Expr, names: list[str], parent: Level | None, ctes: Mapping[str, Rows]) -> Rows:
        first = part.this
        while isinstance(first, exp.SetOperation):
            first = first.this
        rows = _indirect(renamed(self.rows(first, parent, ctes), names))
        for _ in range(_ROUNDS):
            more = renamed(self.rows(part.this, parent, {**ctes, part.alias: rows}), names)
            before, rows = rows, _merged([rows, more])
            if rows == before:
                return rows
        return UNKNOWN_ROWS

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
        self.spend(len(rows.columns))
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
                    columns.append(replace(column, attribute=column.name))

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
        self.spend(len(tables))
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


def _showing(source: Source) -> QueryLevel:
    level = QueryLevel(None, {})
    level.show(source)
    return level


def _all(source: Source) -> None:
    """A change of whole rows."""
    for read in filter(None, (source.read, *(source.bases or {}).values())):
        read.add_all()


def _indirect(rows: Rows) -> Rows:
    return replace(rows, columns=tuple(replace(column, is_direct=False) for column in rows.columns))


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
