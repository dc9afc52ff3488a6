"""The command line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gatepost.cli.check import problems
from gatepost.cli.group import DEFAULT_FILE, Gatepost, Invocation, invocation
from gatepost.loading import installed

TEMPLATE = Path(__file__).with_name("gatepost.toml")

pass_invocation = click.make_pass_decorator(Invocation)


@click.group(cls=Gatepost, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    envvar="GATEPOST_CONFIG",
    show_envvar=True,
    default=DEFAULT_FILE,
    show_default=True,
    is_eager=True,
    help="The configuration file.",
)
@click.option(
    "-s",
    "--script",
    type=click.Path(path_type=Path),
    multiple=True,
    is_eager=True,
    help="A Python file with hook implementations; may be given several times.",
)
@click.version_option(package_name="gatepost", prog_name="gatepost")
@click.pass_context
def main(ctx: click.Context, config: Path, script: Sequence[Path]) -> None:
    """A gateway between AI agents and production databases."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know fewer characters than the record
    told = invocation(ctx)
    if ctx.invoked_subcommand not in main.commands:
        told.start()


@main.command()
@pass_invocation
def run(told: Invocation) -> None:
    """Serve the configured targets until SIGTERM.

    SIGHUP reloads the configuration.
    """
    from gatepost import supervisor

    raise SystemExit(supervisor.run(told.config, told.scripts))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@pass_invocation
def check(told: Invocation, as_json: bool) -> None:
    """Say what is wrong with the configuration, and where. Exit status 2 if it cannot be run."""
    found = problems(told)
    failed = any(problem.severity == "error" for problem in found)
    if as_json:
        report = {"file": str(told.file), "ok": not failed, "problems": [problem.as_dict() for problem in found]}
        click.echo(json.dumps(report, indent=2))
    else:
        for problem in found:
            click.secho(str(problem), fg="red" if problem.severity == "error" else "yellow", err=True)
        if not failed:
            click.echo(f"{told.file} can be run.")
    raise SystemExit(2 if failed else 0)


@main.command()
@pass_invocation
def init(told: Invocation) -> None:
    """Write a configuration to start from."""
    try:
        with open(told.file, "x", encoding="utf-8") as file:
            file.write(TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise click.ClickException(f"{told.file} exists already; it was left as it is.") from None
    except OSError as error:
        raise click.ClickException(f"{told.file} cannot be written: {error.strerror}.") from None
    click.echo(f"Wrote {told.file}. Edit it, then run `gatepost check`.")


@main.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@pass_invocation
def list_plugins(told: Invocation, as_json: bool) -> None:
    """Show which plugins are on, and their hooks.

    They are in the order in which they are asked.
    """
    enabled = {name: told.plugins.hooks_of(name) for name in told.plugins.names}
    off = sorted(installed().keys() - enabled.keys())
    if as_json:
        on = [{"name": name, "hooks": hooks} for name, hooks in enabled.items()]
        click.echo(json.dumps({"enabled": on, "installed": off}, indent=2))
        return
    table = Table("", "plugin", "hooks", box=None, pad_edge=False)
    for number, (name, hooks) in enumerate(enabled.items(), 1):
        table.add_row(str(number), name, ", ".join(hooks))
    console = Console()
    console.print(table)
    if off:
        console.print(f"Installed, not enabled: {', '.join(off)}", highlight=False)


@main.command()
@click.option("--once", is_flag=True, help="Show it once and end, also on a terminal.")
def demo(once: bool) -> None:
    """Show gatepost in front of a small shop.

    Starts a PostgreSQL of its own, and leaves nothing behind.
    """
    from gatepost.demo import main as show

    raise SystemExit(show(once))
