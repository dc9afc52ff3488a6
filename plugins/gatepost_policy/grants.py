"""What a role may do, table by table, for the GRANT statements of a database role that may do the same."""

from __future__ import annotations

from collections.abc import Iterator

from gatepost import Use
from gatepost.adapter import Catalogue
from gatepost_policy.judge import Standing, at_any_time
from gatepost_policy.patterns import places
from gatepost_policy.roles import Role
from gatepost_policy.verbs import COLUMN_VERBS, GROUPS, Deed, Verb, is_guarded_schema

_VERBS = (Verb.SELECT, *sorted(GROUPS["write"]))


def uses(role: Role, target: str, catalogue: Catalogue) -> Iterator[Use]:
    """What a role may do on a target, at some time and from somewhere.

    Of what only a rule that names it allows, the system's own tables are left to the database.
    """
    (standing,) = at_any_time(role, target).each
    for name, columns in sorted(catalogue.tables.items()):
        if any(is_guarded_schema(place.schema) for place in places(name, ())):
            continue
        for verb in _VERBS:
            allowed = tuple(column for column in columns or ("",) if _may(standing, verb, name, column))
            if len(allowed) == len(columns or ("",)):
                yield Use(verb=verb, name=name)
            elif allowed and verb in COLUMN_VERBS:
                yield Use(verb=verb, name=name, columns=allowed)
    for rule in standing.rules:
        if rule.is_allow and Verb.CALL in rule.verbs:
            for pattern in rule.patterns:
                if pattern.name.is_literal and pattern.schema.is_literal:
                    yield Use(verb=Verb.CALL, name=str(pattern))


def _may(standing: Standing, verb: Verb, name: str, column: str) -> bool:
    return standing.role.finding(standing.rules, Deed(verb=verb, name=name), column, True).why is None
