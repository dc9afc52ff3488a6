"""What calls, operators and conversions can do, as far as the text alone tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gatepost.values import Effect, Use
from gatepost_sql.functions import FUNCTIONS, OPERATORS, READERS, SETS


class Meaning(Struct, frozen=True, gc=False):
    """What a call or a conversion can do, and why.

    Attributes:
        functions: which functions of users it may be.
        reads: what those read.
        makes_rows: it may return a set of rows.
    """

    effect: Effect = Effect.READ
    reason: str = ""
    functions: tuple[str, ...] = ()
    reads: tuple[Use, ...] = ()
    makes_rows: bool = False


HARMLESS: Final = Meaning()


def readings(name: str) -> tuple[Use, ...]:
    """What a function that is not written in SQL, and has this name in whatever schema, may read as a text tells it."""
    return (Use(verb="select", name="*.*", is_bounded=False),) if name in READERS else ()


class Words:
    """Takes names as they are written: what may be built in is, the rest is unknown."""

    def call(self, names: Sequence[str], count: int) -> Meaning:
        is_built_in = len(names) == 1 or (len(names) == 2 and names[0] == "pg_catalog")
        effect = FUNCTIONS.get(names[-1], Effect.UNKNOWN) if is_built_in else Effect.UNKNOWN
        reason = f"function {'.'.join(names)}"
        if effect is Effect.UNKNOWN:
            return Meaning(effect, f"{reason} is volatile or not known", reads=readings(names[-1]), makes_rows=True)
        return Meaning(effect, reason, reads=readings(names[-1]), makes_rows=names[-1] in SETS)

    def operator(self, names: Sequence[str]) -> Meaning:
        if names[-1] not in OPERATORS or (len(names) > 1 and names[0] != "pg_catalog"):
            return Meaning(Effect.UNKNOWN, "an operator is not built in")
        return HARMLESS

    def conversion(self, names: Sequence[str]) -> Meaning:
        if len(names) > 1 and names[0] != "pg_catalog":
            return Meaning(Effect.UNKNOWN, "a conversion to a type that is not built in")
        return HARMLESS

    def known(self, name: str) -> str:
        """The name of what is used."""
        return name

    def created(self, name: str) -> str:
        """The name of what is created."""
        return name

    def indexed(self, name: str) -> Sequence[str]:
        """The table that an index is on. Where that is not known, it is any of the schema that both are in."""
        schema, dot, _ = name.rpartition(".")
        return (f"{schema}{dot}*",)

    def possible(self, name: str) -> Sequence[str]:
        """All that a name of what is no table may mean."""
        return (name,)


WORDS: Final = Words()
