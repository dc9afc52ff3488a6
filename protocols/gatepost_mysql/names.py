"""Names without a database's are of the session's current one, which the text does not tell."""

from __future__ import annotations

from msgspec.structs import replace

from gatepost.cache import Cache
from gatepost.values import Facts, Use
from gatepost_sql import facts

# Verbs of what is no table.
_NO_TABLES = frozenset(("use",))


class Names:
    """The facts of a session's texts.

    Attributes:
        database: the current one, or "".
    """

    def __init__(self, database: str) -> None:
        self.database = database
        # The same for the same, as what is known of facts is known by their identity.
        self._qualified: Cache[tuple[int, str], tuple[Facts, Facts]] = Cache(4096)

    def facts(self, text: str) -> Facts:
        known = facts(text, "mysql")
        if not self.database or all("." in use.name or use.verb in _NO_TABLES for use in known.objects):
            return known
        key = (id(known), self.database)
        found = self._qualified.get(key)
        if found is None:
            objects = tuple(map(self._qualify, known.objects))
            found = self._qualified.put(key, (known, replace(known, objects=objects)))
        return found[1]

    def note(self, known: Facts) -> None:
        """A statement has succeeded."""
        for use in known.objects:
            if use.verb == "use":
                self.database = use.name

    def _qualify(self, use: Use) -> Use:
        if "." in use.name or use.verb in _NO_TABLES:
            return use
        return replace(use, name=f"{self.database}.{use.name}")
