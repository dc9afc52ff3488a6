"""A role's rules, and which of them decides about a deed.

Of the rules that match a deed on a column, the most specific decides; of several equally specific ones, a deny rule.
How specific a rule is, is compared in this order:

1. the table's name, function or setting: without * before with *, then by the number of its other characters;
2. the same of the schema;
3. the column: named before not named, then as 1;
4. the verb: named before in a group ("read", "write", "all");
5. the target: named without * before others.

A deny rule matches names in any case of letters: where a database takes them for the same, another case gets around no
rule. An allow rule matches them as facts have them.

What no rule decides is allowed if drivers do it by themselves (`builtin.toml`), else denied. A role's rules say nothing
of another role's: an identity with several roles may do a thing if one of them allows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from gatepost import Facts
from gatepost_policy.config import AllowConfig, RoleConfig, RuleConfig
from gatepost_policy.patterns import Pattern, Place, Specificity, places
from gatepost_policy.verbs import (
    COLUMN_VERBS,
    READ_ONLY_VERBS,
    ROW_VERBS,
    Deed,
    Verb,
    is_guarded_function,
    is_guarded_schema,
    is_guarded_setting,
    is_harmless,
)
from gatepost_policy.when import Address, Hours, Network

# Deeds that names in a text prove nothing of.
_NAMED: tuple[Verb, ...] = (*COLUMN_VERBS, Verb.DELETE, Verb.MERGE, Verb.TRUNCATE, Verb.DEFINE, Verb.CALL)

Rank: TypeAlias = tuple[Specificity, bool, bool, bool]


class Why(Enum):
    """Why something is not allowed."""

    DENIED = auto()
    NOT_ALLOWED = auto()
    UNBOUNDED = auto()
    UNRESOLVED = auto()
    TOO_LONG = auto()
    TOO_DEEP = auto()
    HOURS = auto()
    NETWORK = auto()
    TOO_MUCH = auto()
    NO_ROLE = auto()


class Finding(NamedTuple):
    """What a role says.

    Attributes:
        rule: which rule says so, as its owner would look it up.
        why: why it is not allowed; None if it is.
        rows: how many rows it lets a statement return; None for all.
        detail: what the rule asks for, for a person or a model to read.
    """

    rule: str
    why: Why | None = None
    rows: int | None = None
    detail: str = ""


class Conditions:
    """When, and for clients from where, something holds."""

    def __init__(self, hours: Hours | None, networks: Sequence[Network]) -> None:
        self.hours = hours
        self.networks = tuple(networks)

    def objection(self, peer: Address | None, moment: float) -> Why | None:
        if self.networks and not (peer is not None and any(network.holds(peer) for network in self.networks)):
            return Why.NETWORK
        if self.hours is not None and not self.hours.hold(moment):
            return Why.HOURS
        return None


class Rule:
    """One rule of a role, by the name that denials and explanations give it. A deny rule's patterns are folded."""

    def __init__(self, name: str, config: RuleConfig) -> None:
        self.name = name
        self.is_allow = isinstance(config, AllowConfig)
        self.verbs = config.do.all
        self.patterns = tuple(each if self.is_allow else each.folded() for each in config.on)
        self.conditions = Conditions(config.hours, config.networks)
        self._named = config.do.named
        self._targets = config.targets
        self.rows, self._is_unbounded = None, None
        if isinstance(config, AllowConfig):
            self.rows, self._is_unbounded = config.rows, config.unbounded

    def holds(self, target: str, peer: Address | None, moment: float) -> bool:
        return self._targets.hold(target) and self.conditions.objection(peer, moment) is None

    def may_hold(self, target: str) -> bool:
        """An allow rule holds at some time and from somewhere; a deny rule, at any time and from everywhere."""
        is_conditional = self.conditions.hours is not None or bool(self.conditions.networks)
        return self._targets.hold(target) and (self.is_allow or not is_conditional)

    def matching(self, verb: str, place: Place) -> Iterator[Pattern]:
        """The patterns that match, whatever the column."""
        if verb in self.verbs:
            folded = place.folded()
            for pattern in self.patterns:
                if self.is_allow:
                    concerns = pattern.matches(place) and not _is_guarded(verb, folded, pattern)
                else:
                    concerns = pattern.touches(folded)
                if concerns:
                    yield pattern

    def rank(self, verb: str, place: Place, column: str | None) -> Rank | None:
        """How much weight the rule has for a deed; None: it says nothing of it."""
        # Of columns that are not known, one may be denied; where none is touched, none is.
        otherwise = (column is None) is not self.is_allow
        column = column.casefold() if column and not self.is_allow else column
        found = [pattern.specificity(column, otherwise) for pattern in self.matching(verb, place)]
        best = max((each for each in found if each is not None), default=None)
        if best is None:
            return None
        return best, verb in self._named, all(glob.is_literal for glob in self._targets), not self.is_allow

    def bounds(self, deed: Deed) -> bool:
        """The rule allows this only of rows that a condition selects."""
        if deed.is_bounded or deed.verb not in ROW_VERBS:
            return False
        return not (deed.verb == Verb.SELECT if self._is_unbounded is None else self._is_unbounded)


def _is_guarded(verb: str, place: Place, pattern: Pattern) -> bool:
    """Whether a pattern matches what only a rule that names it allows; `place` is folded."""
    if verb == Verb.SET:
        return pattern.name.is_open and is_guarded_setting(place.name)
    if verb == Verb.CALL:
        return pattern.name.is_open and is_guarded_function(place.name)
    return pattern.schema.is_open and is_guarded_schema(place.schema)


class Role:
    """A role of the configuration."""

    def __init__(self, name: str, config: RoleConfig) -> None:
        self.name = name
        self.key = f"policy.{name}"
        self.rules = (
            *(Rule(f"{self.key}.allow[{i}]", rule) for i, rule in enumerate(config.allow)),
            *(Rule(f"{self.key}.deny[{i}]", rule) for i, rule in enumerate(config.deny)),
        )
        self.rows = config.rows
        self.max_length = config.max_length
        self.max_depth = config.max_depth
        self.conditions = Conditions(config.hours, config.networks)
        self._search_path = config.search_path
        required = config.require_catalogue
        has_columns = any(pattern.columns for rule in self.rules for pattern in rule.patterns)
        self._needs_catalogue = bool(config.deny) or has_columns if required is None else required

    def is_read_only(self, target: str) -> bool:
        """Whether nothing that it may do on a target, whenever and from wherever, needs a session that can write."""
        return all(rule.verbs <= READ_ONLY_VERBS for rule in self.rules if rule.is_allow and rule.may_hold(target))

    def objection(self, facts: Facts, length: int) -> Finding | None:
        """Why the role allows nothing of a statement, if it does not."""
        if self.max_length is not None and length > self.max_length:
            return Finding(f"{self.key}.max_length", Why.TOO_LONG, detail=f"{self.max_length} characters")
        if self.max_depth is not None and facts.depth > self.max_depth:
            return Finding(f"{self.key}.max_depth", Why.TOO_DEEP, detail=f"{self.max_depth} levels")
        return None

    def concerning(self, rules: Iterable[Rule], deed: Deed) -> list[Rule]:
        """Those of some rules that say anything of a deed, on whatever column."""
        places = self.places(deed)
        return [rule for rule in rules if any(True for place in places for _ in rule.matching(deed.verb, place))]

    def finding(self, rules: Sequence[Rule], deed: Deed, column: str | None, is_resolved: bool) -> Finding:
        """What the rules that hold say of a deed on a column: see the module.

        A name without a schema may mean one in any schema of the search path, so it is allowed if all of them are.
        """
        found = Finding(f"{self.key}.search_path", Why.NOT_ALLOWED)
        for place in self.places(deed):
            found = self._finding(rules, deed, place, column, is_resolved)
            if found.why is not None:
                break
        return found

    def _finding(
        self, rules: Sequence[Rule], deed: Deed, place: Place, column: str | None, is_resolved: bool
    ) -> Finding:
        ranked = [(rank, rule) for rule in rules if (rank := rule.rank(deed.verb, place, column)) is not None]
        rule = max(ranked, key=lambda each: each[0])[1] if ranked else None
        is_unresolved = (
            self._needs_catalogue
            and not is_resolved
            and deed.verb in _NAMED
            and any(True for each in rules if each.is_allow for _ in each.matching(deed.verb, place))
        )
        if is_unresolved and (rule is None or rule.is_allow or column is None):
            return Finding(f"{self.key}.require_catalogue", Why.UNRESOLVED)
        if rule is None:
            harmless = is_harmless(deed.verb, place, column)
            return Finding("policy.builtin") if harmless else Finding(f"{self.key}: no rule", Why.NOT_ALLOWED)
        if not rule.is_allow:
            return Finding(rule.name, Why.DENIED)
        if rule.bounds(deed):
            return Finding(rule.name, Why.UNBOUNDED)
        return Finding(rule.name, rows=self.rows if rule.rows is None else rule.rows)

    def places(self, deed: Deed) -> tuple[Place, ...]:
        if deed.verb == Verb.SET or not deed.name:
            schema, _, name = deed.name.rpartition(".")
            return (Place(schema, name),)
        return places(deed.name, self._search_path)
