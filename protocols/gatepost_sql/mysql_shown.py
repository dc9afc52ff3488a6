"""What SHOW and DESCRIBE show: the system's tables that hold the same.

So a role that may read such a table may be shown it too, whichever way it asks. The data is `mysql.toml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatepost.values import Effect, Facts, Use
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_tokens import Token
from gatepost_sql.mysql_words import SHOWN, SHOWN_BEFORE

_WARNINGS: Final = "information_schema.warnings"


def show(tokens: Sequence[Token]) -> Facts:
    """SHOW. What is of no known kind is administration: it can be other sessions' statements, or the binary log."""
    if any(token.is_operator("(") for token in tokens):
        raise NotUnderstood("SHOW with an expression is not judged")
    words = [token.word for token in tokens[1:]]
    while words and words[0] in SHOWN_BEFORE:
        words.pop(0)
    kind = " ".join(words[:2])
    table = SHOWN.get(kind, SHOWN.get(kind.partition(" ")[0]))
    if table is None:
        return Facts(effect=Effect.ADMINISTER, verbs=("show",), reason="show")
    verb = "show_warnings" if table == _WARNINGS else "show"
    return Facts(effect=Effect.READ, verbs=(verb,), objects=_read(table))


def describe() -> Facts:
    """DESCRIBE of a table."""
    return Facts(effect=Effect.READ, verbs=("show",), objects=_read("information_schema.columns"))


def _read(table: str) -> tuple[Use, ...]:
    return (Use(verb="select", name=table, columns=()),)
