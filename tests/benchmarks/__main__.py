"""`python -m tests.benchmarks`: measure gatepost beside what else can stand before a PostgreSQL, in one run."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import click
from tests.benchmarks import facts, report, workloads
from tests.benchmarks.relays import DIRECT, Relay, relays
from tests.benchmarks.report import Case, Figures
from tests.servers import Database, database

from gatepost.demo.postgres import embedded

MODES = ("simple", "extended", "prepared")
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
@click.option("--only", multiple=True, help="Only relays whose name has this text.")
@click.option("--output", type=click.Path(path_type=Path), default=README, help="The table's file.")
def main(quick: bool, rounds: int, only: tuple[str, ...], output: Path) -> None:
    """Run the benchmarks and write their table."""
    plan = Plan(quick, rounds)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    binaries = embedded()
    if binaries is None:
        raise click.ClickException("the embedded PostgreSQL is missing: pip install 'gatepost[test]'")
    # Twice: the server's processes for one relay's sessions are still ending when the next one's begin.
    settings = {"max_connections": str(2 * plan.sessions + 200), "shared_buffers": "512MB"}
    with tempfile.TemporaryDirectory(prefix="gatepost-benchmark-") as name:
        folder = Path(name)
        with database(binaries, settings=settings) as upstream:
            workloads.prepare(upstream, plan.rows, folder)
            with relays(upstream, folder, only) as found:
                figures = measure(plan, found, upstream, folder / "rows.sql")
    text = report.markdown(figures, quick=quick)
    output.write_text(text)
    click.echo(text)


def measure(plan: Plan, chosen: list[Relay], upstream: Database, script: Path) -> Figures:
    """All cases through all relays, in rounds, so that what else the machine does meets each of them alike."""
    figures = Figures()
    for kind, names, seconds in facts.measure():
        figures.add(Case(report.FACTS, kind), names, seconds)
    for relay in chosen:
        if relay.name != DIRECT:
            # Before anything else: memory that a relay has and does not use would hide what it needs.
            figures.add(Case(report.IDLE), relay.name, workloads.idle(relay, plan.sessions))
            figures.add(Case(report.MEMORY), relay.name, workloads.memory(relay, workloads.PLAIN, plan.streamed))
    for turn in range(plan.rounds):
        order = chosen[turn:] + chosen[:turn]
        for clients in plan.clients:
            for mode in MODES:
                for relay in order:
                    result = workloads.transactions(relay, upstream, mode=mode, clients=clients, seconds=plan.seconds)
                    figures.add(Case(report.SELECT, mode, clients), relay.name, result)
            for relay in order:
                result = workloads.transactions(
                    relay, upstream, mode="simple", clients=clients, seconds=plan.seconds, script=script
                )
                figures.add(Case(report.ROWS, "simple", clients), relay.name, result)
        for table in (workloads.PLAIN, workloads.PANS):
            for relay in order:
                figures.add(Case(table), relay.name, workloads.stream(relay, table))
    return figures


main()
