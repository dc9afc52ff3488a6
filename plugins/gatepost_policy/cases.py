"""A table of cases that a policy must fulfil, for `gatepost policy test`.

[[case]]
role = "reader"
sql = "SELECT pan FROM cards"
expect = "deny"
rule = "policy.reader.deny[0]"
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta, Struct

from gatepost import Target
from gatepost.toml import decode, fault_at, read
from gatepost_policy.advice import Advice, Adviser

# A Wednesday.
_NOON: Final = datetime(2026, 1, 7, 12, tzinfo=UTC)


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement, and what must come of it.

    Attributes:
        role: whose agent asks.
        sql: for what.
        expect: what must come of it.
        rule: the rule that must deny it, or one of those that must allow it; "" for any.
        target: on which target; "" for the first one.
        client: from which address.
        at: when, in UTC unless it says otherwise.
    """

    role: str
    sql: str
    expect: Literal["allow", "deny"]
    rule: str = ""
    target: str = ""
    client: str = "127.0.0.1"
    at: datetime = _NOON


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    case: Annotated[tuple[Case, ...], Meta(min_length=1)]


class Outcome(NamedTuple):
    """What came of a case, by its number from 1."""

    number: int
    case: Case
    advice: Advice

    @property
    def is_as_expected(self) -> bool:
        is_right_rule = not self.case.rule or self.case.rule in self.advice.rules
        return self.case.expect == self.advice.verdict and is_right_rule


def outcomes(file: Path, adviser: Adviser, targets: dict[str, Target]) -> Iterator[Outcome]:
    """What comes of each case of a file, in order. Raises: ConfigFault."""
    for index, case in enumerate(decode(read(file), _File, (), file).case):
        target = targets.get(case.target or next(iter(targets), ""))
        if target is None:
            raise fault_at(f"expected one of {', '.join(targets)}", ("case", index, "target"), file)
        at = case.at if case.at.tzinfo else case.at.replace(tzinfo=UTC)
        yield Outcome(index + 1, case, adviser.advise([case.role], case.sql, target, case.client, at.timestamp()))
