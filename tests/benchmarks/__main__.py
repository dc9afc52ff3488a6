"""`python -m tests.benchmarks`: measure gatepost beside what else can stand before a database, in one run."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import click
from tests.benchmarks import facts, mysql, postgres, report
from tests.benchmarks.relays import DIRECT, Relay, relays
from tests.benchmarks.report import Case, Figures
from tests.benchmarks.workloads import PANS, PLAIN, ROWS, SELECT, Load

PROTOCOLS = {"postgres": postgres.loaded, "mysql": mysql.loaded}
README = Path(__file__).with_name("README.md")


class Plan:
    """How much is measured.

    Args:
        quick: a minute's run, to see that everything works; its figures say little.
        rounds: how often everything but memory is measured; medians are reported.
    """

    def __init__(self, quick: bool, rounds: int) -> None:
        self.rounds = 1 if quick else rounds
        self.seconds = 1 if quick else 2
        self.clients = (8,) if quick else (1, 8, 32)
        self.rows = 100_000 if quick else 1_000_000
        self.sessions = 100 if quick else 2000
        self.streamed = 100_000_000 if quick else 1_000_000_000


@click.command()
@click.option("--quick", is_flag=True, help="About a minute; figures that say little.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Fewer are quicker.")
@click.option("--protocol", "protocols", multiple=True, type=click.Choice(list(PROTOCOLS)), help="Only this one.")
@click.option("--only", multiple=True, help="Only relays whose name has this text.")
@click.option("--output", type=click.Path(path_type=Path), default=README, help="The table's file.")
def main(quick: bool, rounds: int, protocols: tuple[str, ...], only: tuple[str, ...], output: Path) -> None:
    """Run the benchmarks and write their table."""
    plan = Plan(quick, rounds)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    measured = [measure(plan, protocol, only) for protocol in protocols or PROTOCOLS]
    text = report.markdown(measured, quick=quick)
    output.write_text(text)
    click.echo(text)


def measure(plan: Plan, protocol: str, only: tuple[str, ...]) -> tuple[Load, Figures]:
    """A protocol's half, on a server that has nothing else to do."""
    # Twice: the server's processes for one relay's sessions are still ending when the next one's begin.
    connections = 2 * plan.sessions + 200
    figures = Figures()
    if protocol == "postgres":
        for kind, names, seconds in facts.measure():
            figures.add(Case(report.FACTS, kind), names, seconds)
    with tempfile.TemporaryDirectory(prefix="gatepost-benchmark-") as name:
        folder = Path(name)
        try:
            with (
                PROTOCOLS[protocol](folder, rows=plan.rows, connections=connections) as load,
                relays(load.upstream, protocol, folder, only) as chosen,
            ):
                _measure(plan, chosen, load, figures)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from error
    return load, figures


def _measure(plan: Plan, chosen: list[Relay], load: Load, figures: Figures) -> None:
    """All cases through all relays, in rounds, so that what else the machine does meets each of them alike."""
    for relay in chosen:
        if relay.name != DIRECT:
            # Before anything else: memory that a relay has and does not use would hide what it needs.
            figures.add(Case(report.IDLE), relay.name, load.idle(relay, plan.sessions))
            figures.add(Case(report.MEMORY), relay.name, load.memory(relay, PLAIN, plan.streamed))
            relay.settle()
    for turn in range(plan.rounds):
        order = chosen[turn:] + chosen[:turn]
        for clients in plan.clients:
            for workload, modes in ((SELECT, load.modes), (ROWS, load.bound_modes[:1])):
                for mode in modes:
                    for relay in order:
                        result = load.transactions(relay, workload, mode=mode, clients=clients, seconds=plan.seconds)
                        relay.settle()
                        figures.add(Case(workload, mode, clients), relay.name, result)
        for table in (PLAIN, PANS):
            for relay in order:
                figures.add(Case(table), relay.name, load.stream(relay, table))
                relay.settle()


main()
