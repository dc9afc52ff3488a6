"""How much harm a statement could do, as a score with its reasons."""

from __future__ import annotations

from typing import Final

from gatepost import Effect, Facts, Risk
from gatepost_policy.config import RiskConfig
from gatepost_policy.patterns import Pattern, places
from gatepost_policy.verbs import Deed, Verb, deeds

UNKNOWN: Final = 50
ADMINISTERS: Final = 60
DEFINES: Final = 40
WRITES: Final = 10
UNBOUNDED_WRITE: Final = 40
BULK_READ: Final = 30
OFF_HOURS: Final = 15
FIRST_USE: Final = 10
MOST: Final = 100

_EFFECTS: Final = {
    Effect.UNKNOWN: (UNKNOWN, "what it does is not known"),
    Effect.ADMINISTER: (ADMINISTERS, "it administers the database"),
    Effect.DEFINE: (DEFINES, "it changes definitions"),
    Effect.WRITE: (WRITES, "it writes"),
}
_CHANGES: Final = frozenset({Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.TRUNCATE})


class Scale:
    """Weighs statements."""

    def __init__(self, config: RiskConfig) -> None:
        self._sensitive = tuple(config.sensitive)
        self._hours = config.hours

    def is_late(self, moment: float) -> bool:
        """Whether this Unix time is outside the hours of work."""
        return self._hours is not None and not self._hours.hold(moment)

    def risk(self, facts: Facts, *, is_first: bool = False, is_late: bool = False) -> Risk | None:
        """The risk of a statement; None if there is none to speak of.

        Args:
            is_first: the identity has not run such a statement yet.
            is_late: it is outside the hours of work.
        """
        found = [_EFFECTS[facts.effect]] if facts.effect in _EFFECTS else []
        done = deeds(facts)
        if any(deed.verb in _CHANGES and not deed.is_bounded for deed in done):
            found.append((UNBOUNDED_WRITE, "it changes all rows of a table"))
        if any(self._is_bulk_read(deed) for deed in done):
            found.append((BULK_READ, "it reads sensitive columns of all rows"))
        if is_first:
            found.append((FIRST_USE, "this identity runs such a statement for the first time"))
        if found and is_late:
            found.append((OFF_HOURS, "it is outside the hours of work"))
        if not found:
            return None
        return Risk(score=min(MOST, sum(score for score, _ in found)), reasons=tuple(reason for _, reason in found))

    def _is_bulk_read(self, deed: Deed) -> bool:
        return (
            deed.verb == Verb.SELECT
            and not deed.is_bounded
            and any(_touches(deed, pattern) for pattern in self._sensitive)
        )


def _touches(deed: Deed, pattern: Pattern) -> bool:
    """Whether a deed may touch a column of a pattern. Where no schema is told, any may be meant."""
    found = places(deed.name, (pattern.schema.text,))
    if not any(pattern.name.matches(place.name) and _is_in(pattern, place.schema) for place in found):
        return False
    if pattern.columns is None or deed.columns is None:
        return True
    return any(glob.matches(column) for glob in pattern.columns for column in deed.columns)


def _is_in(pattern: Pattern, schema: str) -> bool:
    return schema == pattern.schema.text or pattern.schema.matches(schema)
