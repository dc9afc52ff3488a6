"""The items of a FROM in MySQL: tables and views, queries and joins, as rows with columns that can be named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlglot import exp

from gatepost.values import Effect, Use
from gatepost_sql.catalogue import Relation
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_bounds import bounds_rows, joins
from gatepost_sql.mysql_expressions import Expressions, QueryLevel
from gatepost_sql.mysql_names import Names
from gatepost_sql.names import Column
from gatepost_sql.ranges import Level, Origins, Read, Rows, Source

UNKNOWN_ROWS: Final = Rows((), is_open=True, others=None)


class Items(Expressions):
    """Follows the items of a FROM.

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
            level.show(source_of(item.alias, renamed(rows, column_names(item))))
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
            return source_of(node.alias_or_name, renamed(level.ctes[node.name], column_names(node)))
        self.spend(len(level.ctes))
        if not node.db and node.name.lower() in map(str.lower, level.ctes):
            raise NotUnderstood("a table's name differs from a query's in the case of letters alone")
        if not node.db and node.name.lower() == "dual":
            return source_of("dual", Rows(()))
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
            return Source(name, UNKNOWN_ROWS, read=read)
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


def source_of(name: str, rows: Rows) -> Source:
    columns: dict[str, Column] = {}
    for column in rows.columns:
        columns.setdefault(column.name, column)
    return Source(name, rows, columns)


def column_names(item: exp.Expr) -> list[str]:
    alias = item.args.get("alias")
    return [name.name for name in alias.columns] if alias is not None else []


def renamed(rows: Rows, names: list[str]) -> Rows:
    return rows.renamed([name.lower() for name in names])
