"""What is too large to be parsed, found out before it is.

libpg_query crashes on trees of some 60,000 levels, and some short texts have huge trees. Its scanner makes no tree, and
can be asked about any text.
"""

from __future__ import annotations

import re
from typing import Final

from postgast import PgQueryError, scan
from postgast.pg_query_pb2 import Token

from gatepost_sql.errors import NotAccepted, NotUnderstood

MAX_BYTES: Final = 1 << 20
MAX_TOKENS: Final = 100_000
# Operators and keywords: each can add a level to the tree. Brackets are bounded by the parser itself, at 10,000.
MAX_LEVELS: Final = 16_000
# Texts up to this length cannot have more levels than that.
FEW_BYTES: Final = 2 * MAX_LEVELS
# The scanner's time grows with the square of the depth of nested comments.
MAX_COMMENTS: Final = 1000
# Of a tree in which parts are repeated.
MAX_NODES: Final = 100_000

_FLAT: Final = frozenset(
    {
        Token.IDENT,
        Token.UIDENT,
        Token.FCONST,
        Token.SCONST,
        Token.USCONST,
        Token.BCONST,
        Token.XCONST,
        Token.ICONST,
        Token.PARAM,
        Token.NULL_P,
        Token.TRUE_P,
        Token.FALSE_P,
        Token.DEFAULT,
        Token.ASCII_40,
        Token.ASCII_41,
        Token.ASCII_44,
        Token.ASCII_59,
        Token.SQL_COMMENT,
        Token.C_COMMENT,
    }
)
_COMMENTS: Final = frozenset({Token.SQL_COMMENT, Token.C_COMMENT})
_OPEN, _CLOSE, _COMMA, _EQUALS = Token.ASCII_40, Token.ASCII_41, Token.ASCII_44, Token.ASCII_61

_maybe_assigns_many = re.compile(rb"\)\s*(?:=|--|/\*)").search


def encode(text: str) -> bytes:
    """`text` as the parser takes it. Raises NotUnderstood if it must not be parsed."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise NotUnderstood("the text is not valid Unicode") from None
    if len(data) > MAX_BYTES:
        raise NotUnderstood(f"the text is longer than {MAX_BYTES} bytes")
    if b"\0" in data:
        raise NotUnderstood("the text holds a NUL")
    if data.count(b"/*") > MAX_COMMENTS:
        raise NotUnderstood(f"the text has more than {MAX_COMMENTS} comments")
    if len(data) > FEW_BYTES or (b")" in data and _maybe_assigns_many(data)):
        _check(_tokens(text))
    return data


def _tokens(text: str) -> list[int]:
    try:
        tokens = scan(text).tokens
    except (PgQueryError, UnicodeDecodeError):
        raise NotAccepted("PostgreSQL's scanner does not accept the text") from None
    if len(tokens) > MAX_TOKENS:
        raise NotUnderstood(f"the text has more than {MAX_TOKENS} words")
    return [token.token for token in tokens]


def _check(tokens: list[int]) -> None:
    if sum(token not in _FLAT for token in tokens) > MAX_LEVELS:
        raise NotUnderstood(f"the text has more than {MAX_LEVELS} operators and keywords")
    if _nodes([token for token in tokens if token not in _COMMENTS]) > MAX_NODES:
        raise NotUnderstood("the text assigns to too many columns at once")


def _nodes(tokens: list[int]) -> int:
    """How large the tree can get.

    In `SET (a, b) = source` the tree has the source once for each column. Sources can be nested, so a text of a few
    hundred bytes can have a tree of gigabytes.
    """
    nodes = 0
    commas = 0
    brackets: list[tuple[int, int]] = []
    sources: list[tuple[int, int]] = []
    factor = 1
    for index, token in enumerate(tokens):
        nodes += factor
        if token == _COMMA:
            commas += 1
        elif token == _OPEN:
            brackets.append((commas, tokens[index - 1] if index else 0))
        elif token == _CLOSE and brackets:
            before, preceding = brackets.pop()
            depth = len(brackets)
            assigns = preceding in (Token.SET, _COMMA) and tokens[index + 1 : index + 2] == [_EQUALS]
            while sources and (sources[-1][0] > depth or (assigns and sources[-1][0] == depth)):
                factor //= sources.pop()[1]
            if assigns:
                sources.append((depth, commas - before + 1))
                factor *= commas - before + 1
        if nodes > MAX_NODES:
            break
    return nodes
