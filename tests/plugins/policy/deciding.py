"""What a policy says of a text, without a gate."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

from gatepost import Deny, Facts, Identity
from gatepost.testing import make_session
from gatepost.toml import decode
from gatepost_policy.config import PolicyConfig
from gatepost_policy.denial import deny
from gatepost_policy.judge import Ruling, Standings, standings
from gatepost_policy.roles import Role
from gatepost_policy.when import peer_address
from gatepost_sql import facts

# A Wednesday.
NOON = 1767182400.0


def config(toml: str) -> PolicyConfig:
    """The policy of the tables below `[plugins.policy]`."""
    return decode(tomllib.loads(toml), PolicyConfig, ("plugins", "policy"), None)


class Decider:
    """A policy, asked without a session."""

    def __init__(self, toml: str) -> None:
        self.roles = {name: Role(name, role) for name, role in config(toml).roles.items()}

    def standings(
        self, roles: Sequence[str], target: str = "shop", client: str = "127.0.0.1:5", at: float = NOON
    ) -> Standings:
        return standings(self.roles, roles, target, peer_address(client), at)

    def ruling(self, what: str | Facts, *roles: str, **where: object) -> Ruling:
        standing = self.standings(roles or ("r",), **where)  # type: ignore[arg-type]
        found = facts(what) if isinstance(what, str) else what
        return standing.judge(found, len(what) if isinstance(what, str) else 0)

    def denial(self, what: str | Facts, *roles: str, **where: object) -> Deny | None:
        standing = self.standings(roles or ("r",), **where)  # type: ignore[arg-type]
        found = facts(what) if isinstance(what, str) else what
        ruling = standing.judge(found, len(what) if isinstance(what, str) else 0)
        return None if ruling.refused is None else deny(ruling.refused, standing, found)

    def rule(self, what: str | Facts, *roles: str, **where: object) -> str:
        """The rule that denies, or ""."""
        denial = self.denial(what, *roles, **where)
        return "" if denial is None else denial.rule


AGENT = Identity(name="agent", roles=("r",))
SESSION = make_session(identity=AGENT)
