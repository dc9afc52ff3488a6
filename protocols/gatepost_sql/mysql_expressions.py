"""Which base columns the value of an expression of MySQL's derives from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sqlglot import exp

from gatepost.values import Effect, Origin
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_words import FUNCTIONS, LAST_INSERT_ID
from gatepost_sql.ranges import NOTHING, Level, Origins, Rows, Source, union

# What following one text may cost, in columns, rows and names that are looked at.
_MAX_STEPS: Final = 200_000

# What names in them are, no column is.
_WITHOUT_COLUMNS: Final = (exp.DataType, exp.JSONPath, exp.JSONSchema, exp.Parameter, exp.SessionParameter, exp.Table)


class QueryLevel(Level):
    """One query's FROM, and what it calls its outputs.

    Attributes:
        outputs: what the names that it gives to its outputs derive from.
        shows_outputs: they can be named in it, as from GROUP BY on.
        is_merged: USING or NATURAL makes one of several columns, so that a star's columns are in no certain order.
    """

    def __init__(self, parent: Level | None, ctes: Mapping[str, Rows]) -> None:
        super().__init__(parent, ctes)
        self.outputs: dict[str, list[Origins]] = {}
        self.shows_outputs = False
        self.is_merged = False


class Steps:
    """What one text has cost so far."""

    def __init__(self) -> None:
        self._steps = 0

    def spend(self, steps: int) -> None:
        """Raises NotUnderstood where it is too much."""
        self._steps += steps
        if self._steps > _MAX_STEPS:
            raise NotUnderstood("the statement takes too long to follow")


class Expressions(Steps, ABC):
    """Follows expressions to base columns. What it meets on the way it keeps: columns that decide, and doubts.

    Attributes:
        effect, reason: UNKNOWN where a name is not what it must be.
        predicates: as in `Facts`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.effect = Effect.READ
        self.reason = ""
        self._decided: dict[Origin, None] = {}
        self._is_decided = True

    @property
    def predicates(self) -> tuple[Origin, ...] | None:
        return tuple(self._decided) if self._is_decided else None

    @abstractmethod
    def rows(self, query: exp.Expr, parent: Level | None, ctes: Mapping[str, Rows]) -> Rows:
        """What a query returns."""

    def value(self, expressions: Iterable[Any], level: Level) -> Origins:
        """What values derive from."""
        found: list[Origins] = []
        pending = [each for each in expressions if isinstance(each, exp.Expr)]
        while pending:
            node = pending.pop()
            if isinstance(node, exp.Column):
                found.append(self._of_column(node, level))
            elif isinstance(node, exp.Identifier) and isinstance(node.parent, exp.Window):
                continue  # OVER w
            elif isinstance(node, exp.Identifier):
                found.append(self.named(node.name.lower(), "", "", level))  # VALUES(column), DEFAULT(column)
            elif isinstance(node, exp.Query) and not isinstance(node, exp.Table):
                found.append(self.rows(node, level, level.ctes).origins)
            elif isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count):
                found += [source.touch_all() for source in level.visible]
            elif isinstance(node, _WITHOUT_COLUMNS):
                continue
            else:
                pending += _parts(node, self._deciding(node, level))
        return union(found)

    def _deciding(self, node: exp.Expr, level: Level) -> set[int]:
        """Look at those parts of an expression that decide; returns which they are."""
        deciding: list[Any] = []
        if isinstance(node, exp.Case):
            deciding = [node.this, *(branch.this for branch in node.args["ifs"])]
        elif isinstance(node, exp.If):
            deciding = [] if isinstance(node.parent, exp.Case) else [node.this]
        elif isinstance(node, exp.Window):
            deciding = [*(node.args.get("partition_by") or ()), node.args.get("order")]
        elif isinstance(node, exp.Order):
            deciding = node.expressions
        elif isinstance(node, exp.Distinct) or (isinstance(node, exp.Anonymous) and _tells(node.name.lower())):
            self.decide(node.expressions, level)
        chosen = [part for part in deciding if isinstance(part, exp.Expr)]
        self.decide(chosen, level)
        return set(map(id, chosen))

    def _of_column(self, node: exp.Column, level: Level) -> Origins:
        if isinstance(node.this, exp.Star):
            raise NotUnderstood("a star stands for what is not known")
        if node.text("catalog"):
            raise NotUnderstood("a column's name has too many parts")
        if not node.table and node.name.lower() == "default" and not node.this.args.get("quoted"):
            return NOTHING
        return self.named(node.name.lower(), node.table, node.text("db"), level)

    def named(self, name: str, qualifier: str, database: str, level: Level) -> Origins:
        """What a column derives from, wherever its name is known: here, or further out.

        An expression that is given no name gets one from the server, which may be any.
        """
        nameless: list[Origins] = []
        here: Level | None = level
        while here is not None:
            sources = self.qualified(qualifier, database, here) if qualifier else here.visible
            found = [(source, source.columns[name]) for source in sources if name in source.columns]
            opened = [source for source in sources if source.rows.is_open]
            self.spend(1 + len(here.visible) + len(opened))
            origins = [column.origins for _, column in found]
            shown = here.outputs if isinstance(here, QueryLevel) and (here.shows_outputs or here is not level) else {}
            if not qualifier:
                origins += shown.get(name, ())
            for source, column in found:
                source.touch(column)
            origins += [source.touch_all() for source in opened]
            if origins:
                return union(origins + nameless)
            nameless += [source.touch_all() for source in sources if "" in source.columns]
            nameless += shown.get("", ()) if not qualifier else ()
            here = here.parent
        if nameless:
            return union(nameless)
        self.doubt(Effect.UNKNOWN, f"column {name} is not in the catalogue")
        return None

    def is_known(self, name: str, level: Level) -> bool:
        """Whether a table has such a column, or may have."""
        here: Level | None = level
        while here is not None:
            if any(name in source.columns or source.rows.is_open for source in here.visible):
                return True
            here = here.parent
        return False

    def qualified(self, name: str, database: str, level: Level) -> list[Source]:
        """The rows of this name here. Letters' case makes no difference, so that none is missed."""
        return [
            source
            for source in level.visible
            if source.name.lower() == name.lower()
            and (not database or source.relation is None or source.relation.schema.lower() == database.lower())
        ]

    def is_direct(self, column: exp.Column, level: Level) -> bool:
        """Whether it is certain that a column's values are those of another, unchanged."""
        name = column.name.lower()
        sources = self.qualified(column.table, column.text("db"), level) if column.table else level.visible
        found = [source.columns[name] for source in sources if name in source.columns]
        return len(found) == 1 and found[0].is_direct and not any(source.rows.is_open for source in sources)

    def decide(self, expressions: Iterable[Any], level: Level) -> Origins:
        origins = self.value(expressions, level)
        self.decided(origins)
        return origins

    def decided(self, origins: Origins) -> None:
        if origins is None:
            self._is_decided = False
        else:
            self.spend(len(origins))
            self._decided.update(dict.fromkeys(origins))

    def doubt(self, effect: Effect, reason: str) -> None:
        if self.effect is not Effect.UNKNOWN:
            self.effect, self.reason = effect, reason


def _parts(node: exp.Expr, without: set[int]) -> Iterator[exp.Expr]:
    return (part for part in node.iter_expressions() if id(part) not in without)


def _tells(function: str) -> bool:
    """Whether its argument shows elsewhere in the session: as the last id, or as a lock's name."""
    return function == LAST_INSERT_ID or FUNCTIONS.get(function) is Effect.CONTROL
