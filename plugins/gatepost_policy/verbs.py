"""What a statement does, in the verbs that rules are written in: its *deeds*, each of which must be allowed.

A deed is a `gatepost.Use` whose verb is one of `Verb`: on a table, on a function ("call"), on a session's setting
("set"), or on nothing that has a name ("administer").
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from importlib import resources
from typing import Final, TypeAlias

from msgspec.structs import replace

from gatepost import Effect, Facts, Use
from gatepost_policy.patterns import Glob, Pattern, Place

Deed: TypeAlias = Use


class Verb(StrEnum):
    """What rules allow and deny."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    TRUNCATE = "truncate"
    COPY = "copy"
    LOAD = "load"
    DEFINE = "define"
    CALL = "call"
    SET = "set"
    NOTIFY = "notify"
    ADMINISTER = "administer"
    UNKNOWN = "unknown"


# Several verbs at once.
GROUPS: Final[Mapping[str, frozenset[Verb]]] = {
    "read": frozenset({Verb.SELECT, Verb.COPY}),
    "write": frozenset({Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE, Verb.TRUNCATE}),
    "all": frozenset(Verb),
}

# What touches columns one by one; other verbs concern the whole.
COLUMN_VERBS: Final = frozenset({Verb.SELECT, Verb.INSERT, Verb.UPDATE, Verb.COPY, Verb.LOAD})
# What touches all rows if nothing bounds it. TRUNCATE cannot be bounded: a rule that names it means that.
ROW_VERBS: Final = frozenset({Verb.SELECT, Verb.UPDATE, Verb.DELETE})
# What a session may be allowed that stays read-only.
READ_ONLY_VERBS: Final = frozenset({Verb.SELECT, Verb.COPY, Verb.SET, Verb.NOTIFY})

_WRITES: Final = GROUPS["write"] | {Verb.DEFINE}

# What facts call a use of an object -> what must be allowed on it.
_USES: Final[Mapping[str, tuple[Verb, ...]]] = {
    "select": (Verb.SELECT,),
    "insert": (Verb.INSERT,),
    "update": (Verb.UPDATE,),
    "delete": (Verb.DELETE,),
    "merge": (Verb.MERGE,),
    "truncate": (Verb.TRUNCATE,),
    "copy_to": (Verb.SELECT, Verb.COPY),
    "copy_from": (Verb.INSERT, Verb.COPY),
    "load_local": (Verb.INSERT, Verb.LOAD),
    # As in PostgreSQL, who may change rows may lock them.
    "lock": (Verb.UPDATE,),
    # The constraints' names.
    "set_constraints": (),
    **dict.fromkeys(
        ("create", "alter", "drop", "comment", "references", "refresh", "vacuum", "analyze", "cluster", "reindex"),
        (Verb.DEFINE,),
    ),
    **dict.fromkeys(("grant", "revoke", "security_label"), (Verb.ADMINISTER,)),
}

# What facts call a statement -> what must be allowed besides what it does to objects.
_STATEMENTS: Final[Mapping[str, Verb | None]] = {
    # Those do what their objects, functions, settings and effect say.
    **dict.fromkeys(("select", "insert", "update", "delete", "merge", "truncate", "lock", "explain", "call")),
    **dict.fromkeys(("copy_to", "copy_to_binary", "copy_to_digits", "copy_from", "copy_from_binary", "load_local")),
    **dict.fromkeys(("prepare", "execute", "declare")),
    # Those concern the session alone.
    **dict.fromkeys(("begin", "commit", "rollback", "savepoint", "release", "rollback_to", "set_constraints")),
    **dict.fromkeys(("set", "reset", "show", "show_warnings", "discard")),
    **dict.fromkeys(("fetch", "move", "close", "deallocate", "unlisten")),
    # The agent's own sessions, as far as its effect is known.
    "kill": None,
    **dict.fromkeys(("listen", "notify"), Verb.NOTIFY),
    **dict.fromkeys(("create", "alter", "drop", "comment", "refresh"), Verb.DEFINE),
    **dict.fromkeys(("vacuum", "analyze", "cluster", "reindex"), Verb.DEFINE),
    **dict.fromkeys(("grant", "revoke", "security_label", "alter_system", "checkpoint", "load"), Verb.ADMINISTER),
    **dict.fromkeys(("prepare_transaction", "commit_prepared", "rollback_prepared"), Verb.ADMINISTER),
}

# A stronger effect than the deeds explain -> the verb that explains it.
_EFFECTS: Final[Mapping[Effect, tuple[frozenset[str], Verb]]] = {
    Effect.WRITE: (_WRITES, Verb.UPDATE),
    Effect.DEFINE: (frozenset({Verb.DEFINE}), Verb.DEFINE),
    Effect.ADMINISTER: (frozenset({Verb.ADMINISTER}), Verb.ADMINISTER),
    Effect.UNKNOWN: (frozenset({Verb.UNKNOWN}), Verb.UNKNOWN),
}


def deeds(facts: Facts) -> tuple[Deed, ...]:
    """All that must be allowed for a statement to run.

    Where the statement's effect is stronger than its objects, functions and settings explain, that is one more deed: a
    SELECT … FOR UPDATE is an update of what it reads, and what cannot be understood is "unknown".
    """
    found = dict.fromkeys((*_objects(facts), *_calls(facts), *_settings(facts)))
    done = {deed.verb for deed in found}
    for verb in filter(None, (_STATEMENTS.get(each, Verb.UNKNOWN) for each in dict.fromkeys(facts.verbs))):
        if verb not in done:
            found[Use(verb=verb, name="")] = None
            done.add(verb)
    effect = facts.apart if facts.calls and facts.apart is not None else facts.effect
    if effect in _EFFECTS:
        explaining, verb = _EFFECTS[effect]
        if explaining.isdisjoint(done):
            names = {deed.name for deed in found if deed.verb is Verb.SELECT} if verb is not Verb.UNKNOWN else ()
            found |= {Use(verb=verb, name=name, columns=()): None for name in names or ("",)}
    return tuple(found)


def _objects(facts: Facts) -> Iterator[Deed]:
    copies = any(verb.startswith("copy_to") for verb in facts.verbs)
    for use in facts.objects:
        for verb in _USES.get(use.verb, (Verb.UNKNOWN,)):
            yield replace(use, verb=verb, columns=_columns(use, verb, facts))
        if copies and use.verb == "select":
            yield replace(use, verb=Verb.COPY)


def _columns(use: Use, verb: Verb, facts: Facts) -> tuple[str, ...] | None:
    """The columns that a deed touches, () where columns do not matter, None where they are not known."""
    if verb not in COLUMN_VERBS:
        return ()
    if use.columns is None and not facts.is_resolved and _is_plain_read(facts):
        return tuple(sorted(facts.columns))
    return use.columns


def _is_plain_read(facts: Facts) -> bool:
    """Whether the text proves by itself that of its only table no other columns are read than those that it names."""
    return (
        facts.effect is Effect.READ
        and facts.statements == 1
        and len({use.name for use in facts.objects}) == 1
        and "*" not in facts.columns
        and facts.predicates is not None
        and bool(facts.outputs)
        and all(output.origins is not None for output in facts.outputs)
    )


def _calls(facts: Facts) -> Iterator[Deed]:
    for name in facts.calls:
        # What set_config does is among the settings.
        if _plain(name) != "set_config":
            yield Use(verb=Verb.CALL, name=_plain(name))
    for name in facts.functions:
        if name not in facts.calls and _tells(_plain(name)):
            yield Use(verb=Verb.CALL, name=_plain(name))


def _settings(facts: Facts) -> Iterator[Deed]:
    for name, _ in facts.settings:
        # RESET ALL and DISCARD ALL lead back to where the session began. Else `*` is any setting.
        is_reset = name == "*" and facts.effect is Effect.CONTROL and "set_config" not in map(_plain, facts.functions)
        if not is_reset:
            yield Use(verb=Verb.SET, name=name)


def _plain(function: str) -> str:
    return function.removeprefix("pg_catalog.")


_lists = tomllib.loads(resources.files(__package__).joinpath("builtin.toml").read_text("utf-8"))
_HARMLESS: Final = {
    verb: tuple(Pattern.parse(text) for text in _lists["harmless"][kind])
    for verb, kind in ((Verb.SET, "settings"), (Verb.CALL, "functions"), (Verb.SELECT, "relations"))
}
_GUARDED_SETTINGS: Final = frozenset(_lists["guarded"]["settings"])
_GUARDED_FUNCTIONS: Final = tuple(map(Glob, _lists["guarded"]["functions"]))
_TELLING_FUNCTIONS: Final = tuple(map(Glob, _lists["guarded"]["telling"]))
_GUARDED_SCHEMAS: Final = tuple(map(Glob, _lists["guarded"]["schemas"]))


def is_harmless(verb: str, place: Place, column: str | None) -> bool:
    """Whether a deed needs no rule: drivers and sessions do it by themselves (`builtin.toml`)."""
    patterns = _HARMLESS.get(Verb(verb), ())
    return any(each.matches(place) and each.specificity(column, column == "") is not None for each in patterns)


def is_guarded_setting(name: str) -> bool:
    return name in _GUARDED_SETTINGS


def is_guarded_function(name: str) -> bool:
    return any(glob.matches(name) for glob in _GUARDED_FUNCTIONS) or _tells(name)


def is_guarded_schema(name: str) -> bool:
    return any(glob.matches(name) for glob in _GUARDED_SCHEMAS)


def _tells(function: str) -> bool:
    return any(glob.matches(function) for glob in _TELLING_FUNCTIONS)
