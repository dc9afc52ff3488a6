"""MySQL's and MariaDB's text to `Facts`.

The server reads a text as it is read here as long as sql_mode has neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES, and its
client's character set is UTF-8; the session sees to that.

Source: MySQL 9 manual, "SQL Statements"; MariaDB Knowledge Base, "SQL Statements".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from gatepost.values import Effect, Facts, Use
from gatepost_sql import mysql_session
from gatepost_sql.catalogue import Catalogue
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_facts import joined, of_query, one, table_name
from gatepost_sql.mysql_load import load
from gatepost_sql.mysql_names import Names
from gatepost_sql.mysql_shown import describe, show
from gatepost_sql.mysql_tokens import Kind, Token, at_a_glance, form, scan, statements
from gatepost_sql.mysql_words import ADMINISTERED, BEFORE_KIND

_FORMS: Final = 4096
_FORM_CHARACTERS: Final = 4096


def judge(text: str, names: Names) -> Facts:
    """The facts of `text`, from those of a text that differs in literals only where there are any. Never raises.

    Args:
        names: what names stand for.
    """
    forms = names.forms
    glance = at_a_glance(text)
    known = forms.get(glance)
    if known is not None:
        forms.move_to_end(glance)
        return known
    try:
        tokens = scan(text)
        key = form(tokens)
        known = forms.get(key)
        if known is not None:
            forms.move_to_end(key)
            _remember(forms, glance, known)
            return known
        parts = list(statements(tokens))
        if not parts:
            return Facts(effect=Effect.READ, statements=0)
        found = [_statement(part, names) for part in parts]
    except NotUnderstood as error:
        return _unknown(str(error))
    except RecursionError:
        return _unknown("the statement is nested too deeply")
    except (AttributeError, LookupError, TypeError, ValueError):
        return _unknown("its parse tree has a shape that is not known")
    facts = joined(found, blake2b(key.encode("utf-8", "replace"), digest_size=8).hexdigest())
    if all(part[0].word in _QUERIES for part in parts):
        _remember(forms, key, facts)
        _remember(forms, glance, facts)
    return facts


def _remember(forms: OrderedDict[str, Facts], key: str, facts: Facts) -> None:
    if 0 < len(key) <= _FORM_CHARACTERS:
        forms[key] = facts
        if len(forms) > _FORMS:
            forms.popitem(last=False)


def names_of(catalogue: Catalogue | None, search_path: tuple[str, ...] | None, has_temporary: bool) -> Names:
    """What names stand for in a session; arguments as in `Context`, the current database as the only search path."""
    return Names(catalogue, search_path[0] if search_path else "", has_temporary, judge)


def _unknown(reason: str) -> Facts:
    """What can be any statement, and touch any column."""
    return Facts(effect=Effect.UNKNOWN, verbs=("unknown",), columns=frozenset("*"), reason=reason)


def _statement(tokens: Sequence[Token], names: Names) -> Facts:
    first = next((token for token in tokens if not token.is_operator("(")), tokens[0])
    reader = _READERS.get(first.word)
    if reader is not None:
        facts = reader(tokens, names)
        return facts if reader in _FOLLOWING else replace(facts, is_resolved=names.has_catalogue)
    effect = _BY_FIRST_WORD.get(first.word)
    if effect is None:
        raise NotUnderstood("the statement is of no kind that is known")
    verb = first.word if effect is Effect.UNKNOWN or first.word in _ADMINISTERING else "alter_system"
    return Facts(effect=effect, verbs=(verb,), is_resolved=names.has_catalogue, reason=first.word)


# Queries, and changes of rows.


def _query(tokens: Sequence[Token], names: Names) -> Facts:
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


# Statements about statements.

_EXPLAINED: Final = frozenset(("select", "insert", "replace", "update", "delete", "with", "table", "values"))
_EXPLAIN_OPTIONS: Final = frozenset(("extended", "partitions", "format", "traditional", "json", "tree", "analyze"))

_DESCRIBED: Final = frozenset((Kind.WORD, Kind.QUOTED, Kind.STRING))


def _explain(tokens: Sequence[Token], names: Names) -> Facts:
    """EXPLAIN and DESCRIBE. With ANALYZE, the statement runs."""
    rest = list(tokens[1:])
    runs = tokens[0].word == "analyze"
    while rest and (rest[0].word in _EXPLAIN_OPTIONS or rest[0].is_operator("=")):
        runs |= rest[0].word == "analyze"
        rest.pop(0)
    first = next((token for token in rest if not token.is_operator("(")), None)
    if first is not None and first.word in _EXPLAINED:
        inner = _query(rest, names)
        effect = inner.effect if runs or inner.effect is Effect.UNKNOWN else Effect.READ
        verbs = ("explain", *inner.verbs) if runs else ("explain",)
        reason = inner.reason if effect is not Effect.READ else ""
        return replace(inner, effect=effect, verbs=verbs, outputs=(), predicates=None, reason=reason)
    _, after = table_name(rest, names)
    # A table and a column or a pattern; not a statement behind FOR or INTO, nor another session's.
    if len(rest) != len(tokens) - 1 or len(after) > 1 or (after and after[0].kind not in _DESCRIBED):
        raise NotUnderstood("what is explained is not known")
    return replace(describe(), is_resolved=names.has_catalogue)


def _analyze(tokens: Sequence[Token], names: Names) -> Facts:
    if len(tokens) > 1 and tokens[1].word in ("table", "local", "no_write_to_binlog"):
        return Facts(effect=Effect.WRITE, verbs=("analyze",), reason="analyze")
    return _explain(tokens, names)


def _show(tokens: Sequence[Token], names: Names) -> Facts:
    return show(tokens)


def _maintain(tokens: Sequence[Token], names: Names) -> Facts:
    """OPTIMIZE, REPAIR and the like, which are kinds of ANALYZE to whom they are allowed."""
    rest = tokens[2:] if tokens[1:2] and tokens[1].word in ("table", "tables") else tokens[3:]
    if any(token.is_operator("(") for token in tokens):
        raise NotUnderstood("what is maintained is not known")
    objects = tuple(Use(verb="analyze", name=name) for name in _table_names(rest, names))
    return Facts(effect=Effect.WRITE, verbs=("analyze",), objects=objects, reason=tokens[0].word)


def _procedure(tokens: Sequence[Token], names: Names) -> Facts:
    """What a procedure does is not in the text; what its arguments read is."""
    name, rest = table_name(tokens[1:], names)
    called = Facts(
        effect=Effect.UNKNOWN,
        verbs=("call",),
        functions=(name,),
        calls=(name,),
        apart=Effect.READ,
        is_resolved=names.has_catalogue,
        reason="call",
    )
    if rest and not (rest[0].is_operator("(") and rest[-1].is_operator(")")):
        raise NotUnderstood("what is called is not known")
    return (
        one([called, of_query("call", [Token(Kind.WORD, "SELECT"), *rest[1:-1]], names)]) if len(rest) > 2 else called
    )


# Definitions.

_DEFINED: Final = frozenset(("table", "view", "index", "sequence", "procedure", "function", "trigger"))
# What the query begins with whose rows a new table gets, or that a view is.
_SELECTING: Final = frozenset(("select", "with", "table"))
_QUERYING: Final = frozenset((("create", "table"), ("create", "view"), ("alter", "view")))
_BEFORE_NAME: Final = frozenset(("if", "not", "exists"))


def _define(tokens: Sequence[Token], names: Names) -> Facts:
    """CREATE, ALTER, DROP, RENAME and TRUNCATE. What a CREATE selects is read."""
    verb = "alter" if tokens[0].word == "rename" else tokens[0].word
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
    objects = [] if kind == "index" else [Use(verb=verb, name=name) for name in _defined(tokens, rest, names)]
    if verb == "truncate":
        return Facts(
            effect=Effect.WRITE, verbs=(verb,), objects=tuple(objects), is_resolved=names.has_catalogue, reason=verb
        )
    own = Facts(
        effect=Effect.DEFINE, verbs=(verb,), objects=tuple(objects), is_resolved=names.has_catalogue, reason=verb
    )
    selects = next((each for each in range(at + 1, len(tokens)) if tokens[each].word in _SELECTING), None)
    if any(token.word == "union" for token in tokens[:selects]):
        raise NotUnderstood("a table that is made of others is not judged")
    if selects is None or (verb, kind) not in _QUERYING:
        return own
    inner = list(tokens[selects:])
    closing = sum(token.is_operator(")") - token.is_operator("(") for token in inner)
    for _ in range(max(closing, 0)):
        if not inner or not inner[-1].is_operator(")"):
            raise NotUnderstood("what is created is not known")
        inner.pop()
    return one([own, _query(inner, names)])


def _defined(tokens: Sequence[Token], rest: Sequence[Token], names: Names) -> list[str]:
    """What is defined: all names of a RENAME, and those of other tables that an ALTER or a CREATE reaches."""
    if tokens[0].word == "rename":
        return _renamed(rest, names)
    found = _table_names(rest, names)
    if tokens[0].word == "alter":
        for at, (first, second) in enumerate(pairwise(token.word for token in tokens), 2):
            if (first, second) in _REACHING:
                found.append(table_name(tokens[at:], names)[0])
            elif first == "rename" and second not in _RENAMED_PARTS:
                raise NotUnderstood("what is renamed is not known")
    return found


# What stands before the name of another table in an ALTER: of RENAME TO, and of EXCHANGE PARTITION … WITH TABLE.
_REACHING: Final = frozenset((("rename", "to"), ("rename", "as"), ("with", "table")))
_RENAMED_PARTS: Final = frozenset(("column", "index", "key"))


def _renamed(tokens: Sequence[Token], names: Names) -> list[str]:
    """Old names and new ones."""
    found: list[str] = []
    while tokens or not found:
        old, rest = table_name(tokens, names)
        if not rest or rest[0].word != "to":
            raise NotUnderstood("what is renamed is not known")
        new, rest = table_name(rest[1:], names)
        found += [old, new]
        if rest and not rest[0].is_operator(","):
            raise NotUnderstood("what is renamed is not known")
        tokens = rest[1:]
    return found


def _table_names(tokens: Sequence[Token], names: Names) -> list[str]:
    """The names that commas part at the begin."""
    name, rest = table_name(tokens, names)
    found = [name]
    while rest and rest[0].is_operator(","):
        if len(rest) < 2 or rest[1].kind not in (Kind.WORD, Kind.QUOTED):
            break
        name, rest = table_name(rest[1:], names)
        found.append(name)
    return found


_QUERIES: Final = frozenset(("select", "insert", "replace", "update", "delete", "with", "table", "values"))

_READERS: Final[Mapping[str, Callable[[Sequence[Token], Names], Facts]]] = {
    **dict.fromkeys(_QUERIES, _query),
    **dict.fromkeys(("explain", "describe", "desc"), _explain),
    **dict.fromkeys(("create", "alter", "drop", "rename", "truncate"), _define),
    "analyze": _analyze,
    "show": _show,
    **dict.fromkeys(
        ("begin", "commit", "rollback", "savepoint", "release", "lock", "unlock", "deallocate"), mysql_session.control
    ),
    **dict.fromkeys(("optimize", "repair", "check", "checksum"), _maintain),
    "call": _procedure,
    "kill": mysql_session.kill,
    "load": load,
    "set": mysql_session.set_,
    "start": mysql_session.start,
    "use": mysql_session.use,
}

# They look at the queries in them.
_FOLLOWING: Final = frozenset((_query, _explain, _analyze, _procedure, _define, load, mysql_session.set_))

# Verbs of administration that are called so; others are all one.
_ADMINISTERING: Final = frozenset(("grant", "revoke"))

# Statements whose first word says what they can do; the rest of them adds nothing to it.
_BY_FIRST_WORD: Final[Mapping[str, Effect]] = {
    **dict.fromkeys(
        (
            "binlog",
            "cache",
            "change",
            "flush",
            "grant",
            "import",
            "install",
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
