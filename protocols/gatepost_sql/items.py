"""The items of a FROM: tables and views, queries, functions and joins, as rows with columns that can be named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from msgspec.structs import replace

from gatepost.values import Effect
from gatepost_sql.catalogue import Relation, RelationKind
from gatepost_sql.deciding import bounds_rows
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.expressions import Expressions
from gatepost_sql.names import Column, Names
from gatepost_sql.ranges import Item, Join, Level, Read, Rows, Source, expanded, named, sources, union
from gatepost_sql.tree import Node, range_name, relation_name, strings

UNKNOWN_ROWS: Final = Rows((), is_open=True, others=None)


class Items(Expressions):
    """Follows the items of a FROM.

    Args:
        verb: what a change is counted as, by its own verb: "select" where it is only planned.
    """

    def __init__(self, names: Names, doubt: Callable[[Effect, str], None], verb: Callable[[str], str]) -> None:
        super().__init__(names, doubt)
        self._verb = verb
        self.is_resolved = True

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
        self.decide([{key: node[key] for key in ("args", "repeatable") if key in node}], level)
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

    def _shown(self, source: Source, column: Column) -> Column:
        source.touch(column)
        return replace(column, attribute=column.name)

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
            return Source(name, UNKNOWN_ROWS.renamed(_column_names(node)), read=read)
        read = self.read(self._verb(verb), relation.qualified, is_bounded=is_bounded, is_needed=is_needed)
        columns = self._names.columns(relation)
        rows = Rows(tuple(columns.values()))
        names = _column_names(node)
        if names:
            rows = rows.renamed(names)
            return Source(name, rows, relation=relation, read=read, bases=self._bases(relation, verb, read))
        return Source(name, rows, columns, relation, read, self._bases(relation, verb, read))

    def _bases(self, relation: Relation, verb: str, read: Read) -> dict[str, Read]:
        """The uses of the tables behind a view or around a partition: what is done with it is done there too."""
        facts = self._names.view(relation)
        if facts is None:
            if not relation.parents:
                return {}
            return {
                parent.qualified: self.read(
                    self._verb(verb),
                    parent.qualified,
                    relation.qualified,
                    is_bounded=read.is_bounded,
                    is_needed=read.is_needed,
                )
                for parent in self._names.ancestors(relation)
            }
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

    _items: ClassVar[Mapping[str, Callable[[Items, Node, Level, bool], Item]]] = {
        "RangeVar": _range,
        "RangeSubselect": _subquery,
        "RangeFunction": _function,
        "RangeTableFunc": _function,
        "JsonTable": _function,
        "RangeTableSample": _sample,
        "JoinExpr": _join,
    }


def _column_names(node: Node) -> list[str]:
    """The names that an alias gives to columns."""
    alias = node.get("alias", ())
    if "colnames" in alias:
        return strings(alias["colnames"])
    return [item["ColumnDef"]["colname"] for item in node["coldeflist"]] if "coldeflist" in node else []
