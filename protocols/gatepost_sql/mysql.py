"""MySQL's and MariaDB's text to `Facts`.

The server reads a text as it is read here as long as sql_mode has neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES, and its
client's character set is UTF-8; the session sees to that.

Source: MySQL 9 manual, "SQL Statements"; MariaDB Knowledge Base, "SQL Statements".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from gatepost.values import Effect, Facts, Use
from gatepost_sql import mysql_session
from gatepost_sql.catalogue import Catalogue
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.glance import at_a_glance
from gatepost_sql.mysql_define import define
from gatepost_sql.mysql_facts import joined, of_query, one, query, table_name, table_names
from gatepost_sql.mysql_load import load
from gatepost_sql.mysql_names import Names
from gatepost_sql.mysql_shown import describe, show
from gatepost_sql.mysql_tokens import Kind, Token, form, routine, scan, statements
from gatepost_sql.remembered import Remembered

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
        return known
    try:
        tokens = scan(text)
        key = form(tokens)
        known = forms.get(key)
        if known is not None:
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


def _remember(forms: Remembered, key: str, facts: Facts) -> None:
    if 0 < len(key) <= _FORM_CHARACTERS:
        forms.put(key, facts)


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
        inner = query(rest, names)
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
    if len(tokens) > 1 and tokens[1].word in ("table", "tables", "local", "no_write_to_binlog"):
        return replace(_maintain(tokens, names), is_resolved=names.has_catalogue)
    return _explain(tokens, names)


def _show(tokens: Sequence[Token], names: Names) -> Facts:
    return show(tokens)


def _maintain(tokens: Sequence[Token], names: Names) -> Facts:
    """OPTIMIZE, REPAIR and the like, which are kinds of ANALYZE to whom they are allowed."""
    rest = tokens[2:] if tokens[1:2] and tokens[1].word in ("table", "tables") else tokens[3:]
    # MariaDB's PERSISTENT FOR … stands between the tables, and has brackets.
    if any(token.is_operator("(") or token.word == "persistent" for token in tokens):
        raise NotUnderstood("what is maintained is not known")
    objects = tuple(Use(verb="analyze", name=name) for name in table_names(rest, names))
    return Facts(effect=Effect.WRITE, verbs=("analyze",), objects=objects, reason=tokens[0].word)


def _procedure(tokens: Sequence[Token], names: Names) -> Facts:
    """What a procedure does is not in the text; what its arguments read is."""
    name, rest = table_name(tokens[1:], names)
    name = routine(name)
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


def _do(tokens: Sequence[Token], names: Names) -> Facts:
    """DO shows nothing of its expressions, but may keep what they read."""
    found = of_query("do", [Token(Kind.WORD, "SELECT"), *tokens[1:]], names)
    return replace(found, effect=Effect.UNKNOWN, outputs=(), reason="do")


_QUERIES: Final = frozenset(("select", "insert", "replace", "update", "delete", "with", "table", "values"))

_READERS: Final[Mapping[str, Callable[[Sequence[Token], Names], Facts]]] = {
    **dict.fromkeys(_QUERIES, query),
    **dict.fromkeys(("explain", "describe", "desc"), _explain),
    **dict.fromkeys(("create", "alter", "drop", "rename", "truncate"), define),
    "analyze": _analyze,
    "show": _show,
    **dict.fromkeys(
        ("begin", "commit", "rollback", "savepoint", "release", "lock", "unlock", "deallocate"), mysql_session.control
    ),
    **dict.fromkeys(("optimize", "repair", "check", "checksum"), _maintain),
    "call": _procedure,
    "do": _do,
    "kill": mysql_session.kill,
    "load": load,
    "set": mysql_session.set_,
    "start": mysql_session.start,
    "use": mysql_session.use,
}

# They look at the queries in them.
_FOLLOWING: Final = frozenset((query, _explain, _analyze, _procedure, _do, define, load, mysql_session.set_))

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
    # What they run is not in the text. HANDLER and GET, which read what nothing here tells, are not understood.
    **dict.fromkeys(("execute", "prepare", "signal", "resignal", "xa", "clone"), Effect.UNKNOWN),
}
