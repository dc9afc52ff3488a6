"""`gatepost policy`: explain, test and compare what the policy decides, and print the grants that match a role."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gatepost import Gateway, Target
from gatepost.config import load, section
from gatepost.settings import moment
from gatepost_policy.advice import Adviser
from gatepost_policy.backtest import compare
from gatepost_policy.cases import outcomes
from gatepost_policy.config import PolicyConfig
from gatepost_policy.grants import uses
from gatepost_policy.roles import Role
from gatepost_policy.views import put_advice, put_comparison, put_outcome

_as_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


class Moment(click.ParamType[float]):
    """A time as Unix seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return moment(value, time.time())
        except ValueError as error:
            self.fail(str(error), param, ctx)


def group(gateway: Gateway, config: PolicyConfig) -> click.Group:
    """The command group, bound to a gate and its policy."""
    targets = {target.name: target for target in gateway.targets}
    role_argument = click.argument("role", type=click.Choice(sorted(config.roles)))
    target_option = click.option(
        "--target", type=click.Choice(list(targets)), help="On this target; needed where there are several."
    )

    def note(text: str) -> None:
        click.echo(f"Note: {text}", err=True)

    def chosen(name: str | None) -> Target:
        if name is None and len(targets) != 1:
            raise click.UsageError(f"Say which target: {', '.join(targets)}.")
        return targets[name or next(iter(targets))]

    @click.group()
    def policy() -> None:
        """What roles may do, and why."""

    @policy.command()
    @role_argument
    @click.argument("sql")
    @target_option
    @click.option("--client", default="127.0.0.1", show_default=True, help="For an agent at this address.")
    @click.option("--at", type=Moment(), help='At this time: "2h" ago, or an ISO time (UTC); by default now.')
    @_as_json
    def explain(role: str, sql: str, target: str | None, client: str, at: float | None, as_json: bool) -> None:
        """Show what an SQL text does, which rule decides about it, and what ROLE may do."""
        adviser = Adviser(gateway, config, note)
        put_advice(adviser.advise([role], sql, chosen(target), client, at or time.time()), as_json)

    @policy.command()
    @click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
    def test(file: Path) -> None:
        """Try the cases of a TOML file. Exit status 1 if one does not come out as it says."""
        count = failed = 0
        for outcome in outcomes(file, Adviser(gateway, config, note), targets):
            count += 1
            if not outcome.is_as_expected:
                failed += 1
                put_outcome(outcome)
        click.echo(f"{count} cases, {failed or 'none'} failed.")
        raise SystemExit(1 if failed else 0)

    @policy.command()
    @click.option("--since", type=Moment(), default="7d", show_default=True, help='"7d" ago, or an ISO time (UTC).')
    @click.option("--until", type=Moment(), help="Before then; by default until now.")
    @click.option(
        "--config",
        "other",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="The policy of this configuration file, in the place of the configured one.",
    )
    @_as_json
    def backtest(since: float, until: float | None, other: Path | None, as_json: bool) -> None:
        """Put the policy to what is on record, and list what would now differ. Exit status 1 if anything would."""
        tried = config if other is None else section(load(other), "policy", PolicyConfig)
        count = differing = 0
        for comparison in compare(tried, gateway.past_statements(since, until or time.time())):
            count += 1
            if comparison.differs:
                differing += 1
                put_comparison(comparison, as_json)
        begin = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"
        click.echo(f"{count} statements since {begin}, {differing or 'none'} would differ.", err=True)
        raise SystemExit(1 if differing else 0)

    @policy.command()
    @role_argument
    @target_option
    @click.option("--as", "name", help="The database role's name; by default ROLE.")
    def grants(role: str, target: str | None, name: str | None) -> None:
        """Print the GRANT statements of a database role that may do what ROLE may, at any time and from anywhere.

        They say what tables there are now. Limits of rows and demands for a WHERE have no grants.
        """
        on = chosen(target)
        catalogue = Adviser(gateway, config, note).catalogue(on)
        if catalogue is None:
            raise click.ClickException("Grants name tables, which only the catalogue tells.")
        allowed = uses(Role(role, config.roles[role]), on.name, catalogue)
        for statement in gateway.adapter(on.protocol).grants(name or role, allowed, catalogue):
            click.echo(statement)

    return policy
