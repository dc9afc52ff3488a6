"""Names that the configuration writes with `*`: which they match, and how specific they are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

LENGTH: Final = 512
"""Characters of the longest pattern."""

_FORM: Final = (
    '"table", "schema.table" or "schema.table(column, column)", each a name in which * stands for any characters'
)
_NAME: Final = r"[^\s.,()\"'`]+"
_PATTERN: Final = re.compile(rf"(?:({_NAME})\.)?({_NAME})(?:\(({_NAME}(?:\s*,\s*{_NAME})*)\))?")

Specificity: TypeAlias = tuple[bool, int, bool, int, bool, bool, int]

ANY: Final = "*"
"""What facts call a schema or a name that may be any. What allows it allows all; what denies one of them denies it."""


class Place(NamedTuple):
    """Where a name leads: ("public", "cards"). `schema` is "" where nothing tells it; each part may be `ANY`."""

    schema: str
    name: str

    def __str__(self) -> str:
        return ".".join(filter(None, self))

    def folded(self) -> Place:
        """The same in one case of letters."""
        return Place(self.schema.casefold(), self.name.casefold())


def places(name: str, search_path: Iterable[str]) -> tuple[Place, ...]:
    """What a table's name may mean: itself, or without a schema that name in each schema of the search path.

    PostgreSQL looks up a name in its own catalogue first, where all names begin with pg_.
    """
    schema, _, last = name.rpartition(".")
    if schema:
        return (Place(schema.rpartition(".")[2], last),)
    if name.startswith("pg_"):
        return (Place("pg_catalog", name),)
    return tuple(Place(each, name) for each in search_path)


class Glob(NamedTuple):
    """A name in which * stands for any characters."""

    text: str

    @property
    def is_literal(self) -> bool:
        return "*" not in self.text

    @property
    def is_open(self) -> bool:
        """It says nothing of how the name begins."""
        return self.text.startswith("*")

    @property
    def specificity(self) -> tuple[bool, int]:
        return self.is_literal, len(self.text.replace("*", ""))

    def folded(self) -> Glob:
        """The same in one case of letters."""
        return Glob(self.text.casefold())

    def matches(self, name: str) -> bool:
        return self.text == name if self.is_literal else _compiled(self.text).fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _compiled(glob: str) -> re.Pattern[str]:
    # As each part between two stars is taken at its first place, a match costs no more than its length allows.
    first, *parts = (re.escape(part) for part in re.sub(r"\*+", "*", glob).split("*"))
    lazily = "".join(f"(?>.*?{part})" for part in parts[:-1])
    return re.compile(f"{first}{lazily}.*{parts[-1]}" if parts else first, re.DOTALL)


class Pattern(NamedTuple):
    """`schema.table(column, column)`; without a schema, in any; without columns, all of them."""

    schema: Glob
    name: Glob
    columns: tuple[Glob, ...] | None = None

    @classmethod
    def parse(cls, value: object) -> Pattern:
        """Raises ValueError, with what was expected."""
        if not isinstance(value, str) or len(value) > LENGTH or (match := _PATTERN.fullmatch(value)) is None:
            raise ValueError(f"expected {_FORM}")
        schema, name, columns = match.groups()
        globs = tuple(Glob(column.strip()) for column in columns.split(",")) if columns else None
        return cls(Glob(schema or "*"), Glob(name), globs if globs and Glob("*") not in globs else None)

    def __str__(self) -> str:
        schema = "" if self.schema.text == "*" else f"{self.schema.text}."
        columns = "" if self.columns is None else f"({', '.join(column.text for column in self.columns)})"
        return f"{schema}{self.name.text}{columns}"

    def folded(self) -> Pattern:
        """The same in one case of letters."""
        columns = None if self.columns is None else tuple(glob.folded() for glob in self.columns)
        return Pattern(self.schema.folded(), self.name.folded(), columns)

    def matches(self, place: Place) -> bool:
        return self.name.matches(place.name) and self.schema.matches(place.schema)

    def touches(self, place: Place) -> bool:
        """Whether it matches any of what a place may be."""
        return (place.name == ANY or self.name.matches(place.name)) and (
            place.schema == ANY or self.schema.matches(place.schema)
        )

    def specificity(self, column: str | None, otherwise: bool) -> Specificity | None:
        """How specific a match with a column is, greater for what is more specific; None if it is none.

        The table's name comes first, then the schema's, then the column's. A name without * is more specific than one
        with, and of two with, the one with more other characters; any column is more specific than none.

        Args:
            column: a column; "" if none is touched, None if it is not known which are.
            otherwise: whether a pattern with columns matches what is not known to be a column or none.
        """
        of_column = (False, False, 0)
        if self.columns is not None and column:
            matching = [glob.specificity for glob in self.columns if glob.matches(column)]
            if not matching:
                return None
            of_column = (True, *max(matching))
        elif self.columns is not None:
            if not otherwise:
                return None
            of_column = (True, False, 0)
        return (*self.name.specificity, *self.schema.specificity, *of_column)
