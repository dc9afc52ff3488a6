"""Facts of a text in MySQL's words, put together from those of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from gatepost.values import Effect, Facts, Use
from gatepost_sql.effects import STRENGTH
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_names import Names
from gatepost_sql.mysql_queries import Query
from gatepost_sql.mysql_tokens import Kind, Token

# A verb besides a statement's own: a user's variable keeps what it reads, for later statements.
KEPT: Final = "declare"


def joined(found: Sequence[Facts], fingerprint: str) -> Facts:
    """The facts of a text, from those of its statements."""
    if len(found) == 1:
        only = found[0]
        return replace(
            only,
            objects=tuple(dict.fromkeys(only.objects)),
            functions=tuple(dict.fromkeys(only.functions)),
            calls=tuple(dict.fromkeys(only.calls)),
            apart=_apart(found),
            fingerprint=fingerprint,
        )
    strongest = max(found, key=lambda facts: STRENGTH[facts.effect])
    return Facts(
        effect=strongest.effect,
        statements=len(found),
        verbs=tuple(verb for facts in found for verb in facts.verbs),
        objects=tuple(dict.fromkeys(use for facts in found for use in facts.objects)),
        functions=tuple(dict.fromkeys(name for facts in found for name in facts.functions)),
        columns=frozenset(name for facts in found for name in facts.columns),
        renamed=frozenset(name for facts in found for name in facts.renamed),
        calls=tuple(dict.fromkeys(name for facts in found for name in facts.calls)),
        apart=_apart(found),
        is_resolved=all(facts.is_resolved for facts in found),
        depth=max(facts.depth for facts in found),
        settings=tuple(setting for facts in found for setting in facts.settings),
        fingerprint=fingerprint,
        reason=strongest.reason,
    )


def _apart(found: Sequence[Facts]) -> Effect | None:
    """What the strongest of the statements would be if calls did nothing."""
    if not any(facts.calls for facts in found):
        return None
    return max((facts.apart or facts.effect for facts in found), key=STRENGTH.__getitem__)


def of_query(verb: str, tokens: Sequence[Token], names: Names) -> Facts:
    query = Query(tokens, names)
    return Facts(
        effect=query.effect,
        verbs=(verb, KEPT) if query.keeps and query.objects else (verb,),
        objects=tuple(query.objects),
        functions=tuple(query.functions),
        columns=frozenset(query.columns),
        renamed=frozenset() if query.is_resolved else frozenset(query.renamed),
        calls=tuple(query.calls),
        apart=query.apart if query.calls else None,
        outputs=query.outputs,
        predicates=query.predicates,
        is_resolved=query.is_resolved,
        depth=query.depth,
        reason=query.reason,
    )


def query(tokens: Sequence[Token], names: Names) -> Facts:
    """The facts of a query, or of a change of rows."""
    verb = next(token.word for token in tokens if token.word)
    if verb == "replace":
        facts = of_query("insert", [Token(Kind.WORD, "INSERT"), *tokens[1:]], names)
        removed = [Use(verb="delete", name=use.name) for use in facts.objects if use.verb == "insert"]
        return _with_objects(facts, removed)
    if verb == "with":
        main = _main_word(tokens)
        return of_query("select" if main in ("select", "table", "values") else main, tokens, names)
    return of_query("select" if verb in ("table", "values") else verb, tokens, names)


def _with_objects(facts: Facts, more: Sequence[Use]) -> Facts:
    return replace(facts, objects=(*facts.objects, *more))


def _main_word(tokens: Sequence[Token]) -> str:
    """What a WITH is before."""
    depth = 0
    for token in tokens:
        depth += token.is_operator("(") - token.is_operator(")")
        if not depth and token.word in ("select", "insert", "update", "delete", "table", "values"):
            return token.word
    raise NotUnderstood("nothing follows a WITH")


def one(found: Sequence[Facts]) -> Facts:
    """One statement's facts, from its own and those of queries within it."""
    return replace(joined(found, ""), statements=1, verbs=found[0].verbs, outputs=(), predicates=None)


def table_name(tokens: Sequence[Token], names: Names) -> tuple[str, Sequence[Token]]:
    """A name with or without its database's, and what follows."""
    if not tokens or tokens[0].kind not in (Kind.WORD, Kind.QUOTED):
        raise NotUnderstood("a name was expected")
    if len(tokens) > 2 and tokens[1].is_operator("."):
        return names.qualified(tokens[0].text, tokens[2].text), tokens[3:]
    return names.qualified("", tokens[0].text), tokens[1:]


def table_names(tokens: Sequence[Token], names: Names) -> list[str]:
    """The names that commas part at the begin."""
    name, rest = table_name(tokens, names)
    found = [name]
    while rest and rest[0].is_operator(","):
        if len(rest) < 2 or rest[1].kind not in (Kind.WORD, Kind.QUOTED):
            break
        name, rest = table_name(rest[1:], names)
        found.append(name)
    return found
