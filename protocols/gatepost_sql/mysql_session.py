"""Statements in MySQL's words that concern the session: settings, the current database, transactions, locks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gatepost.values import Effect, Facts, Use
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_facts import KEPT, of_query, one, table_name
from gatepost_sql.mysql_names import Names
from gatepost_sql.mysql_tokens import Kind, Token, form

# The setting that USE changes.
DATABASE: Final = "database"

_SCOPES: Final = frozenset(("session", "local"))
_SHARED_SCOPES: Final = frozenset(("global", "persist", "persist_only"))
_NAMES: Final = ("character_set_client", "character_set_connection", "character_set_results")
_ACCESS: Final = {("read", "write"): "0", ("read", "only"): "1"}


def set_(tokens: Sequence[Token], names: Names) -> Facts:
    settings: list[tuple[str, str | None]] = []
    parts: list[Facts] = []
    words = [token.word for token in tokens]
    effect = Effect.CONTROL
    if not _SHARED_SCOPES.isdisjoint(words) or any(
        token.kind is Kind.VARIABLE and token.text.lower().startswith(("@@global.", "@@persist")) for token in tokens
    ):
        effect = Effect.ADMINISTER
    if len(tokens) > 1 and words[1] in ("password", "role", "default", "resource"):
        return Facts(effect=Effect.ADMINISTER, verbs=("set",), reason="set", settings=(("*", None),))
    if len(tokens) > 1 and words[1] == "statement":
        raise NotUnderstood("SET STATEMENT changes what the statement behind it means")
    if "transaction" in words[1:3]:
        return Facts(effect=effect, verbs=("set",), reason="set", settings=_transaction(words))
    keeps = any(token.kind is Kind.VARIABLE and not token.text.startswith("@@") for token in tokens)
    for item in _items(tokens[1:]):
        settings += _assignment(item, parts, names)
    verbs = ("set", KEPT) if keeps and any(part.objects for part in parts) else ("set",)
    own = Facts(effect=effect, verbs=verbs, is_resolved=names.has_catalogue, reason="set", settings=tuple(settings))
    return one([own, *parts])


def _transaction(words: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    return tuple(
        ("transaction_read_only", value)
        for access, value in _ACCESS.items()
        if any(tuple(words[at : at + 2]) == access for at in range(len(words)))
    )


def _items(tokens: Sequence[Token]) -> list[list[Token]]:
    """What commas part, outside of brackets."""
    items: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += token.is_operator("(") - token.is_operator(")")
        if token.is_operator(",") and not depth:
            items.append([])
        else:
            items[-1].append(token)
    return items


def _assignment(item: Sequence[Token], parts: list[Facts], names: Names) -> list[tuple[str, str | None]]:
    """The settings that one part of a SET changes; the queries in its value are added to `parts`."""
    words = [token.word for token in item]
    if words[:1] == ["names"]:
        return [(name, _constant(item[1:2])) for name in _NAMES]
    if words[:2] == ["character", "set"] or words[:1] == ["charset"]:
        charset = _constant(item[-1:])
        return [("character_set_client", charset), ("character_set_results", charset)]
    at = next((index for index, token in enumerate(item) if token.text in ("=", ":=")), None)
    if at is None:
        raise NotUnderstood("what is set is not known")
    target, value = list(item[:at]), item[at + 1 :]
    if len(target) > 1 and target[0].word in _SCOPES | _SHARED_SCOPES:
        target.pop(0)
    if not value or len(target) != 1:
        raise NotUnderstood("what is set is not known")
    if len(value) > 1:
        parts.append(of_query("set", [Token(Kind.WORD, "SELECT"), *value], names))
    name = target[0]
    if name.kind is Kind.VARIABLE:
        if not name.text.startswith("@@"):
            return []  # a user's variable
        return [(name.text[2:].rpartition(".")[2].lower(), _constant(value))]
    return [(name.text.lower(), _constant(value))]


def _constant(value: Sequence[Token]) -> str | None:
    if len(value) != 1 or value[0].word in ("default", "null"):
        return None
    token = value[0]
    return token.text if token.kind in (Kind.STRING, Kind.NUMBER, Kind.WORD, Kind.QUOTED) else None


_STARTED: Final = frozenset(("with", "consistent", "snapshot", "read", "only", "write", ","))


def use(tokens: Sequence[Token], names: Names) -> Facts:
    """USE sets what names without a database's mean."""
    if len(tokens) != 2 or tokens[1].kind not in (Kind.WORD, Kind.QUOTED):
        raise NotUnderstood("which database is used is not known")
    return Facts(effect=Effect.CONTROL, verbs=("set",), reason="use", settings=((DATABASE, tokens[1].text),))


def kill(tokens: Sequence[Token], names: Names) -> Facts:
    """KILL of a session by its number, which the gate carries out for sessions of the same agent; or of others."""
    what = tokens[2:] if len(tokens) > 1 and tokens[1].word in ("connection", "query") else tokens[1:]
    is_plain = len(what) == 1 and what[0].kind is Kind.NUMBER
    return Facts(effect=Effect.CONTROL if is_plain else Effect.UNKNOWN, verbs=("kill",), reason="kill")


def start(tokens: Sequence[Token], names: Names) -> Facts:
    words = [token.word for token in tokens]
    if words[1:2] != ["transaction"]:
        return Facts(effect=Effect.ADMINISTER, verbs=("start",), reason="start")
    if not _STARTED.issuperset(token.text.lower() for token in tokens[2:]):
        raise NotUnderstood("the transaction is of no kind that is known")
    return Facts(effect=Effect.CONTROL, verbs=("begin",), reason="begin", settings=_transaction(words))


_SHAPES: Final = re.compile(
    r"(?P<begin>begin(?: work)?)"
    r"|(?P<commit>commit)(?: work)?(?: and(?: no)? chain)?(?: (?:no )?release)?"
    r"|(?P<rollback>rollback)(?: work)?(?:(?: and(?: no)? chain)?(?: (?:no )?release)?| to(?: savepoint)? [^() ]+)"
    r"|(?P<savepoint>savepoint) [^() ]+"
    r"|(?P<release_savepoint>release) savepoint [^() ]+"
    r"|(?P<lock>lock) tables? [^()]+"
    r"|unlock (?P<release>tables?)"
    r"|(?P<deallocate>deallocate) prepare [^() ]+",
    re.IGNORECASE,
)


def control(tokens: Sequence[Token], names: Names) -> Facts:
    """Statements that are known as a whole: MariaDB's BEGIN NOT ATOMIC begins like one."""
    shape = _SHAPES.fullmatch(form(tokens))
    if shape is None:
        raise NotUnderstood("the statement is of no kind that is known")
    verb = str(shape.lastgroup).removesuffix("_savepoint")
    objects = (
        tuple(Use(verb=verb, name=table_name(item, names)[0]) for item in _items(tokens[2:])) if verb == "lock" else ()
    )
    return Facts(effect=Effect.CONTROL, verbs=(verb,), objects=objects, reason=verb)
