"""Which base columns an expression's value derives from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import ClassVar, Final, TypeAlias

from gatepost.values import Effect, Origin
from gatepost_sql.deciding import SET_RETURNING
from gatepost_sql.effects import LEAVES
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.functions import ROW_FUNCTIONS
from gatepost_sql.names import Names
from gatepost_sql.ranges import NOTHING, SYSTEM_COLUMNS, Level, Origins, Read, Rows, Source, in_order, union
from gatepost_sql.tree import Node, strings

# What following one text may cost, in columns and rows that are looked at. Parts can be repeated within others, and be
# looked at again for each time.
MAX_STEPS: Final = 1_000_000

# What a part derives from, and which of its own parts are to be looked at yet.
Part: TypeAlias = tuple[Origins, Iterable[Node]]


class Expressions:
    """Follows expressions to base columns. What it meets on the way it keeps: uses, and columns that decide.

    Args:
        doubt: what is called where a name is not what it must be, with the effect and why.
    """

    def __init__(self, names: Names, doubt: Callable[[Effect, str], None]) -> None:
        self._names = names
        self._doubt = doubt
        self._reads: dict[tuple[str, str, str], Read] = {}
        self._decided: dict[Origin, None] = {}
        self._is_decided = True
        self._steps = 0

    def spend(self, steps: int) -> None:
        """Raises NotUnderstood where it gets too much."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise NotUnderstood("the statement takes too long to follow")

    def read(self, verb: str, name: str, via: str = "", *, is_bounded: bool = True, is_needed: bool = True) -> Read:
        """The use of this table, a new one if there is none."""
        key = (verb, name, via)
        found = self._reads.get(key)
        if found is None:
            found = self._reads[key] = Read(verb, name, via)
        found.is_bounded = found.is_bounded and is_bounded
        found.is_needed = found.is_needed or is_needed
        return found

    def value(self, expression: Node, level: Level) -> Origins:
        """What an expression's value derives from."""
        found: set[Origin] = set()
        is_known = True
        pending = [expression]
        parts = self._parts
        while pending:
            for kind, inner in pending.pop().items():
                if kind in LEAVES:
                    continue
                if inner.__class__ is dict:
                    part = parts.get(kind)
                    if part is None:
                        pending.append(inner)
                        continue
                    origins, rest = part(self, inner, level)
                    pending.extend(rest)
                    if origins is None:
                        is_known = False
                    else:
                        found |= origins
                elif inner.__class__ is list:
                    pending += inner
        return frozenset(found) if is_known else None

    def output(self, expression: Node, level: Level) -> tuple[Origins, bool]:
        """The same, and whether it is one column's value unchanged."""
        column = expression.get("ColumnRef")
        if column is not None:
            return self._reference(column, level)
        field = expression.get("A_Indirection")
        if field is not None:
            direct = self._field(field, level)
            if direct is not None:
                return direct
        return self.value(expression, level), False

    def decide(self, expressions: Collection[Node], level: Level) -> Origins:
        """Expressions that decide about rows; returns what they derive from."""
        if not expressions:
            return NOTHING
        origins = union([self.value(expression, level) for expression in expressions])
        self.decided(origins)
        return origins

    def decided(self, origins: Origins) -> None:
        """These columns decide about rows."""
        if origins is None:
            self._is_decided = False
        else:
            self._decided.update(dict.fromkeys(in_order(origins)))

    def rows(self, kind: str, query: Node, parent: Level | None, ctes: Mapping[str, Rows]) -> Rows:
        """What a query within an expression returns."""
        raise NotImplementedError

    def whole_row(self, column: Node, level: Level) -> Source | None:
        """The rows that a plain name means where it is no column's."""
        names = strings(column["fields"])
        if len(names) != 1 or len(column["fields"]) != 1 or self._named(names[0], level) is not None:
            return None
        return level.source(names[0])

    def _reference(self, column: Node, level: Level) -> tuple[Origins, bool]:
        names = strings(column["fields"])
        if len(names) != len(column["fields"]):
            return self._star(names, level), False
        *qualifier, name = names
        if not qualifier:
            found = self._named(name, level)
            if found is not None:
                return found
            source = level.source(name)
            return self._anything(level) if source is None else self._whole(source), False
        source = level.source(qualifier[-1])
        if source is None or (len(qualifier) > 1 and not _is_schema_of(qualifier[-2], source)):
            return None, False
        return self._of_source(name, source)

    def _named(self, name: str, level: Level) -> tuple[Origins, bool] | None:
        """The column of this name, of the innermost query that has one; None if there is none."""
        opened: list[Origins] = []
        at: Level | None = level
        while at is not None:
            self.spend(len(at.visible))
            found = at.columns(name)
            if found:
                for source, column in found:
                    source.touch(column)
                if len(found) == 1 and not opened:
                    return found[0][1].origins, found[0][1].is_direct
                return union([*opened, *(column.origins for _, column in found)]), False
            opened += [source.rows.others for source in at.visible if source.rows.is_open]
            at = at.parent
        if opened:
            # It may as well be the name of rows whose columns are not all known.
            whole = level.source(name)
            return union(opened if whole is None else [*opened, self._whole(whole)]), False
        return (NOTHING, False) if name in SYSTEM_COLUMNS else None

    def _of_source(self, name: str, source: Source) -> tuple[Origins, bool]:
        column = source.columns.get(name)
        if column is not None:
            source.touch(column)
            return column.origins, column.is_direct
        if source.rows.is_open:
            return self._whole(source), False
        if name in SYSTEM_COLUMNS:
            return NOTHING, False
        if name not in ROW_FUNCTIONS:
            # `row.f` calls f(row).
            meaning = self._names.call([name], 1)
            if meaning.effect is not Effect.READ:
                self._doubt(meaning.effect, meaning.reason)
        return self._whole(source), False

    def _whole(self, source: Source | None) -> Origins:
        """What a whole row derives from."""
        if source is None:
            return None
        self.spend(1 if source.is_touched else len(source.rows.columns))
        return source.touch_all()

    def _anything(self, level: Level) -> Origins:
        """What a name derives from that nothing here has: the catalogue may be older than a column."""
        at: Level | None = level
        while at is not None:
            for source in at.visible:
                self._whole(source)
            at = at.parent
        return None

    def _star(self, names: list[str], level: Level) -> Origins:
        if names:
            return self._whole(level.source(names[-1]))
        return union([self._whole(source) for source in level.visible])

    def _field(self, node: Node, level: Level) -> tuple[Origins, bool] | None:
        """`(row).column`, where row is a name of rows; None for any other selection."""
        column = node["arg"].get("ColumnRef")
        source = None if column is None else self.whole_row(column, level)
        names = strings(node["indirection"])
        if source is None or len(names) != 1 or len(node["indirection"]) != 1:
            return None
        return self._of_source(names[0], source)

    def _column_part(self, node: Node, level: Level) -> Part:
        return self._reference(node, level)[0], ()

    def _indirection_part(self, node: Node, level: Level) -> Part:
        field = self._field(node, level)
        return (NOTHING, (node["arg"], *node["indirection"])) if field is None else (field[0], ())

    def _query_part(self, node: Node, level: Level) -> Part:
        return self.rows("SelectStmt", node, level, level.ctes).origins, ()

    def _sublink_part(self, node: Node, level: Level) -> Part:
        ((kind, query),) = node["subselect"].items()
        found = self.rows(kind, query, level, level.ctes).origins
        return found, [node["testexpr"]] if "testexpr" in node else ()

    def _call_part(self, node: Node, level: Level) -> Part:
        found = NOTHING
        arguments = node.get("args", [])
        deciding = [node[key] for key in ("agg_filter", "over") if key in node] + node.get("agg_order", [])
        meaning = self._names.call(strings(node["funcname"]), len(arguments))
        if meaning.effect is Effect.CONTROL:
            # What a function does to the session is seen elsewhere: a setting, a lock, a notification. That shows its
            # arguments, and that it was called: `a AND f()` tells of a, and so does a WITH that only some row asks for.
            self.decided(None)
        if strings(node["funcname"])[-1] in SET_RETURNING:
            deciding += arguments
        if deciding:
            origins = self.decide(deciding, level)
            if origins is None:
                return None, arguments
            found = origins
        for use in meaning.reads:
            read = self.read("select", use.name, use.via, is_bounded=use.is_bounded)
            if use.columns is None:
                read.add_all()
            for column in use.columns or ():
                read.add(column)
        is_known = not meaning.reads and meaning.effect is not Effect.UNKNOWN
        if meaning.makes_rows:
            # How many come is seen in the columns beside it.
            given = self.decide(arguments, level)
            if not is_known:
                self.decided(None)
            return (union((found, given)) if is_known else None), ()
        return (found if is_known else None), arguments

    def _case_part(self, node: Node, level: Level) -> Part:
        whens = [when["CaseWhen"] for when in node["args"]]
        conditions = [when["expr"] for when in whens]
        if "arg" in node:
            conditions.append(node["arg"])
        results = [when["result"] for when in whens]
        if "defresult" in node:
            results.append(node["defresult"])
        return self.decide(conditions, level), results

    def _argument_part(self, node: Node, level: Level) -> Part:
        return NOTHING, (node["arg"],)

    def _nothing(self, node: Node, level: Level) -> Part:
        return NOTHING, ()

    _parts: ClassVar[Mapping[str, Callable[[Expressions, Node, Level], Part]]] = {
        "ColumnRef": _column_part,
        "A_Indirection": _indirection_part,
        "SubLink": _sublink_part,
        "SelectStmt": _query_part,
        "FuncCall": _call_part,
        "CaseExpr": _case_part,
        "TypeCast": _argument_part,
        "CollateClause": _argument_part,
        "TypeName": _nothing,
        "typeName": _nothing,
    }


def _is_schema_of(schema: str, source: Source) -> bool:
    return source.relation is not None and source.relation.schema == schema
