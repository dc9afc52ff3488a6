"""`gatepost opa`: what the policy is told of a statement, and what it decides."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING

import click
import msgspec

from gatepost import Gateway, Identity, Session, Statement, Target, UpstreamFault
from gatepost_opa.decision import Decision

if TYPE_CHECKING:
    from gatepost_opa.plugin import Opa


def group(plugin: Opa, gateway: Gateway) -> click.Group:
    """The command group, bound to a gate."""

    @click.group()
    def opa() -> None:
        """Decisions from an Open Policy Agent."""

    @opa.command("eval")
    @click.argument("role")
    @click.argument("sql")
    @click.option("--target", "name", default="", help="The target; the first one if it is not given.")
    @click.option("--client", default="127.0.0.1", show_default=True, help="The address that the agent comes from.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
    def evaluate(role: str, sql: str, name: str, client: str, as_json: bool) -> None:
        """Show what the policy decides on a statement of an agent of a role. It is not run."""
        target = _target(gateway, name)
        session = Session(
            id="",
            number=0,
            protocol=target.protocol,
            target=target.name,
            client=f"{client}:0",
            started_at=time.time(),
            database=target.database,
            application="gatepost",
            identity=Identity(name="gatepost", roles=(role,), issuer="gatepost", method="none"),
        )
        document, decision = asyncio.run(_evaluate(plugin, gateway, target, session, sql))
        if as_json:
            shown = {"input": msgspec.Raw(document), "decision": decision}
            click.echo(msgspec.json.format(msgspec.json.encode(shown)).decode())
        else:
            click.echo(msgspec.json.format(document).decode())
            _show(decision)

    return opa


async def _evaluate(
    plugin: Opa, gateway: Gateway, target: Target, session: Session, sql: str
) -> tuple[bytes, Decision]:
    """The input, and the decision."""
    try:
        catalogue = await gateway.catalogue(target)
    except UpstreamFault as fault:
        click.echo(f"Judged by its text alone: {fault.message}.", err=True)
        catalogue = None
    facts = gateway.adapter(target.protocol).facts(sql, catalogue)
    await plugin.connect()
    try:
        document = plugin.document(session, Statement(number=1, text=sql, facts=facts))
        answer = plugin.ask(document)
        return document, plugin.read(await answer if inspect.isawaitable(answer) else answer)
    finally:
        await plugin.close()


def _target(gateway: Gateway, name: str) -> Target:
    for target in gateway.targets:
        if name in ("", target.name):
            return target
    names = ", ".join(target.name for target in gateway.targets)
    raise click.ClickException(f"There is no target {name!r}; there are {names}.")


def _show(decision: Decision) -> None:
    click.secho("allowed" if decision.allow else "denied", fg="green" if decision.allow else "red")
    risk = decision.risk and f"{decision.risk.score}: {', '.join(decision.risk.reasons)}"
    lines = {
        "reason": decision.reason,
        "rule": decision.rule,
        "hint": decision.hint,
        "risk": risk,
        "rows": decision.rows,
    }
    for name, text in lines.items():
        if text:
            click.echo(f"{name}: {text}")
