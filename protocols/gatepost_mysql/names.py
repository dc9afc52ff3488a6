"""Names without a database's are of the session's current one, which the text does not tell."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from gatepost.cache import Cache
from gatepost.values import Facts
from gatepost_sql import facts
from gatepost_sql.mysql_session import DATABASE
from gatepost_sql.mysql_words import FUNCTIONS


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
        if not self.database or all("." in name for name in _names(known)):
            return known
        key = (id(known), self.database)
        found = self._qualified.get(key)
        if found is None:
            objects = tuple(replace(use, name=self._qualify(use.name)) for use in known.objects)
            calls = {name: self._qualify(name) if name not in FUNCTIONS else name for name in known.calls}
            functions = tuple(calls.get(name, name) for name in known.functions)
            qualified = replace(known, objects=objects, functions=functions, calls=tuple(calls.values()))
            found = self._qualified.put(key, (known, qualified))
        return found[1]

    def note(self, known: Facts) -> None:
        """A statement has succeeded."""
        self.database = dict(known.settings).get(DATABASE) or self.database

    def _qualify(self, name: str) -> str:
        return name if "." in name else f"{self.database}.{name}"


def _names(known: Facts) -> Iterator[str]:
    """The names that may be without a database's."""
    yield from (use.name for use in known.objects)
    yield from (name for name in known.calls if name not in FUNCTIONS)
