"""COPY TO STDOUT: which query has the columns that it sends."""

from __future__ import annotations

from typing import Final, NamedTuple

from postgast import PgQueryError, scan
from postgast.pg_query_pb2 import Token

from gatepost_sql import bounds, tree
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.tree import Node

_OPEN, _CLOSE = Token.ASCII_40, Token.ASCII_41
_TABLE: Final = "TABLE"


class Copied(NamedTuple):
    """What a COPY sends.

    Attributes:
        query: has these columns, among others. What the COPY names stands where it stands there, so that the positions
            in a server's errors are right.
        columns: those of them that are sent, in this order; () for all.
    """

    query: str
    columns: tuple[str, ...] = ()


def copied(text: str) -> Copied | None:
    """What a `COPY … TO STDOUT` sends; None if a text is another statement, or more than one."""
    try:
        data = bounds.encode(text)
        (statement,) = tree.parse(data)
        copy = statement["CopyStmt"]
        if copy.get("is_from") or "filename" in copy:
            return None
        if "relation" in copy:
            return _table(data, copy["relation"], tuple(tree.strings(copy.get("attlist", ()))))
        return _query(data, copy["query"])
    except (NotUnderstood, PgQueryError, RecursionError, LookupError, TypeError, ValueError):
        return None


def _table(data: bytes, relation: Node, columns: tuple[str, ...]) -> Copied:
    parts = (relation.get("catalogname"), relation.get("schemaname"), relation["relname"])
    name = ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)
    before = len(data[: relation["location"]].decode())
    return Copied(_TABLE.rjust(before) + name, columns)


def _query(data: bytes, query: Node) -> Copied | None:
    """The text between the brackets, if it is that very query when it stands alone."""
    start = depth = 0
    for token in scan(data.decode()).tokens:
        if token.token == _OPEN:
            start = start or token.end
            depth += 1
        elif token.token == _CLOSE:
            depth -= 1
            if not depth:
                alone = b" " * start + data[start : token.start]
                return Copied(alone.decode()) if tree.parse(alone) == [query] else None
    return None
