"""Denials, in words that a language model can act on: what was refused, under which rule, and what to do instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gatepost import Deny, Facts
from gatepost_policy.judge import Refused, Standings
from gatepost_policy.patterns import ANY
from gatepost_policy.roles import Why
from gatepost_policy.verbs import Deed, Verb

_MANY: Final = 8
"""Names to list."""
_LONG: Final = 130
"""Characters of a name to show; a name with its schema has no more."""

_ASK: Final = "Do not try to get around this; ask the operator of the gate if you need it."

# What a verb does, where it is not done to a table.
_DEEDS: Final[Mapping[str, str]] = {
    Verb.CALL: "call the function",
    Verb.SET: "set",
    Verb.NOTIFY: "use LISTEN or NOTIFY",
    Verb.ADMINISTER: "administer the database",
    Verb.DEFINE: "create, alter or drop",
    Verb.COPY: "COPY",
    Verb.LOAD: "load a local file into",
}


def deny(refused: Refused, standings: Standings, facts: Facts) -> Deny:
    """The denial of what was refused."""
    why = refused.finding.why or Why.NOT_ALLOWED
    if refused.deed is None:
        reason, hint = _WHOLE[why]
        detail = refused.finding.detail
        return Deny(reason=reason.format(detail), rule=refused.finding.rule, hint=hint.format(detail))
    deed = refused.deed
    reason, hint = _reason(why, deed, refused.columns, facts), _hint(why, deed, refused.columns, standings)
    return Deny(reason=reason, rule=refused.finding.rule, hint=hint)


_WHOLE: Final[Mapping[Why, tuple[str, str]]] = {
    Why.NO_ROLE: (
        "You have no role that has rules, so you may do nothing.",
        "Ask the operator of the gate for a role.",
    ),
    Why.TOO_LONG: ("The statement is longer than {}.", "Write a shorter one, or pass long values as parameters."),
    Why.TOO_DEEP: (
        "Its queries are nested deeper than {}.",
        "Write it with fewer subqueries, or as several statements.",
    ),
    Why.TOO_MUCH: ("The statement touches too many tables, columns and functions.", "Write it as several statements."),
    Why.HOURS: ("You may do nothing at this hour.", "You may work on {}."),
    Why.NETWORK: ("You may do nothing from the network that you are in.", "You may connect from {}."),
}


def _reason(why: Why, deed: Deed, columns: Iterable[str | None], facts: Facts) -> str:
    if deed.verb == Verb.UNKNOWN:
        told = f": {facts.reason[:_LONG]}" if facts.reason else ""
        return f"What the statement does cannot be told{told}."
    what = _what(deed, columns)
    if why is Why.UNBOUNDED:
        return f"The statement would {deed.verb} all rows of {_short(deed.name)}."
    if why is Why.UNRESOLVED:
        return f"You may not {what} now: the gate does not know what that is in the database's catalogue."
    # A reason of one word is the statement's verb.
    told = f": {facts.reason[:_LONG]}" if deed.verb == Verb.ADMINISTER and " " in facts.reason else ""
    return f"You may not {what}{told}."


def _what(deed: Deed, columns: Iterable[str | None]) -> str:
    verb = _DEEDS.get(deed.verb, deed.verb)
    if not deed.name:
        return verb
    if None in columns:
        return f"{verb} all columns of {_short(deed.name)}"
    named = _listed(column for column in columns if column)
    return f"{verb} {_short(deed.name)}" + (f"({named})" if named else "")


def _hint(why: Why, deed: Deed, columns: tuple[str | None, ...], standings: Standings) -> str:
    if deed.verb == Verb.UNKNOWN:
        return _UNKNOWN
    if why in _HINTS:
        return _HINTS[why]
    allowed = list(dict.fromkeys(standings.columns(deed)))
    left_out = _listed(column for column in columns if column)
    if allowed:
        advice = f"leave out {left_out}." if left_out else "name the columns that you need, and no *."
        return f"You may {deed.verb} {_short(deed.name)}({_listed(allowed)}); {advice}"
    if left_out and standings.may_touch(deed):
        return f"You may {deed.verb} other columns of {_short(deed.name)}; leave out {left_out}."
    patterns = list(dict.fromkeys(standings.allowances(deed.verb)))
    if patterns and deed.name:
        reaches = deed.name.rpartition(".")[2] == ANY and deed.verb != Verb.SET
        return f"{_REACHING if reaches else ''}What your roles let you {deed.verb}: {_listed(patterns)}."
    return f"Your roles allow no such thing. {_ASK}"


_HINTS: Final[Mapping[Why, str]] = {
    Why.UNBOUNDED: "Add a WHERE that selects the rows that you mean.",
    Why.UNRESOLVED: "Check its name; if that is right, try again in a moment, and then ask the operator of the gate.",
}
_REACHING: Final = (
    "It may reach what it does not name: leave out CASCADE, name what is meant, and write names with schemas. "
)
_UNKNOWN: Final = "Write it as plain statements, one at a time, with the built-in functions and operators."


def _listed(names: Iterable[str]) -> str:
    listed = [_short(name) for name in names]
    more = f" and {len(listed) - _MANY} more" if len(listed) > _MANY else ""
    return ", ".join(listed[:_MANY]) + more


def _short(name: str) -> str:
    return name if len(name) <= _LONG else name[:_LONG] + "…"
