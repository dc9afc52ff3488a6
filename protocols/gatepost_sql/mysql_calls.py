"""The functions that a text of MySQL's calls, by its words: the tree of it is distrusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from gatepost_sql.mysql_tokens import Kind, Token
from gatepost_sql.mysql_words import LAST_INSERT_ID, NO_CALLS, TYPES

_TABLE_FOLLOWS: Final = frozenset(("into", "insert", "replace", "ignore", "low_priority", "delayed", "high_priority"))


def calls(tokens: Sequence[Token]) -> Iterator[tuple[str, bool]]:
    """The names of the functions that are called, and whether they are written in quotes."""
    for opening, closing in _brackets(tokens):
        index = start = opening - 1
        token = tokens[index]
        if index < 0 or token.kind not in (Kind.WORD, Kind.QUOTED):
            continue
        while start >= 2 and tokens[start - 1].is_operator("."):
            start -= 2
        before = tokens[start - 1].word if start else ""
        if before in _TABLE_FOLLOWS or before == "as" or _are_columns(tokens, closing):
            continue
        if start < index or token.kind is Kind.QUOTED:
            name = ".".join(part.text for part in tokens[start : index + 1] if not part.is_operator("."))
            yield name, token.kind is Kind.QUOTED
        elif token.word not in NO_CALLS and token.word not in TYPES:
            yield token.word, False


def _brackets(tokens: Sequence[Token]) -> Iterable[tuple[int, int]]:
    """Where each bracket opens and where it closes (behind the last word if it does not), in order."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind is not Kind.OPERATOR:
            continue
        if token.text == "(":
            opened.append(index)
            found[index] = len(tokens)
        elif token.text == ")" and opened:
            found[opened.pop()] = index
    return found.items()


def _are_columns(tokens: Sequence[Token], closing: int) -> bool:
    """The bracket that closes there holds the columns of a WITH's query: `name (…) AS (`."""
    follows = tokens[closing + 1 : closing + 3]
    return len(follows) == 2 and follows[0].word == "as" and follows[1].is_operator("(")


def keeps_id(name: Token, opening: Token, argument: Token) -> bool:
    """Whether a number is given to LAST_INSERT_ID, which tells it again without one."""
    is_called = name.text.lower() == LAST_INSERT_ID and opening.is_operator("(")
    return is_called and not argument.is_operator(")")
