"""What a policy may answer, and what follows from it.

A decision is `true`, `false`, or an object; only `allow` must be there:

    {
      "allow": false,
      "reason": "The role reader may not read customers.",
      "rule": "reader.tables",
      "hint": "Read orders instead.",
      "risk": {"score": 60, "reasons": ["reads every row"]},
      "rows": 200
    }

`reason`, `rule` and `hint` reach the agent and the record: they should name things and quote no value. `risk` is told
to the plugins behind this one and to the record, and `rows` is how many rows an allowed statement may show.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct

from gatepost import Deny, Limit, PluginFault, Risk

OPERATOR = (
    "Nothing is wrong with the statement, as far as is known. Ask the gateway's operator, who finds more in its log."
)
HINT = "Ask for something else, or ask the gateway's operator what your role may do."

Verdict: TypeAlias = Deny | tuple[Risk | Limit, ...] | None
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
    rows: Annotated[int, Meta(ge=1)] | None = None


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
            hint=HINT,
        )
    if isinstance(answer, bool):
        return Decision(allow=answer)
    try:
        return msgspec.convert(answer, Decision)
    except msgspec.ValidationError:
        raise PluginFault("the policy's answer is not a decision", hint=OPERATOR) from None


def verdict(decision: Decision, path: str) -> Verdict:
    """What the plugin answers to `on_statement`. `path` stands for the rule where the policy names none."""
    rule = decision.rule or path
    if not decision.allow:
        reason = decision.reason or "The policy does not allow this statement."
        return Deny(reason=reason, rule=rule, hint=decision.hint or HINT)
    notes: list[Risk | Limit] = []
    if decision.risk is not None:
        notes.append(Risk(score=decision.risk.score, reasons=decision.risk.reasons))
    if decision.rows is not None:
        hint = f"Ask for fewer rows, with WHERE, a sum or LIMIT {decision.rows}."
        notes.append(Limit(rows=decision.rows, rule=rule, hint=decision.hint or hint))
    return tuple(notes) or None
