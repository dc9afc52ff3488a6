"""What a policy may answer, and what follows from it.

A decision is `true`, `false`, or an object; only `allow` must be there:

    {
      "allow": false,
      "reason": "The role reader may not read customers.",
      "rule": "reader.tables",
      "hint": "Read orders instead.",
      "risk": {"score": 60, "reasons": ["reads every row"]}
    }

`reason`, `rule` and `hint` reach the agent and the record: they should name things and quote no value. `risk` is told
to the plugins behind this one and to the record; a denied statement has none.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct

from gatepost import Deny, PluginFault, Risk

OPERATOR = (
    "Nothing is wrong with the statement, as far as is known. Ask the gateway's operator, who finds more in its log."
)

Text = Annotated[str, Meta(max_length=1000)]


class DecidedRisk(Struct, frozen=True, forbid_unknown_fields=True):
    """`risk`, as in `gatepost.Risk`."""

    score: Annotated[int, Meta(ge=0, le=100)]
    reasons: Annotated[tuple[Text, ...], Meta(max_length=20)] = ()


class Decision(Struct, frozen=True, forbid_unknown_fields=True):
    """A decision. A key that is not known here is no decision: it may be a condition that its author counts on."""

    allow: bool
    reason: Text = ""
    rule: Text = ""
    hint: Text = ""
    risk: DecidedRisk | None = None


def read(answer: object, path: str) -> Decision:
    """The decision that a policy's answer is; `UNSET` is an undefined one, and a denial.

    Args:
        path: where the policy has it, for the texts.

    Raises:
        PluginFault: it is none.
    """
    if answer is UNSET:
        return Decision(
            allow=False,
            reason="The policy does not say that this statement may run.",
            rule=f"{path} is undefined",
            hint="Ask for something else, or ask the gateway's operator what your role may do.",
        )
    if isinstance(answer, bool):
        return Decision(allow=answer)
    try:
        return msgspec.convert(answer, Decision)
    except msgspec.ValidationError:
        raise PluginFault("the policy's answer is not a decision", hint=OPERATOR) from None


def verdict(decision: Decision, path: str) -> Deny | Risk | None:
    """What the plugin answers to `on_statement`."""
    if decision.allow:
        risk = decision.risk
        return None if risk is None else Risk(score=risk.score, reasons=risk.reasons)
    return Deny(
        reason=decision.reason or "The policy does not allow this statement.",
        rule=decision.rule or path,
        hint=decision.hint or "Ask for something else, or ask the gateway's operator what your role may do.",
    )
