"""What the policy says of a text outside of any session, for the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from gatepost import Deny, Facts, Gateway, Risk, Target, UpstreamFault
from gatepost.adapter import Catalogue
from gatepost_policy.config import PolicyConfig
from gatepost_policy.denial import deny
from gatepost_policy.judge import Ruling, Standings, standings
from gatepost_policy.risk import Scale
from gatepost_policy.roles import Role
from gatepost_policy.when import peer_address


class Advice(NamedTuple):
    """What would come of a text.

    Attributes:
        facts: what it means.
        standings: what the roles allow.
        ruling: what they say of it.
        denial: what the agent would be told, if it is not allowed.
        risk: its risk, if there is any to speak of.
    """

    facts: Facts
    standings: Standings
    ruling: Ruling
    denial: Deny | None
    risk: Risk | None

    @property
    def verdict(self) -> str:
        return "allow" if self.denial is None else "deny"

    @property
    def rules(self) -> tuple[str, ...]:
        """The rule that denies, or all that allow a part of it."""
        if self.denial is not None:
            return (self.denial.rule,)
        return tuple(dict.fromkeys(finding.rule for _, finding in self.ruling.grounds))


class Adviser:
    """Asks a policy.

    Args:
        gateway: the gate, for its targets and catalogues.
        config: the policy.
        note: called with what the person who asks must know.
    """

    def __init__(self, gateway: Gateway, config: PolicyConfig, note: Callable[[str], None]) -> None:
        self._gateway = gateway
        self._note = note
        self._scale = Scale(config.risk)
        self._roles = {name: Role(name, role) for name, role in config.roles.items()}
        # Without a catalogue, what a role asks of it cannot be tried out.
        self._by_text = {
            name: Role(name, replace(role, require_catalogue=False)) for name, role in config.roles.items()
        }
        self._catalogues: dict[str, Catalogue | None] = {}

    def catalogue(self, target: Target) -> Catalogue | None:
        """The target's catalogue, read once; None, with a note, if it cannot be."""
        if target.name not in self._catalogues:
            self._catalogues[target.name] = self._read(target)
        return self._catalogues[target.name]

    def _read(self, target: Target) -> Catalogue | None:
        why = "nobody has credentials to read it"
        try:
            found = asyncio.run(_awaited(self._gateway, target))
            if found is not None:
                return found
        except UpstreamFault as fault:
            why = fault.message
        self._note(
            f"The catalogue of {target.name} is not known ({why}): texts are judged by their names alone, as if no role"
            " required the catalogue."
        )
        return None

    def advise(self, roles: Sequence[str], text: str, target: Target, client: str, at: float) -> Advice:
        catalogue = self.catalogue(target)
        known = self._by_text if catalogue is None else self._roles
        facts = self._gateway.adapter(target.protocol).facts(text, catalogue)
        holding = standings(known, roles, target.name, peer_address(client), at)
        ruling = holding.judge(facts, len(text))
        denial = None if ruling.refused is None else deny(ruling.refused, holding, facts)
        risk = self._scale.risk(facts, is_late=self._scale.is_late(at))
        return Advice(facts, holding, ruling, denial, risk)


async def _awaited(gateway: Gateway, target: Target) -> Catalogue | None:
    return await gateway.catalogue(target)
