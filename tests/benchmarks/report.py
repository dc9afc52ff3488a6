"""Medians, ratios and the table of a run."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks.facts import FORM, SEEN, SIMPLE, SIXTY, WITH, WITHOUT
from tests.benchmarks.relays import BARE, FULL, FULL_OS, HAPROXY, POLICY
from tests.benchmarks.workloads import PANS, PLAIN, ROWS, SELECT, Load, Stream, Transactions

IDLE, MEMORY, FACTS = "idle", "memory", "facts"


class Case(NamedTuple):
    """One thing that is measured."""

    workload: str
    mode: str = ""
    clients: int = 0


class Figures:
    """What was measured, by case and relay."""

    def __init__(self) -> None:
        self._all: dict[tuple[Case, str], list[tuple[float, ...]]] = defaultdict(list)

    def add(self, case: Case, relay: str, figures: Transactions | Stream | float) -> None:
        self._all[case, relay].append((figures,) if isinstance(figures, float | int) else tuple(figures))

    def median(self, case: Case, relay: str, position: int = 0) -> float | None:
        """The median of one figure over the rounds; None if it was not measured."""
        measured = self._all.get((case, relay))
        return statistics.median(each[position] for each in measured) if measured else None

    def ratio(self, case: Case, relay: str, to: str, position: int = 0) -> float | None:
        mine, other = self.median(case, relay, position), self.median(case, to, position)
        return mine / other if mine is not None and other else None

    @property
    def cases(self) -> list[Case]:
        return list(dict.fromkeys(case for case, _ in self._all))

    @property
    def has_facts(self) -> bool:
        return any(case.workload == FACTS for case in self.cases)

    @property
    def relays(self) -> list[str]:
        return list(dict.fromkeys(relay for case, relay in self._all if case.workload != FACTS))


class Goal(NamedTuple):
    """What a figure must reach: at most or at least `bound`, as a ratio to another relay's or by itself."""

    text: str
    value: Callable[[Figures], float | None]
    bound: float
    at_most: bool = False


def _goals(load: Load, figures: Figures) -> Iterable[Goal]:
    """What must be reached. Where PgBouncer cannot stand, haproxy does: it takes about as much for a transaction."""

    def against(relay: str, to: str, case: Case, position: int = 0) -> Callable[[Figures], float | None]:
        return lambda figures: figures.ratio(case, relay, to, position)

    for mode in load.bound_modes:
        for clients in (8, 32):
            case = Case(SELECT, mode, clients)
            where = f"{mode}, {clients} clients"
            yield Goal(f"CPU, no plugin, {where}", against(BARE, load.peer, case, 1), 1.6, at_most=True)
            strict, relaxed, rate = (3.5, 3.0, 0.35) if clients == 8 else (3.0, 2.5, 0.45)
            yield Goal(f"CPU, everything, {where}", against(FULL, load.peer, case, 1), strict, at_most=True)
            yield Goal(
                f"CPU, everything with `os`, {where}", against(FULL_OS, load.peer, case, 1), relaxed, at_most=True
            )
            yield Goal(f"throughput, everything, {where}", against(FULL, load.peer, case), rate)
            yield Goal(f"throughput with a policy, to that without, {where}", against(POLICY, FULL, case), 0.9)
    for clients, rate in ((8, 0.4), (32, 0.5)):
        yield Goal(
            f"throughput, 20 rows, {clients} clients",
            against(FULL, load.peer, Case(ROWS, load.bound_modes[0], clients)),
            rate,
        )
    yield Goal("stream without PANs, to haproxy", against(FULL, HAPROXY, Case(PLAIN)), 0.7)
    yield Goal("stream with a PAN a row, to haproxy", against(FULL, HAPROXY, Case(PANS)), 0.3)
    yield Goal("MB above idle while streaming 1 GB", lambda figures: _scaled(figures, MEMORY, 1e6), 64, at_most=True)
    for names in (WITHOUT, WITH) if figures.has_facts else ():
        for kind, bound in ((SIMPLE, 100), (SIXTY, 2000), (SEEN, 3)):
            yield Goal(f"µs for facts, {kind}, {names}", _facts(kind, names), bound, at_most=True)
    yield Goal("KB an idle session", lambda figures: _scaled(figures, IDLE, 1e3), 60, at_most=True)


def _scaled(figures: Figures, workload: str, unit: float) -> float | None:
    value = figures.median(Case(workload), FULL)
    return None if value is None else value / unit


def _facts(kind: str, names: str) -> Callable[[Figures], float | None]:
    return lambda figures: _micro(figures.median(Case(FACTS, kind), names))


def markdown(measured: Iterable[tuple[Load, Figures]], *, quick: bool) -> str:
    """The whole page, a part for each protocol."""
    now = datetime.datetime.now(datetime.UTC)
    parts = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`python -m tests.benchmarks`). Client, relay and server shared one machine; the",
        "relays took turns in each round, and a figure is the median of its rounds. CPU is the user and system time of",
        "the relay's own processes, without that of logging in. gatepost's recorder is told apart. Its indexer, which",
        "feeds the store that searches read, is in no figure of CPU: it ran when nothing else wanted a processor, and",
        "what it had left was done between the measurements.",
        "",
        f"{now:%Y-%m-%d}, {_machine()}." + (" **A quick run: these figures say little.**" if quick else ""),
        "",
    ]
    for load, figures in measured:
        parts += [f"## {load.title}", ""]
        for workload in (SELECT, ROWS):
            parts += _transactions(load, figures, workload)
        parts += _streams(figures)
        parts += _memory(figures)
        parts += _understanding(figures) if figures.has_facts else []
        parts += _reached(load, figures)
    return "\n".join(parts)


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} processors, Linux {platform.release()}, Python {platform.python_version()}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _number(value: float | None, form: str = ",.0f") -> str:
    return "-" if value is None else format(value, form)


def _transactions(load: Load, figures: Figures, workload: str) -> list[str]:
    parts = [f"### {load.program}, {workload}", ""]
    for case in figures.cases:
        if case.workload == workload:
            parts += [f"{case.mode}, {case.clients} client{'s' if case.clients > 1 else ''}:", ""]
            parts += _table(
                ("through", "transactions/s", f"to {load.peer}", "CPU µs", f"to {load.peer}", "recorder's CPU µs"),
                (
                    (
                        relay,
                        _number(figures.median(case, relay)),
                        _number(figures.ratio(case, relay, load.peer), ".2f"),
                        _number(_micro(figures.median(case, relay, 1)), ".1f"),
                        _number(figures.ratio(case, relay, load.peer, 1), ".2f"),
                        _number(_micro(figures.median(case, relay, 2)), ".1f"),
                    )
                    for relay in figures.relays
                ),
            )
    return parts


def _micro(seconds: float | None) -> float | None:
    return seconds * 1e6 if seconds else None


def _streams(figures: Figures) -> list[str]:
    parts = []
    for table, title in ((PLAIN, "Stream without PANs"), (PANS, "Stream with a PAN in every row")):
        parts += [f"### {title}", ""]
        parts += _table(
            ("through", "MB/s", "to haproxy", "CPU ns a byte", "recorder's CPU ns a byte"),
            (
                (
                    relay,
                    _number(_scale(figures.median(Case(table), relay), 1e-6), ".0f"),
                    _number(figures.ratio(Case(table), relay, HAPROXY), ".2f"),
                    _number(_scale(figures.median(Case(table), relay, 1), 1e9), ".2f"),
                    _number(_scale(figures.median(Case(table), relay, 2), 1e9), ".2f"),
                )
                for relay in figures.relays
            ),
        )
    return parts


_CARRIED: Final = {
    HAPROXY: (
        "PgBouncer does not speak this protocol. Its bounds are carried over to haproxy, which takes about as much",
        "processor time for a transaction of PostgreSQL's as PgBouncer does.",
        "",
    )
}


def _scale(value: float | None, factor: float) -> float | None:
    return value * factor if value else None


def _memory(figures: Figures) -> list[str]:
    return [
        "### Memory",
        "",
        *_table(
            ("through", "KB an idle session", "MB above idle while streaming"),
            (
                (
                    relay,
                    _number(_scale(figures.median(Case(IDLE), relay), 1e-3), ".1f"),
                    _number(_scale(figures.median(Case(MEMORY), relay), 1e-6), ".1f"),
                )
                for relay in figures.relays
            ),
        ),
    ]


def _understanding(figures: Figures) -> list[str]:
    return [
        "### Understanding a statement",
        "",
        *_table(
            ("text", f"µs {WITHOUT}", f"µs {WITH}"),
            (
                (
                    kind,
                    *(_number(_micro(figures.median(Case(FACTS, kind), names)), ",.1f") for names in (WITHOUT, WITH)),
                )
                for kind in (SIMPLE, SIXTY, FORM, SEEN)
            ),
        ),
    ]


def _reached(load: Load, figures: Figures) -> list[str]:
    rows = []
    for goal in _goals(load, figures):
        value = goal.value(figures)
        met = value is not None and (value <= goal.bound if goal.at_most else value >= goal.bound)
        verdict = "not measured" if value is None else "yes" if met else "**no**"
        rows.append(
            (goal.text, f"{'at most' if goal.at_most else 'at least'} {goal.bound:g}", _number(value, ".2f"), verdict)
        )
    return [
        "### What it must reach",
        "",
        *_CARRIED.get(load.peer, ()),
        *_table(("figure", "bound", "measured", "reached"), rows),
    ]
