"""What the names of columns can mean at a place in a query: the rows that its FROM, and those around it, bring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gatepost.values import Origin, Use
from gatepost_sql.catalogue import Relation
from gatepost_sql.names import Column

# The base columns that a value derives from; None if that is not known.
Origins: TypeAlias = frozenset[Origin] | None

NOTHING: Final[frozenset[Origin]] = frozenset()

SYSTEM_COLUMNS: Final = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})


_by_names = attrgetter("relation", "column")


def in_order(origins: Iterable[Origin]) -> list[Origin]:
    """Origins in the alphabet's order."""
    return sorted(origins, key=_by_names)


def union(every: Iterable[Origins]) -> Origins:
    found = NOTHING
    for origins in every:
        if origins is None:
            return None
        found |= origins
    return found


class Rows(Struct, frozen=True, gc=False):
    """What a query returns: its columns, and whether there may be more of them, which derive from `others`."""

    columns: tuple[Column, ...]
    is_open: bool = False
    others: Origins = NOTHING

    @property
    def origins(self) -> Origins:
        return union((self.others, *(column.origins for column in self.columns)))

    def renamed(self, names: list[str]) -> Rows:
        """The same, the first columns with other names."""
        if not names:
            return self
        columns = (
            tuple(replace(column, name=name) for column, name in zip(self.columns, names, strict=False))
            + self.columns[len(names) :]
        )
        # Where not all columns are known, a name may be that of one of the others.
        more = tuple(Column(name, name, self.others, False) for name in names[len(self.columns) :])
        return replace(self, columns=columns + more)


class Read:
    """A use of a table that grows while its columns are met."""

    def __init__(self, verb: str, name: str, via: str = "") -> None:
        self.verb = verb
        self.name = name
        self.via = via
        self.columns: dict[str, None] | None = {}
        self.is_bounded = True
        # The target of a change is read only if a column of it is.
        self.is_needed = False

    def add(self, column: str) -> None:
        self.is_needed = True
        if self.columns is not None:
            self.columns[column] = None

    def add_all(self) -> None:
        """Columns that are not known."""
        self.is_needed = True
        self.columns = None

    def use(self) -> Use:
        columns = None if self.columns is None else tuple(self.columns)
        return Use(verb=self.verb, name=self.name, columns=columns, is_bounded=self.is_bounded, via=self.via)


class Source:
    """The rows of one item of a FROM, by the name that a query gives to them.

    Args:
        read: of a table, its use.
        bases: of a view, the uses of the tables behind it, of a partition, those of its parents; by their names.
    """

    __slots__ = ("_whole", "bases", "columns", "name", "read", "relation", "rows")

    def __init__(
        self,
        name: str,
        rows: Rows,
        columns: Mapping[str, Column] | None = None,
        relation: Relation | None = None,
        read: Read | None = None,
        bases: Mapping[str, Read] | None = None,
    ) -> None:
        self.name = name
        self.rows = rows
        self.columns = {column.name: column for column in rows.columns} if columns is None else columns
        self.relation = relation
        self.read = read
        self.bases = bases
        self._whole: tuple[Origins] | None = None

    def given(self, values: Mapping[str, Origins]) -> Source:
        """The same rows after columns were given values that derive from others."""
        columns = []
        for column in self.rows.columns:
            more = values.get(column.attribute, NOTHING)
            if more is None or more:
                column = replace(column, origins=union((column.origins, more)), is_direct=False)
            columns.append(column)
        rows = replace(self.rows, columns=tuple(columns))
        return Source(self.name, rows, relation=self.relation, read=self.read, bases=self.bases)

    def touch(self, column: Column) -> None:
        if self.read is not None:
            self.read.add(column.attribute)
        if self.bases:
            if column.origins is None:
                for read in self.bases.values():
                    read.add_all()
            else:
                for origin in column.origins:
                    if origin.relation in self.bases:
                        self.bases[origin.relation].add(origin.column)

    @property
    def is_touched(self) -> bool:
        """Whether its whole row has been read already."""
        return self._whole is not None

    def touch_all(self) -> Origins:
        """A whole row is read; returns what it derives from."""
        if self._whole is None:
            for column in self.rows.columns:
                self.touch(column)
            if self.rows.is_open and self.read is not None:
                self.read.add_all()
            self._whole = (self.rows.origins,)
        return self._whole[0]


class Join(NamedTuple):
    """Two items of a FROM, and the columns that USING or NATURAL makes one."""

    left: Item
    right: Item
    merged: Mapping[str, tuple[Source, Column]]


Item: TypeAlias = Source | Join


def sources(item: Item) -> Iterator[Source]:
    pending = [item]
    while pending:
        each = pending.pop()
        if isinstance(each, Join):
            pending += (each.right, each.left)
        else:
            yield each


def expanded(item: Item) -> Iterator[tuple[Source, Column]]:
    """The columns that a star means, in their order."""
    pending: list[tuple[Item, frozenset[str]]] = [(item, frozenset())]
    while pending:
        each, hidden = pending.pop()
        if isinstance(each, Join):
            yield from (pair for name, pair in each.merged.items() if name not in hidden)
            hidden = hidden.union(each.merged)
            pending += ((each.right, hidden), (each.left, hidden))
        else:
            yield from ((each, column) for column in each.rows.columns if column.name not in hidden)


def named(item: Item, name: str) -> list[tuple[Source, Column]]:
    """Those of them that have a name."""
    found: list[tuple[Source, Column]] = []
    pending = [item]
    while pending:
        each = pending.pop()
        if not isinstance(each, Join):
            found += [(each, each.columns[name])] if name in each.columns else []
        elif name in each.merged:
            found.append(each.merged[name])
        else:
            pending += (each.right, each.left)
    return found


class Level:
    """One query's FROM, as far as it was read, within another's."""

    def __init__(self, parent: Level | None, ctes: Mapping[str, Rows]) -> None:
        self.parent = parent
        self.ctes = ctes
        self.items: list[Item] = []
        self.visible: list[Source] = []
        self.named: dict[str, Source] = {}
        self.merged: dict[str, tuple[Source, Column]] = {}

    def show(self, source: Source) -> None:
        """Its columns can be named from now on, with its name and without."""
        self.visible.append(source)
        self.named[source.name] = source

    def hide(self, item: Item) -> None:
        """A join has a name of its own: its parts are not seen any more."""
        pending = [item]
        while pending:
            each = pending.pop()
            if isinstance(each, Join):
                pending += (each.left, each.right)
                for name in each.merged:
                    self.merged.pop(name, None)
            else:
                self.visible.remove(each)
                if self.named.get(each.name) is each:
                    del self.named[each.name]

    def columns(self, name: str) -> list[tuple[Source, Column]]:
        """The columns of this name; more than one are ambiguous, or PostgreSQL knows better."""
        merged = self.merged.get(name)
        if merged is not None:
            return [merged]
        return [(source, source.columns[name]) for source in self.visible if name in source.columns]

    def source(self, name: str) -> Source | None:
        """The rows of this name, here or further out."""
        level: Level | None = self
        while level is not None:
            found = level.named.get(name)
            if found is not None:
                return found
            level = level.parent
        return None
