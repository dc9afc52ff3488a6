"""Columns that the configuration tags: what a result shows of them, and which statements can't be let through.

A result's column is *direct* if it is a tagged column itself, *derived* if an expression over one made it. Where
neither the statement's text nor the column's origin tells, it counts as derived if the statement touches a tagged
column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from gatepost import Column, Facts, Output, Result, Row
from gatepost_mask.cells import hide_digits
from gatepost_mask.display import REMOVED, Display

STAR: Final = "*"


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
        match: "column" in any table, or "table.column".
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

    def __bool__(self) -> bool:
        return bool(self._columns)

    def treatments(self, result: Result) -> dict[int, Treatment]:
        """What to do with the columns of a result, by position; those that are not here hold nothing tagged."""
        if not self._columns:
            return {}
        facts = result.statement.facts
        named = dict(self._named(facts))
        if not named:
            return {}
        outputs: Sequence[Output | None] = facts.outputs
        if len(outputs) != len(result.columns):
            outputs = (None,) * len(result.columns)
        doubt = _Doubt(named, facts, result.columns)
        found: dict[int, Treatment] = {}
        for position, (column, output) in enumerate(zip(result.columns, outputs, strict=True)):
            treatment = _treatment(column, output, named, doubt)
            if treatment is not None:
                found[position] = treatment
        return found

    def read(self, facts: Facts) -> frozenset[Tag]:
        """The tags of the columns that a statement may read out: its outputs', or any that it names or a star means."""
        names = _lower(facts.columns)
        if facts.outputs and all(output.origins is not None for output in facts.outputs):
            names = _lower(origin.column for output in facts.outputs for origin in output.origins or ())
        named = dict(self._named(facts))
        return frozenset(named.values() if STAR in names else (named[name] for name in names & named.keys()))

    def _named(self, facts: Facts) -> Iterator[tuple[str, Tag]]:
        """The tagged columns that the statement can mean; all of them where it names no table."""
        tables = _tables(facts)
        for tagged in self._columns:
            if not tagged.table or tagged.table in tables or not tables:
                yield tagged.column, tagged.tag


class _Doubt:
    """What the columns of unknown make-up count as.

    A column that comes directly from another one than the tagged columns of the same result holds nothing tagged; the
    result must show all that the statement touches. A star's columns keep their names, so there it must show only those
    that the statement names.
    """

    def __init__(self, named: dict[str, Tag], facts: Facts, columns: Sequence[Column]) -> None:
        shown = {column.name.lower(): column.origin for column in columns if column.name.lower() in named}
        mentioned = _lower(facts.columns) & named.keys()
        touched = named.keys() if STAR in facts.columns else mentioned
        self._origins = {origin: named[name] for name, origin in shown.items() if origin is not None}
        self._tags = frozenset(named[name] for name in touched)
        self._shows_mentioned = all(shown.get(name) is not None for name in mentioned)
        self._shows_touched = all(shown.get(name) is not None for name in touched)

    def tags(self, column: Column, output: Output | None) -> frozenset[Tag]:
        """The tags that the column's values may be derived from. `output` None: a star may have made it."""
        if column.origin in self._origins:
            return frozenset((self._origins[column.origin],))
        if column.origin is not None and (self._shows_mentioned if output is None else self._shows_touched):
            return frozenset()
        return self._tags


def _treatment(column: Column, output: Output | None, named: dict[str, Tag], doubt: _Doubt) -> Treatment | None:
    is_direct = column.origin is not None
    if output is not None and output.origins is not None:
        names = _lower(origin.column for origin in output.origins)
        tags = frozenset(named[name] for name in names & named.keys())
        is_direct = is_direct and len(names) == 1
    elif column.name.lower() in named:
        tags = frozenset((named[column.name.lower()],))
    else:
        tags = doubt.tags(column, output)
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
