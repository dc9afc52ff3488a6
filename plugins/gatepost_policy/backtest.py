"""A policy put to what is on record: what would now come of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gatepost import PastStatement
from gatepost_policy.config import PolicyConfig
from gatepost_policy.denial import deny
from gatepost_policy.judge import standings
from gatepost_policy.roles import Role
from gatepost_policy.when import peer_address


class Comparison(NamedTuple):
    """A statement from the record, and what would now come of it: `rule` denies it, "" if none does."""

    past: PastStatement
    rule: str
    reason: str

    @property
    def differs(self) -> bool:
        return (self.past.verdict == "deny") is not bool(self.rule)


def compare(config: PolicyConfig, past: Iterable[PastStatement]) -> Iterator[Comparison]:
    """Each statement that the policy decided about, or would decide about. What another plugin denied stays denied.

    Each is judged by its facts as they were judged then, by the roles that its identity had, from where it was and at
    the time at which it was asked.
    """
    roles = {name: Role(name, role) for name, role in config.roles.items()}
    for each in past:
        if each.verdict == "deny" and not each.rule.startswith("policy."):
            continue
        session, statement = each.session, each.statement
        names = session.identity.roles if session.identity else ()
        holding = standings(roles, names, session.target, peer_address(session.client), each.at)
        refused = holding.judge(statement.facts, len(statement.text)).refused
        denial = None if refused is None else deny(refused, holding, statement.facts)
        yield Comparison(each, denial.rule if denial else "", denial.reason if denial else "")
