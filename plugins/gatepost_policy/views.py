"""What the commands print. Nothing that an agent wrote drives the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import click

from gatepost import Use
from gatepost.log import visible
from gatepost_policy.advice import Advice
from gatepost_policy.backtest import Comparison
from gatepost_policy.cases import Outcome
from gatepost_policy.verbs import Verb, deeds

_COLOURS: Final = {"allow": "green", "deny": "red"}


def put_advice(advice: Advice, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_advice(advice), indent=2))
        return
    facts, denial, limit = advice.facts, advice.denial, advice.ruling.limit
    _put("effect", facts.effect.value + (f" ({facts.reason})" if facts.reason else ""))
    for deed in deeds(facts):
        _put("does", _deed(deed))
    _put("names", "as the database's catalogue has them" if facts.is_resolved else "as the text has them")
    _put("verdict", advice.verdict, _COLOURS[advice.verdict])
    for rule in advice.rules:
        _put("rule", rule)
    if denial is not None:
        _put("reason", denial.reason)
        _put("hint", denial.hint)
    if limit is not None:
        _put("rows", f"at most {limit.rows} ({limit.rule})")
    if advice.risk is not None:
        _put("risk", f"{advice.risk.score}: {'; '.join(advice.risk.reasons)}")
    for verb, patterns in _allowed(advice):
        _put("may", f"{verb} {', '.join(patterns)}")


def put_outcome(outcome: Outcome) -> None:
    """What is wrong with a case."""
    case, advice = outcome.case, outcome.advice
    click.secho(f"Case {outcome.number} ({case.role}): {visible(case.sql)}", bold=True)
    click.secho(f"- {case.expect}" + (f" by {case.rule}" if case.rule else ""), fg="red")
    click.secho(f"+ {advice.verdict}" + (f" by {', '.join(advice.rules)}" if advice.rules else ""), fg="green")


def put_comparison(comparison: Comparison, as_json: bool) -> None:
    past = comparison.past
    identity = past.session.identity.name if past.session.identity else ""
    when = f"{datetime.fromtimestamp(past.at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    now = "deny" if comparison.rule else "allow"
    if as_json:
        line = {
            "time": when,
            "id": f"{past.session.id}/{past.statement.number}",
            "identity": identity,
            "target": past.session.target,
            "was": past.verdict,
            "was_rule": past.rule,
            "now": now,
            "now_rule": comparison.rule,
            "reason": comparison.reason,
            "text": past.statement.text,
        }
        click.echo(json.dumps(line))
        return
    head = f"{when} {past.session.id}/{past.statement.number} {identity} {past.session.target}: "
    click.secho(head + visible(past.statement.text), bold=True)
    click.secho(f"- {past.verdict} {past.rule}".rstrip(), fg="red")
    click.secho(f"+ {now} {comparison.rule}".rstrip(), fg="green")


def _put(name: str, value: str, colour: str | None = None) -> None:
    click.echo(f"{name:<9}" + click.style(visible(value), fg=colour))


def _advice(advice: Advice) -> dict[str, Any]:
    facts, denial, limit, risk = advice.facts, advice.denial, advice.ruling.limit, advice.risk
    return {
        "effect": facts.effect.value,
        "statements": facts.statements,
        "fingerprint": facts.fingerprint,
        "is_resolved": facts.is_resolved,
        "why": facts.reason,
        "does": [
            {"verb": each.verb, "on": each.name, "columns": each.columns, "is_bounded": each.is_bounded}
            for each in deeds(facts)
        ],
        "verdict": advice.verdict,
        "rules": advice.rules,
        "reason": denial.reason if denial else "",
        "hint": denial.hint if denial else "",
        "rows": limit.rows if limit else None,
        "risk": {"score": risk.score, "reasons": risk.reasons} if risk else None,
        "may": dict(_allowed(advice)),
    }


def _deed(deed: Use) -> str:
    columns = ", ".join(deed.columns or ())
    text = f"{deed.verb} {deed.name}" + (f"({columns})" if columns else "")
    return text.rstrip() + ("" if deed.is_bounded else ", all rows")


def _allowed(advice: Advice) -> Iterator[tuple[str, list[str]]]:
    for verb in Verb:
        patterns = list(dict.fromkeys(advice.standings.allowances(verb)))
        if patterns:
            yield verb.value, patterns
