"""MySQL's and MariaDB's text to `Facts`.

The server reads a text as it is read here as long as sql_mode has neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES, and its
client's character set is UTF-8; the session sees to that.

Source: MySQL 9 manual, "SQL Statements"; MariaDB Knowledge Base, "SQL Statements".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from gatepost.values import Effect, Facts, Use
from gatepost_sql.catalogue import Catalogue
from gatepost_sql.effects import STRENGTH
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_names import Names
from gatepost_sql.mysql_queries import Query
from gatepost_sql.mysql_shown import describe, show
from gatepost_sql.mysql_tokens import Kind, Token, form, scan, statements
from gatepost_sql.mysql_words import ADMINISTERED, BEFORE_KIND

_FORMS: Final = 4096
_FORM_CHARACTERS: Final = 4096

# A verb besides the statement's own: a user's variable keeps what it reads, for later statements.
_KEPT: Final = "declare"


def judge(text: str, names: Names) -> Facts:
    """The facts of `text`, from those of a text that differs in literals only where there are any. Never raises.

    Args:
        names: what names stand for.
    """
    forms = names.forms
    try:
        tokens = scan(text)
        key = form(tokens)
        known = forms.get(key)
        if known is not None:
            forms.move_to_end(key)
            return known
        parts = list(statements(tokens))
        if not parts:
            return Facts(effect=Effect.READ, statements=0)
        found = [_statement(part, names) for part in parts]
        if len(found) > 1 and any("use" in facts.verbs for facts in found):
            raise NotUnderstood("a USE changes what the names behind it mean")
    except NotUnderstood as error:
        return _unknown(str(error))
    except RecursionError:
        return _unknown("the statement is nested too deeply")
    except (AttributeError, LookupError, TypeError, ValueError):
        return _unknown("its parse tree has a shape that is not known")
    facts = _joined(found, blake2b(key.encode("utf-8", "replace"), digest_size=8).hexdigest())
    if len(key) <= _FORM_CHARACTERS and all(part[0].word in _QUERIES for part in parts):
        forms[key] = facts
        if len(forms) > _FORMS:
            forms.popitem(last=False)
    return facts


def names_of(catalogue: Catalogue | None, search_path: tuple[str, ...] | None, has_temporary: bool) -> Names:
    """What names stand for in a session; arguments as in `Context`, the current database as the only search path."""
    return Names(catalogue, search_path[0] if search_path else "", has_temporary, judge)


def _unknown(reason: str) -> Facts:
    return Facts(effect=Effect.UNKNOWN, verbs=("unknown",), reason=reason)


def _joined(found: Sequence[Facts], fingerprint: str) -> Facts:
    """The facts of a text, from those of its statements."""
    strongest = max(found, key=lambda facts: STRENGTH[facts.effect])
    return Facts(
        effect=strongest.effect,
        statements=len(found),
        verbs=tuple(verb for facts in found for verb in facts.verbs),
        objects=tuple(dict.fromkeys(use for facts in found for use in facts.objects)),
        functions=tuple(dict.fromkeys(name for facts in found for name in facts.functions)),
        columns=frozenset(name for facts in found for name in facts.columns),
        calls=tuple(dict.fromkeys(name for facts in found for name in facts.calls)),
        apart=_apart(found),
        outputs=found[0].outputs if len(found) == 1 else (),
        predicates=found[0].predicates if len(found) == 1 else None,
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


def _statement(tokens: Sequence[Token], names: Names) -> Facts:
    first = next((token for token in tokens if not token.is_operator("(")), tokens[0])
    reader = _READERS.get(first.word)
    if reader is not None:
        facts = reader(tokens, names)
        return facts if reader in _FOLLOWING else replace(facts, is_resolved=names.has_catalogue)
    effect = _BY_FIRST_WORD.get(first.word)
    if effect is None or (effect is Effect.WRITE and any(token.is_operator("(") for token in tokens)):
        raise NotUnderstood("the statement is of no kind that is known")
    return Facts(effect=effect, verbs=(first.word,), is_resolved=names.has_catalogue, reason=first.word)


# Queries, and changes of rows.


def _query(tokens: Sequence[Token], names: Names) -> Facts:
    verb = next(token.word for token in tokens if token.word)
    if verb == "replace":
        facts = _of_query("replace", [Token(Kind.WORD, "INSERT"), *tokens[1:]], names)
        removed = [Use(verb="delete", name=use.name) for use in facts.objects if use.verb == "insert"]
        return _with_objects(facts, removed)
    if verb == "with":
        main = _main_word(tokens)
        return _of_query("select" if main in ("select", "table", "values") else main, tokens, names)
    return _of_query("select" if verb in ("table", "values") else verb, tokens, names)


def _of_query(verb: str, tokens: Sequence[Token], names: Names) -> Facts:
    query = Query(tokens, names)
    return Facts(
        effect=query.effect,
        verbs=(verb, _KEPT) if query.keeps and query.objects else (verb,),
        objects=tuple(query.objects),
        functions=tuple(query.functions),
        columns=frozenset(query.columns),
        calls=tuple(query.calls),
        apart=query.apart if query.calls else None,
        outputs=query.outputs,
        predicates=query.predicates,
        is_resolved=query.is_resolved,
        depth=query.depth,
        reason=query.reason,
    )


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


# Statements about statements.

_EXPLAINED: Final = frozenset(("select", "insert", "replace", "update", "delete", "with", "table", "values"))
_EXPLAIN_OPTIONS: Final = frozenset(("extended", "partitions", "format", "traditional", "json", "tree", "analyze"))


def _explain(tokens: Sequence[Token], names: Names) -> Facts:
    """EXPLAIN and DESCRIBE. With ANALYZE, the statement runs."""
    verb = "describe" if tokens[0].word in ("describe", "desc") else "explain"
    rest = list(tokens[1:])
    runs = tokens[0].word == "analyze"
    while rest and (rest[0].word in _EXPLAIN_OPTIONS or rest[0].is_operator("=")):
        runs |= rest[0].word == "analyze"
        rest.pop(0)
    first = next((token for token in rest if not token.is_operator("(")), None)
    if first is not None and first.word in _EXPLAINED:
        inner = _query(rest, names)
        effect = inner.effect if runs or inner.effect is Effect.UNKNOWN else Effect.READ
        verbs = (verb, *inner.verbs) if runs else (verb,)
        reason = inner.reason if effect is not Effect.READ else ""
        return replace(inner, effect=effect, verbs=verbs, outputs=(), predicates=None, reason=reason)
    _table_name(rest, names)
    if runs or any(token.is_operator("(") for token in rest):
        raise NotUnderstood("what is explained is not known")
    return replace(describe(), is_resolved=names.has_catalogue)


def _analyze(tokens: Sequence[Token], names: Names) -> Facts:
    if len(tokens) > 1 and tokens[1].word in ("table", "local", "no_write_to_binlog"):
        return Facts(effect=Effect.WRITE, verbs=("analyze",), reason="analyze")
    return _explain(tokens, names)


def _show(tokens: Sequence[Token], names: Names) -> Facts:
    return show(tokens)


# Settings.

_SCOPES: Final = frozenset(("session", "local"))
_SHARED_SCOPES: Final = frozenset(("global", "persist", "persist_only"))
_NAMES: Final = ("character_set_client", "character_set_connection", "character_set_results")
_ACCESS: Final = {("read", "write"): "0", ("read", "only"): "1"}


def _set(tokens: Sequence[Token], names: Names) -> Facts:
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
    verbs = ("set", _KEPT) if keeps and any(part.objects for part in parts) else ("set",)
    own = Facts(effect=effect, verbs=verbs, is_resolved=names.has_catalogue, reason="set", settings=tuple(settings))
    return _one([own, *parts])


def _one(found: Sequence[Facts]) -> Facts:
    """One statement's facts, from its own and those of queries within it."""
    return replace(_joined(found, ""), statements=1, verbs=found[0].verbs, outputs=(), predicates=None)


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
        parts.append(_of_query("set", [Token(Kind.WORD, "SELECT"), *value], names))
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


def _use(tokens: Sequence[Token], names: Names) -> Facts:
    if len(tokens) != 2 or tokens[1].kind not in (Kind.WORD, Kind.QUOTED):
        raise NotUnderstood("which database is used is not known")
    return Facts(effect=Effect.CONTROL, verbs=("use",), reason="use", objects=(Use(verb="use", name=tokens[1].text),))


def _start(tokens: Sequence[Token], names: Names) -> Facts:
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
    r"|(?P<release>release) savepoint [^() ]+"
    r"|(?P<lock>lock) tables? [^()]+"
    r"|(?P<unlock>unlock) tables?"
    r"|(?P<kill>kill)(?: query| connection)? \?"
    r"|(?P<deallocate>deallocate) prepare [^() ]+",
    re.IGNORECASE,
)


def _control(tokens: Sequence[Token], names: Names) -> Facts:
    """Statements that are known as a whole: MariaDB's BEGIN NOT ATOMIC begins like one."""
    shape = _SHAPES.fullmatch(form(tokens))
    if shape is None:
        raise NotUnderstood("the statement is of no kind that is known")
    verb = str(shape.lastgroup)
    if verb == "lock":
        locked = [Use(verb="lock", name=_table_name(item, names)[0]) for item in _items(tokens[2:])]
        return Facts(effect=Effect.CONTROL, verbs=("lock",), objects=tuple(locked), reason=verb)
    return Facts(effect=Effect.CONTROL, verbs=(verb,), reason=verb)


def _call(tokens: Sequence[Token], names: Names) -> Facts:
    """CALL: a procedure does what its owner has written, which is not told here."""
    name, rest = _table_name(tokens[1:], names)
    if rest and not rest[0].is_operator("("):
        raise NotUnderstood("what is called is not known")
    own = Facts(
        effect=Effect.UNKNOWN,
        verbs=("call",),
        functions=(name,),
        calls=(name,),
        apart=Effect.READ,
        is_resolved=names.has_catalogue,
        reason=f"procedure {name} is not followed",
    )
    arguments = rest[1:-1]
    return _one([own, _of_query("call", [Token(Kind.WORD, "SELECT"), *arguments], names)] if arguments else [own])


# Definitions.

_DEFINED: Final = frozenset(("table", "view", "index", "sequence", "procedure", "function", "trigger"))
_BEFORE_NAME: Final = frozenset(("if", "not", "exists"))


def _define(tokens: Sequence[Token], names: Names) -> Facts:
    """CREATE, ALTER, DROP, RENAME and TRUNCATE. What a CREATE selects is read."""
    verb = tokens[0].word
    at = 1
    while at < len(tokens) and (
        tokens[at].word in BEFORE_KIND or not tokens[at].word or tokens[at - 1].is_operator("=")
    ):
        at += 1
    kind = tokens[at].word if at < len(tokens) else ""
    if verb == "truncate" and kind not in _DEFINED:
        at, kind = at - 1, "table"
    if kind in ADMINISTERED:
        return Facts(effect=Effect.ADMINISTER, verbs=(verb,), reason=verb)
    if kind not in _DEFINED:
        raise NotUnderstood("what is defined is not known")
    rest = list(tokens[at + 1 :])
    while rest and rest[0].word in _BEFORE_NAME:
        rest.pop(0)
    if kind in ("procedure", "function", "trigger") and verb == "create":
        raise NotUnderstood("what a stored program does is not judged")
    objects = [] if kind == "index" else [Use(verb=verb, name=name) for name in _table_names(rest, names)]
    own = Facts(
        effect=Effect.DEFINE, verbs=(verb,), objects=tuple(objects), is_resolved=names.has_catalogue, reason=verb
    )
    selects = next((index for index, token in enumerate(tokens) if token.word in ("select", "with")), None)
    if selects is None or verb != "create" or kind not in ("table", "view"):
        return own
    inner = list(tokens[selects:])
    closing = sum(token.is_operator(")") - token.is_operator("(") for token in inner)
    for _ in range(max(closing, 0)):
        if not inner or not inner[-1].is_operator(")"):
            raise NotUnderstood("what is created is not known")
        inner.pop()
    return _one([own, _query(inner, names)])


def _table_names(tokens: Sequence[Token], names: Names) -> list[str]:
    """The names that commas part at the begin."""
    name, rest = _table_name(tokens, names)
    found = [name]
    while rest and rest[0].is_operator(","):
        if len(rest) < 2 or rest[1].kind not in (Kind.WORD, Kind.QUOTED):
            break
        name, rest = _table_name(rest[1:], names)
        found.append(name)
    return found


def _table_name(tokens: Sequence[Token], names: Names) -> tuple[str, Sequence[Token]]:
    """A name with or without its database's, and what follows."""
    if not tokens or tokens[0].kind not in (Kind.WORD, Kind.QUOTED):
        raise NotUnderstood("a name was expected")
    if len(tokens) > 2 and tokens[1].is_operator("."):
        return names.qualified(tokens[0].text, tokens[2].text), tokens[3:]
    return names.qualified("", tokens[0].text), tokens[1:]


_QUERIES: Final = frozenset(("select", "insert", "replace", "update", "delete", "with", "table", "values"))

_READERS: Final[Mapping[str, Callable[[Sequence[Token], Names], Facts]]] = {
    **dict.fromkeys(_QUERIES, _query),
    **dict.fromkeys(("explain", "describe", "desc"), _explain),
    **dict.fromkeys(("create", "alter", "drop", "rename", "truncate"), _define),
    "analyze": _analyze,
    "show": _show,
    "set": _set,
    **dict.fromkeys(
        ("begin", "commit", "rollback", "savepoint", "release", "lock", "unlock", "kill", "deallocate"), _control
    ),
    "use": _use,
    "start": _start,
    "call": _call,
}

# They look at the queries in them.
_FOLLOWING: Final = frozenset((_query, _explain, _analyze, _set, _call, _define))

# Statements whose first word says what they can do; the rest of them adds nothing to it.
_BY_FIRST_WORD: Final[Mapping[str, Effect]] = {
    **dict.fromkeys(("optimize", "repair", "check", "checksum"), Effect.WRITE),
    **dict.fromkeys(
        (
            "binlog",
            "cache",
            "change",
            "flush",
            "grant",
            "import",
            "install",
            "load",
            "purge",
            "reset",
            "restart",
            "revoke",
            "shutdown",
            "stop",
            "uninstall",
        ),
        Effect.ADMINISTER,
    ),
    # What they run, or read by name, is not in the text.
    **dict.fromkeys(
        ("do", "execute", "prepare", "handler", "signal", "resignal", "get", "xa", "clone"), Effect.UNKNOWN
    ),
}
