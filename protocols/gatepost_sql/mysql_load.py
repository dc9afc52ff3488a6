"""LOAD DATA LOCAL: rows that come from a file of the client's.

Sources: MySQL 9 manual, "LOAD DATA Statement"; MariaDB Knowledge Base, "LOAD DATA INFILE".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from gatepost.values import Effect, Facts, Use
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_facts import KEPT, of_query, table_name
from gatepost_sql.mysql_names import Names
from gatepost_sql.mysql_tokens import Kind, Token, scan, statements

# What facts call the statement, and what it does to its table.
LOADS: Final = "load_local"

_FIELDS: Final = (("terminated", "by"), ("optionally", "enclosed", "by"), ("enclosed", "by"), ("escaped", "by"))
_LINES: Final = (("starting", "by"), ("terminated", "by"))


def load(tokens: Sequence[Token], names: Names) -> Facts:
    """LOAD DATA LOCAL is judged as the INSERT of the same columns. Any other LOAD reads files of the server."""
    if all(token.word != "local" for token in tokens):
        return Facts(effect=Effect.ADMINISTER, verbs=("load",), is_resolved=names.has_catalogue, reason="load")
    words = _Words(tokens)
    _file(words)
    replaces = words.skip("replace")
    if not replaces:
        words.skip("ignore")
    words.need("into", "table")
    table = words.name(names)
    if words.skip("partition"):
        words.bracket()
    if words.skip("character", "set"):
        words.take(Kind.WORD, Kind.STRING)
    if words.skip("fields") or words.skip("columns"):
        words.options(_FIELDS)
    if words.skip("lines"):
        words.options(_LINES)
    if words.skip("ignore"):
        words.take(Kind.NUMBER)
        if not words.skip("lines"):
            words.need("rows")
    columns = words.bracket() if words.left and words.left[0].is_operator("(") else None
    assignments: Sequence[Token] = ()
    if words.left:
        words.need("set")
        assignments = words.left or [words.take()]
    found = _inserted(table, columns, assignments, names)
    objects = [replace(use, verb=LOADS) if use.verb == "insert" else use for use in found.objects]
    if replaces:
        objects += [Use(verb="delete", name=use.name) for use in found.objects if use.verb == "insert"]
    verbs = (LOADS, KEPT) if KEPT in found.verbs else (LOADS,)
    reason = LOADS if found.effect is Effect.WRITE else found.reason
    return replace(found, verbs=verbs, objects=tuple(objects), reason=reason)


def local_file(text: str) -> str | None:
    """The client's file that a text reads; None if it is no single LOAD DATA LOCAL that is understood."""
    try:
        (tokens,) = statements(scan(text))
        return _file(_Words(tokens))
    except (NotUnderstood, ValueError):
        return None


def _file(words: _Words) -> str:
    words.need("load", "data")
    if not words.skip("low_priority"):
        words.skip("concurrent")
    words.need("local", "infile")
    return words.take(Kind.STRING).text


def _inserted(
    table: Sequence[Token], columns: Sequence[Token] | None, assignments: Sequence[Token], names: Names
) -> Facts:
    """The facts of an INSERT into these columns, or into all, and of what is assigned besides."""
    insert = [*scan("INSERT INTO"), *table]
    if columns is None:
        found = of_query("insert", [*insert, *scan("VALUES ( 1 )")], names)
        if not assignments:
            return found
        rest = of_query("insert", [*insert, *scan("SET"), *assignments], names)
        return replace(rest, objects=(*found.objects, *rest.objects))
    items = [[column, *scan("= 1")] for column in _columns(columns)]
    if assignments:
        items.append(list(assignments))
    if not items:
        return of_query("insert", [*insert, *scan("( ) VALUES ( )")], names)
    for number, item in enumerate(items):
        insert += (*scan("," if number else "SET"), *item)
    return of_query("insert", insert, names)


def _columns(tokens: Sequence[Token]) -> list[Token]:
    """The names in a list of columns and of variables, which keep what is in the file."""
    if len(tokens) % 2 == 0 or not all(token.is_operator(",") for token in tokens[1::2]):
        raise NotUnderstood("which columns are loaded is not known")
    found = []
    for token in tokens[::2]:
        if token.kind in (Kind.WORD, Kind.QUOTED):
            found.append(token)
        elif token.kind is not Kind.VARIABLE or token.text.startswith("@@"):
            raise NotUnderstood("which columns are loaded is not known")
    return found


class _Words:
    """Takes a statement apart from its begin. What is not as it should be raises NotUnderstood."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.left = tokens

    def skip(self, *words: str) -> bool:
        """Leave these words behind, if they come next."""
        if tuple(token.word for token in self.left[: len(words)]) != words:
            return False
        self.left = self.left[len(words) :]
        return True

    def need(self, *words: str) -> None:
        if not self.skip(*words):
            raise NotUnderstood("what is loaded is not known")

    def take(self, *kinds: Kind) -> Token:
        if not self.left or self.left[0].kind not in kinds:
            raise NotUnderstood("what is loaded is not known")
        token, self.left = self.left[0], self.left[1:]
        return token

    def name(self, names: Names) -> Sequence[Token]:
        """A table's name."""
        before, (_, self.left) = self.left, table_name(self.left, names)
        return before[: len(before) - len(self.left)]

    def bracket(self) -> Sequence[Token]:
        """What is between the brackets that come next, which hold no others."""
        closing = next((at for at, token in enumerate(self.left) if token.is_operator(")")), 0)
        found, rest = self.left[1:closing], self.left[closing + 1 :]
        if not closing or not self.left[0].is_operator("(") or any(token.is_operator("(") for token in found):
            raise NotUnderstood("what is loaded is not known")
        self.left = rest
        return found

    def options(self, known: Sequence[Sequence[str]]) -> None:
        """Some of these, at least one, each with a text behind it."""
        before = None
        while len(self.left) != before:
            before = len(self.left)
            if any(self.skip(*words) for words in known):
                self.take(Kind.STRING, Kind.NUMBER)
