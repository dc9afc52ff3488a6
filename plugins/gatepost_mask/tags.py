"""Columns that the configuration tags: what a result shows of them, and which statements can't be let through.

A result's column is *direct* if it is a tagged column itself, *derived* if an expression over one made it. Where
nothing tells, it counts as derived if the statement touches a tagged column.

With a catalogue, columns are followed through views and names by the facts, and direct ones are told by the server
itself (`Column.base`). Without, names are all there is, and which columns of a result are the same (`Column.origin`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from gatepost import Column, Effect, Facts, Origin, Output, Result, Row
from gatepost_mask.cells import hide_digits
from gatepost_mask.display import REMOVED, Display

STAR: Final = "*"
# The name of what is used where that may be anything.
_ANYTHING: Final = "*.*"


class Tag(StrEnum):
    """What a column holds."""

    PAN = "pan"
    NAME = "name"
    EXPIRY = "expiry"
    SERVICE_CODE = "service_code"
    SAD = "sad"


class TaggedColumn(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[plugins.mask.columns]]`.

    Attributes:
        match: "column" in any table, "table.column" or "schema.table.column".
        tag: what it holds.
    """

    match: str
    tag: Tag

    @property
    def column(self) -> str:
        return self.match.rpartition(".")[2].lower()

    @property
    def table(self) -> str:
        """The table's name, or ""."""
        return self.match.rpartition(".")[0].lower()


class Treatment(StrEnum):
    """What becomes of a tagged column's values."""

    MASK = "mask"
    """Digits are hidden as the role's display says, whether or not they make a card number."""
    REDACT = "redact"
    """Nothing is left, but for roles that see card numbers in the clear."""
    REMOVE = "remove"
    """Nothing is left, for anybody."""


class Tags:
    """The tagged columns of a configuration."""

    def __init__(self, columns: Sequence[TaggedColumn]) -> None:
        self._columns = tuple(columns)
        self._by_name: dict[str, list[TaggedColumn]] = {}
        for tagged in self._columns:
            self._by_name.setdefault(tagged.column, []).append(tagged)

    def __bool__(self) -> bool:
        return bool(self._columns)

    @property
    def every(self) -> frozenset[Tag]:
        return frozenset(tagged.tag for tagged in self._columns)

    def treatments(self, result: Result) -> dict[int, Treatment]:
        """What to do with the columns of a result, by position; those that are not here hold nothing tagged."""
        if not self._columns:
            return {}
        facts = result.statement.facts
        outputs: Sequence[Output | None] = facts.outputs
        if len(outputs) != len(result.columns):
            outputs = (None,) * len(result.columns)
        # What a change returns may have come from another column a moment ago.
        trusts = facts.effect in (Effect.READ, Effect.CONTROL)
        doubt = None if facts.is_resolved else _Doubt(dict(self._named(facts)), facts, result.columns if trusts else ())
        touched = self.touched(facts)
        found: dict[int, Treatment] = {}
        for position, (column, output) in enumerate(zip(result.columns, outputs, strict=True)):
            known = () if column.base is None else (column.base,)
            if output is not None and output.origins is not None:
                is_direct = output.is_direct and column.origin is not None
                treatment = _treatment(self.of((*output.origins, *known), facts), is_direct)
            elif known and trusts:
                treatment = _treatment(self.of(known, facts), is_direct=True)
            elif doubt is None:
                treatment = _treatment(touched | self.of(known, facts), is_direct=False)
            else:
                treatment = _treatment(doubt.tags(column, output), trusts and column.origin is not None)
            if treatment is not None:
                found[position] = treatment
        return found

    def read(self, facts: Facts) -> frozenset[Tag]:
        """The tags of the columns that a statement may read out: its outputs', or any that it touches."""
        if facts.outputs and all(output.origins is not None for output in facts.outputs) and not reads_anything(facts):
            return self.of((origin for output in facts.outputs for origin in output.origins or ()), facts)
        return self.touched(facts)

    def deciding(self, facts: Facts) -> frozenset[Tag]:
        """The tags of the columns by which a statement filters, joins, sorts or groups, or may do so."""
        return self.touched(facts) if facts.predicates is None else self.of(facts.predicates, facts)

    def of(self, origins: Iterable[Origin], facts: Facts) -> frozenset[Tag]:
        """The tags of columns. Of one whose table is not known, those that it has in a table of the statement."""
        return frozenset(
            tagged.tag
            for origin in origins
            for tagged in self._by_name.get(origin.column.lower(), ())
            if _fits(tagged, origin.relation.lower(), facts)
        )

    def touched(self, facts: Facts) -> frozenset[Tag]:
        """The tags of all columns that a statement names, or means by a star."""
        if reads_anything(facts):
            return self.every
        if not facts.is_resolved:
            return frozenset(self._mentioned(facts).values())
        return frozenset(
            tagged.tag
            for tagged in self._columns
            for use in facts.objects
            if _fits(tagged, use.name.lower(), facts) and (use.columns is None or tagged.column in _lower(use.columns))
        )

    def _mentioned(self, facts: Facts) -> dict[str, Tag]:
        names = _lower(facts.columns)
        return {name: tag for name, tag in self._named(facts) if name in names or STAR in names}

    def _named(self, facts: Facts) -> Iterator[tuple[str, Tag]]:
        """The tagged columns that the statement can mean; all of them where it names no table."""
        for tagged in self._columns:
            if _fits(tagged, "", facts):
                yield tagged.column, tagged.tag


def reads_anything(facts: Facts) -> bool:
    """Whether a function of the statement reads what its arguments tell it to, whatever that is."""
    return bool(facts.calls) and any(use.name == _ANYTHING and use.verb == "select" for use in facts.objects)


def _fits(tagged: TaggedColumn, relation: str, facts: Facts) -> bool:
    """Whether a tagged column can be one of this table, or of any of the statement's where that is not known."""
    table = tagged.table
    if not table:
        return True
    if relation:
        return relation == table or relation.endswith("." + table) or table.endswith("." + relation)
    tables = _tables(facts)
    return not tables or not tables.isdisjoint((table, table.rpartition(".")[2], _ANYTHING))


class _Doubt:
    """What the columns of unknown make-up count as, where there is no catalogue.

    A column of a tagged one's name counts as that one. Another that comes directly from another column than the tagged
    ones of the same result holds nothing tagged; the result must show all that the statement touches. A star's columns
    keep their names unless a list gives them others, so there it must show only those that the statement names. What
    the statement itself calls by a tagged one's name need not be that.
    """

    def __init__(self, named: dict[str, Tag], facts: Facts, columns: Sequence[Column]) -> None:
        renamed = _lower(facts.renamed)
        real = {name: tag for name, tag in named.items() if name not in renamed}
        shown = {column.name.lower(): column.origin for column in columns if column.name.lower() in real}
        mentioned = _lower(facts.columns) & named.keys()
        touched = named.keys() if STAR in facts.columns else mentioned
        self._named = real
        self._origins = {origin: real[name] for name, origin in shown.items() if origin is not None}
        self._tags = frozenset(named[name] for name in touched)
        self._shows_touched = all(shown.get(name) is not None for name in touched)
        self._shows_mentioned = all(shown.get(name) is not None for name in (touched if STAR in renamed else mentioned))

    def tags(self, column: Column, output: Output | None) -> frozenset[Tag]:
        """The tags that the column's values may be derived from. `output` None: a star may have made it."""
        name = column.name.lower()
        if name in self._named:
            return frozenset((self._named[name],))
        if column.origin in self._origins:
            return frozenset((self._origins[column.origin],))
        if column.origin is not None and (self._shows_mentioned if output is None else self._shows_touched):
            return frozenset()
        return self._tags


def _treatment(tags: frozenset[Tag], is_direct: bool) -> Treatment | None:
    if not tags:
        return None
    if Tag.SAD in tags:
        return Treatment.REMOVE
    return Treatment.MASK if is_direct and tags == {Tag.PAN} else Treatment.REDACT


def treat(row: Row, position: int, treatment: Treatment, display: Display) -> None:
    """Treat one cell of a tagged column."""
    if treatment is Treatment.REMOVE:
        row.redact(position, REMOVED)
    elif display is Display.CLEAR:
        return
    elif treatment is Treatment.REDACT:
        row.redact(position, REMOVED)
    else:
        try:
            row.replace(position, [hide_digits(scalar, display) for scalar in row.scalars(position)])
        except ValueError:
            row.redact(position, REMOVED)


def _tables(facts: Facts) -> frozenset[str]:
    """The names of the tables, with their schemas where the text has them and without."""
    names = [use.name.lower() for use in facts.objects]
    return frozenset(names).union(name.rpartition(".")[2] for name in names)


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)
