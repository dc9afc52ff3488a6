"""What a GRANT gives, gathered by table: the same for every database, but for how it quotes names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from gatepost.values import Use

_BY_COLUMN: Final = frozenset(("SELECT", "INSERT", "UPDATE"))

# A privilege's columns: in the order in which they were named, None for all.
_Columns = dict[str, None] | None


class Privileges:
    """Privileges on tables. `quote` writes a name as the database reads it."""

    def __init__(self, quote: Callable[[str], str]) -> None:
        self._quote = quote
        self._tables: dict[str, dict[str, _Columns]] = {}

    def add(self, use: Use, privileges: Iterable[str]) -> None:
        """What a use needs on its table, on its columns alone where a privilege has columns."""
        known = self._tables.setdefault(self.qualified(use.name), {})
        for privilege in privileges:
            columns = use.columns if privilege in _BY_COLUMN else None
            before = known.get(privilege, {})
            known[privilege] = None if before is None or columns is None else before | dict.fromkeys(columns)

    def by_table(self) -> Iterator[tuple[str, str]]:
        """Each table, and its privileges as a GRANT lists them."""
        for table, privileges in self._tables.items():
            said = [self._said(*each) for each in privileges.items() if each[1] is None or each[1]]
            if said:
                yield table, ", ".join(said)

    def qualified(self, name: str) -> str:
        schema, dot, own = name.rpartition(".")
        return f"{self._quote(schema)}.{self._quote(own)}" if dot else self._quote(own)

    def _said(self, privilege: str, columns: _Columns) -> str:
        return privilege if columns is None else f"{privilege} ({', '.join(map(self._quote, columns))})"


def comment(text: str) -> str:
    """A comment in SQL, which ends with its line, whatever the text holds."""
    return " ".join(f"-- {text}".split())
