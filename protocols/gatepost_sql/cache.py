"""`facts`, with what was found out before: by exact text, and by text without literals."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

from gatepost.values import Facts, Origin
from gatepost_sql import mysql, postgres
from gatepost_sql.catalogue import Catalogue
from gatepost_sql.context import Context
from gatepost_sql.mysql_names import Names as MySqlNames
from gatepost_sql.names import Names
from gatepost_sql.remembered import Remembered

# Texts up to this many characters are kept by the thousand, longer ones as far as there is room, the longest never.
_SHORT: Final = 256
_LONG: Final = 65536

# For how many catalogues and search paths texts are kept.
_MEMORIES: Final = 8


class _Memory:
    """What was found out of texts whose names stand for the same."""

    def __init__(self, judge: Callable[[str], Facts]) -> None:
        self._judge = judge
        self._short = lru_cache(maxsize=4096)(judge)
        self._long = Remembered()

    def facts(self, text: str) -> Facts:
        if len(text) <= _SHORT:
            return self._short(text)
        known = self._long.get(text)
        if known is None:
            known = self._judge(text)
            if len(text) <= _LONG:
                self._long.put(text, known)
        return known


class _PostgresMemory(_Memory):
    def __init__(self, names: Names | None) -> None:
        self.judge = partial(postgres.judge, names=names)
        self.names = names
        super().__init__(self.judge)


class _MySqlMemory(_Memory):
    def __init__(self, names: MySqlNames) -> None:
        self.names = names
        super().__init__(partial(mysql.judge, names=names))


def facts(text: str, dialect: str = "postgres", context: Context | None = None) -> Facts:
    """What `text` means in `dialect`. Pure, and raises for no text: what cannot be understood is UNKNOWN.

    With a catalogue, names are those of the database: views and functions are followed, and what the catalogue does not
    have is UNKNOWN. What a trigger, a rule, row security or a default does beyond the statement, it does not tell.

    Without, names are taken as they are written. The text does not prove that an unqualified function is the built-in
    one of its name, that `t.f` is a column and no call of f(t), that a table is no view and has no triggers, and that a
    cast or an operator runs no function of a user.

    Raises:
        ValueError: the dialect is not known.
    """
    if dialect == "mysql":
        return _mysql_memory(context).facts(text)
    if dialect != "postgres":
        raise ValueError(f"no such SQL dialect: {dialect!r}; known are 'mysql' and 'postgres'")
    memory = _memory(context)
    if context is not None and context.prepared and "execute" in text.lower():
        return memory.judge(text, prepared=context.prepared)
    return memory.facts(text)


def preparation(text: str, context: Context | None = None) -> tuple[str, Facts] | None:
    """The name that PREPARE gives to a statement, and the facts of that statement; None for any other text."""
    return postgres.preparation(text, _memory(context).names)


def base(catalogue: Catalogue, oid: int, number: int) -> Origin | None:
    """The base column that a result's column is, by the table's oid and the column's number in a row description.

    None if it is not in the catalogue, or a view computes it.
    """
    names = _remembered(catalogue, (), "", False).names
    return names.base(oid, number) if names is not None else None


def column(catalogue: Catalogue, database: str, table: str, name: str) -> Origin | None:
    """The same by the names in a column definition of MySQL's."""
    return _remembered_mysql(catalogue, None, False).names.base(database, table, name)


def _memory(context: Context | None) -> _PostgresMemory:
    if context is None or context.catalogue is None:
        return _plain
    return _remembered(context.catalogue, context.search_path, context.database, context.has_temporary)


def _mysql_memory(context: Context | None) -> _MySqlMemory:
    if context is None or (context.catalogue is None and context.search_path is None):
        return _plain_mysql
    return _remembered_mysql(context.catalogue, context.search_path, context.has_temporary)


_plain: Final = _PostgresMemory(None)
_remembered = lru_cache(maxsize=_MEMORIES)(lambda *context: _PostgresMemory(postgres.names_of(*context)))
_plain_mysql: Final = _MySqlMemory(mysql.names_of(None, None, False))
_remembered_mysql = lru_cache(maxsize=_MEMORIES)(lambda *context: _MySqlMemory(mysql.names_of(*context)))
