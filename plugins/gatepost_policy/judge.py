"""What a session may do: its roles, and the rules of theirs that hold now, put to a statement's deeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from gatepost import Facts, Limit
from gatepost_policy.patterns import Place
from gatepost_policy.roles import Finding, Role, Rule, Why
from gatepost_policy.verbs import COLUMN_VERBS, Deed, Verb, deeds
from gatepost_policy.when import Address

# A session is judged while others wait, so what takes long to judge is refused.
MOST_DEEDS: Final = 500
MOST_COLUMNS: Final = 4000


class Refused(NamedTuple):
    """What is not allowed: a deed, on these columns (() where they do not matter), or the statement as a whole."""

    finding: Finding
    deed: Deed | None = None
    columns: tuple[str | None, ...] = ()


class Ruling(NamedTuple):
    """What comes of a statement.

    Attributes:
        refused: the first thing that is not allowed; None if all is.
        limit: how many rows it may return.
        grounds: each deed that was looked at, and what was found of it.
    """

    refused: Refused | None
    limit: Limit | None = None
    grounds: tuple[tuple[Deed, Finding], ...] = ()


class Standing(NamedTuple):
    """A role, and those of its rules that hold for a session now. `objection`: why none does."""

    role: Role
    rules: tuple[Rule, ...]
    objection: Finding | None = None


class Standings(NamedTuple):
    """All that an identity is allowed on a target, from where it is, at a time."""

    each: tuple[Standing, ...]

    def judge(self, facts: Facts, length: int) -> Ruling:
        """What comes of a statement with these facts and so many characters.

        Every deed, on every column, must be allowed by one of the roles; how many rows it may return says the most
        generous of those that allow it. Of what none allows, the finding is that of the first role that denies it by a
        rule, else of the first role.
        """
        if not self.each:
            return Ruling(Refused(Finding("policy.roles", Why.NO_ROLE)))
        objections = [standing.objection or standing.role.objection(facts, length) for standing in self.each]
        standings = [each for each, objection in zip(self.each, objections, strict=True) if objection is None]
        if not standings:
            return Ruling(Refused(next(filter(None, objections))))
        done = deeds(facts)
        if len(done) > MOST_DEEDS or sum(len(_columns(deed)) for deed in done) > MOST_COLUMNS:
            return Ruling(Refused(Finding("policy.size", Why.TOO_MUCH)))
        grounds: list[tuple[Deed, Finding]] = []
        limits: list[tuple[int, str]] = []
        for deed in done:
            refused: dict[str | None, Finding] = {}
            concerning = [(each.role, each.role.concerning(each.rules, deed)) for each in standings]
            for column in _columns(deed):
                found = _best([role.finding(rules, deed, column, facts.is_resolved) for role, rules in concerning])
                grounds.append((deed, found))
                if found.why is not None:
                    refused[column] = found
                elif found.rows is not None and deed.verb in (Verb.SELECT, Verb.COPY):
                    limits.append((found.rows, found.rule))
            if refused:
                finding = next(iter(refused.values()))
                columns = tuple(refused) if deed.verb in COLUMN_VERBS else ()
                return Ruling(Refused(finding, deed, columns), None, tuple(grounds))
        if not grounds and "select" in facts.verbs:
            free = _best([Finding(f"{each.role.key}.rows", rows=each.role.rows) for each in standings])
            if free.rows is not None:
                limits.append((free.rows, free.rule))
        return Ruling(None, _limit(*min(limits)) if limits else None, tuple(grounds))

    def allowances(self, verb: str) -> Iterator[str]:
        """What may be done with a verb, as the patterns of the rules."""
        for standing in self.each:
            for rule in standing.rules:
                if rule.is_allow and verb in rule.verbs:
                    yield from map(str, rule.patterns)

    def may_touch(self, deed: Deed) -> bool:
        """Whether a deed's verb is allowed on its table, if on no column that is denied."""
        return any(standing.role.finding(standing.rules, deed, "", True).why is None for standing in self.each)

    def columns(self, deed: Deed) -> Iterator[str]:
        """The columns of a deed's table that allow rules name, and on which it is allowed."""
        for standing in self.each:
            for place in standing.role.places(deed):
                for column in _named_columns(standing.rules, deed.verb, place):
                    if standing.role.finding(standing.rules, deed, column, True).why is None:
                        yield column


def standings(
    roles: Mapping[str, Role], names: Iterable[str], target: str, peer: Address | None, moment: float
) -> Standings:
    """What the roles of these names allow; those that are not configured allow nothing."""
    return Standings(tuple(_standing(roles[name], target, peer, moment) for name in names if name in roles))


def at_any_time(role: Role, target: str) -> Standings:
    """What a role allows on a target at some time and from somewhere."""
    rules = tuple(rule for rule in role.rules if rule.may_hold(target))
    return Standings((Standing(role, rules),))


def _standing(role: Role, target: str, peer: Address | None, moment: float) -> Standing:
    why = role.conditions.objection(peer, moment)
    if why is Why.HOURS:
        return Standing(role, (), Finding(f"{role.key}.hours", why, detail=str(role.conditions.hours)))
    if why is not None:
        networks = ", ".join(map(str, role.conditions.networks))
        return Standing(role, (), Finding(f"{role.key}.networks", why, detail=networks))
    return Standing(role, tuple(rule for rule in role.rules if rule.holds(target, peer, moment)))


def _limit(rows: int, rule: str) -> Limit:
    return Limit(
        rows=rows, rule=rule, hint=f"Add LIMIT {rows}, narrow it with WHERE, or let the database count and sum."
    )


def _columns(deed: Deed) -> tuple[str | None, ...]:
    """Each column of a deed; "" if it touches none, None if it is not known which."""
    if deed.columns is None:
        return (None,)
    return deed.columns or ("",)


def _best(findings: list[Finding]) -> Finding:
    """The finding that lets most rows through; of those that let none, the first that denies by a rule."""
    allowed = [finding for finding in findings if finding.why is None]
    if allowed:
        return max(allowed, key=lambda finding: math.inf if finding.rows is None else finding.rows)
    return next((finding for finding in findings if finding.why is not Why.NOT_ALLOWED), findings[0])


def _named_columns(rules: Iterable[Rule], verb: str, place: Place) -> Iterator[str]:
    for rule in rules:
        if rule.is_allow:
            for pattern in rule.matching(verb, place):
                yield from (glob.text for glob in pattern.columns or () if glob.is_literal)
