"""Definitions in MySQL's words: what they define, which other tables they reach, and whether they reach out.

Source: MySQL 9 manual, "Data Definition Statements"; MariaDB Knowledge Base, "Data Definition".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from gatepost.values import Effect, Facts, Use
from gatepost_sql.errors import NotUnderstood
from gatepost_sql.mysql_facts import one, query, table_name, table_names
from gatepost_sql.mysql_names import Names
from gatepost_sql.mysql_tokens import Kind, Token, routine
from gatepost_sql.mysql_words import ADMINISTERED, BEFORE_KIND, LOCAL_ENGINES

_DEFINED: Final = frozenset(("table", "view", "index", "sequence", "procedure", "function", "trigger"))
# What has an engine.
_STORED: Final = frozenset(("table", "sequence"))
_PROGRAMS: Final = frozenset(("procedure", "function", "trigger"))
# What an engine that reaches out may be changed by, or copied to.
_SHAPING: Final = frozenset(("alter", "create", "references"))
# What the query begins with whose rows a new table gets, or that a view is.
_SELECTING: Final = frozenset(("select", "with", "table"))
_QUERYING: Final = frozenset((("create", "table"), ("create", "view"), ("alter", "view")))
_BEFORE_NAME: Final = frozenset(("if", "not", "exists"))
# What may stand before INDEX, and has another meaning elsewhere.
_INDEXES: Final = frozenset(("spatial", "vector"))

_NAMES: Final = frozenset((Kind.WORD, Kind.QUOTED))
_VALUES: Final = frozenset((Kind.WORD, Kind.QUOTED, Kind.STRING))

# What stands before the name of another table in an ALTER: of RENAME TO, of EXCHANGE PARTITION … WITH TABLE, and of
# MariaDB's CONVERT, both ways.
_REACHING: Final = frozenset(
    (("rename", "to"), ("rename", "as"), ("with", "table"), ("convert", "table"), ("to", "table"))
)
_RENAMED_PARTS: Final = frozenset(("column", "index", "key"))

# Options whose value says where else a table's rows are: on another server, in a file of one's choice.
_PLACES: Final = frozenset((("data", "directory"), ("index", "directory")))
_FILES: Final = frozenset(
    (("import", "tablespace"), ("import", "partition"), ("discard", "tablespace"), ("discard", "partition"))
)
# Reserved words behind which a name stands, which may be `engine`.
_BEFORE_ENGINE: Final = frozenset(("add", "by", "change", "column", "drop", "exists", "table", "to"))


def define(tokens: Sequence[Token], names: Names) -> Facts:
    """CREATE, ALTER, DROP, RENAME and TRUNCATE. What a CREATE selects is read."""
    verb = "alter" if tokens[0].word == "rename" else tokens[0].word
    at = _kind_at(tokens)
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
    if kind in _PROGRAMS and verb == "create":
        raise NotUnderstood("what a stored program does is not judged")
    objects = tuple(_uses(verb, kind, tokens, rest, names))
    if verb == "truncate":
        return Facts(effect=Effect.WRITE, verbs=(verb,), objects=objects, is_resolved=names.has_catalogue, reason=verb)
    reaches = _reaches_out(tokens) or _kept_elsewhere(objects, names) if kind in _STORED else ""
    own = Facts(
        effect=Effect.ADMINISTER if reaches else Effect.DEFINE,
        verbs=(verb,),
        objects=objects,
        is_resolved=names.has_catalogue,
        reason=reaches or verb,
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
    return one([own, query(inner, names)])


def _kind_at(tokens: Sequence[Token]) -> int:
    """Where the word stands that says what is defined."""
    at = 1
    while at < len(tokens) and (
        tokens[at].word in BEFORE_KIND
        or not tokens[at].word
        or tokens[at - 1].is_operator("=")
        or (tokens[at].word in _INDEXES and at + 1 < len(tokens) and tokens[at + 1].word == "index")
    ):
        at += 1
    return at


def _uses(verb: str, kind: str, tokens: Sequence[Token], rest: Sequence[Token], names: Names) -> Iterator[Use]:
    """What is defined, and other tables that this needs or changes.

    Args:
        rest: the words from the first name on.
    """
    if kind == "index":
        yield Use(verb="alter", name=_indexed(rest, names))
        return
    if kind == "trigger":
        yield Use(verb="alter", name=names.triggering(table_name(rest, names)[0]))
        return
    if kind == "function" and not (len(rest) > 1 and rest[1].is_operator(".")):
        raise NotUnderstood("a function without its database's name may be a loadable one")
    defined = _defined(tokens, rest, names)
    for name in defined:
        yield Use(verb=verb, name=routine(name) if kind in _PROGRAMS else name)
    if kind == "table" and verb in ("create", "alter"):
        others = [*_foreign(tokens, defined, names), *(_model(rest, names) if verb == "create" else ())]
        for name in dict.fromkeys(others):
            yield Use(verb="references", name=name)


def _indexed(rest: Sequence[Token], names: Names) -> str:
    """The table that CREATE INDEX and DROP INDEX change."""
    if not rest or rest[0].kind not in _NAMES:
        raise NotUnderstood("a name was expected")
    rest = rest[3:] if len(rest) > 1 and rest[1].word in ("using", "type") else rest[1:]
    if not rest or rest[0].word != "on":
        raise NotUnderstood("which table an index is on is not known")
    return table_name(rest[1:], names)[0]


def _defined(tokens: Sequence[Token], rest: Sequence[Token], names: Names) -> list[str]:
    """What is defined: all names of a RENAME, and those of other tables that an ALTER or a CREATE reaches."""
    if tokens[0].word == "rename":
        return _renamed(rest, names)
    found = table_names(rest, names)
    if tokens[0].word == "alter":
        for at, (first, second) in enumerate(pairwise(token.word for token in tokens), 2):
            if (first, second) in _REACHING:
                found.append(table_name(tokens[at:], names)[0])
            elif first == "rename" and second not in _RENAMED_PARTS:
                raise NotUnderstood("what is renamed is not known")
    return found


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


def _foreign(tokens: Sequence[Token], defined: Sequence[str], names: Names) -> Iterator[str]:
    """The tables that foreign keys lead to. A name without a database's is in that of the table that has the key."""
    for at, token in enumerate(tokens):
        if token.word == "references":
            behind = tokens[at + 1 :]
            name, _ = table_name(behind, names)
            if len(behind) > 1 and behind[1].is_operator("."):
                yield name
            else:
                for each in defined:
                    yield names.qualified(each.rpartition(".")[0], behind[0].text)


def _model(rest: Sequence[Token], names: Names) -> Iterator[str]:
    """The table that CREATE TABLE … LIKE copies but for its rows."""
    _, behind = table_name(rest, names)
    if behind and behind[0].is_operator("("):
        behind = behind[1:]
    if behind and behind[0].word == "like":
        yield table_name(behind[1:], names)[0]


def _reaches_out(tokens: Sequence[Token]) -> str:
    """How a table's rows are, or may be, in files of one's choice or on other servers; "" where they are not."""
    depth = 0
    for at, token in enumerate(tokens):
        depth += token.is_operator("(") - token.is_operator(")")
        pair = (token.word, tokens[at + 1].word) if at + 1 < len(tokens) else (token.word, "")
        if pair in _FILES:
            return "the table's files are exchanged"
        if pair in _PLACES and _has_value(tokens[at + 2 :]):
            return "the table's files are in a folder that the statement names"
        if token.word == "connection" and _has_value(tokens[at + 1 :]):
            return "the table's rows are on another server"
        if token.word == "engine" and not _is_name(tokens, at, depth):
            value = _value(tokens[at + 1 :])
            if value is not None and value.text.lower() not in LOCAL_ENGINES:
                return "the table's engine is none that keeps rows to the server"
    return ""


def _kept_elsewhere(objects: Sequence[Use], names: Names) -> str:
    """How a table that is changed or copied is one whose rows are elsewhere, as far as the catalogue tells."""
    engines = {names.engine(use.name) for use in objects if use.verb in _SHAPING} - {""}
    return "" if engines <= LOCAL_ENGINES else "the table's engine is none that keeps rows to the server"


def _has_value(behind: Sequence[Token]) -> bool:
    """Whether a text stands there, which an option's name precedes and a column's does not."""
    value = _value(behind)
    return value is not None and value.kind is Kind.STRING


def _value(behind: Sequence[Token]) -> Token | None:
    """What an option is set to, with or without an equals sign."""
    rest = behind[1:] if _sets(behind) else behind
    return rest[0] if rest and rest[0].kind in _VALUES else None


def _is_name(tokens: Sequence[Token], at: int, depth: int) -> bool:
    """Whether `engine` is a table's or a column's name there, rather than the option."""
    before = tokens[at - 1]
    if before.is_operator("(") or (before.is_operator(",") and depth):
        return True
    if before.is_operator("."):
        return tokens[at - 2].kind in _NAMES  # behind a number, the dot is a part of that
    # Behind a dot, a reserved word is a name like any other.
    return before.word in _BEFORE_ENGINE and not _sets(tokens[at + 1 :]) and not tokens[at - 2].is_operator(".")


def _sets(behind: Sequence[Token]) -> bool:
    return bool(behind) and (behind[0].is_operator("=") or behind[0].is_operator(":="))
