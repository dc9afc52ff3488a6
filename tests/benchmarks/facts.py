"""What it costs to understand a statement: medians, without a catalogue and with one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gatepost_sql import Context, facts
from gatepost_sql.catalogue import Attribute, Catalogue, Relation, RelationKind

WITHOUT, WITH = "without a catalogue", "with a catalogue"
SIMPLE, SIXTY, FORM, SEEN = "new, simple", "new, 60 lines", "new but for its literals", "seen"

_SIXTY_LINES: Final = Path(__file__).with_name("sixty_lines.sql").read_text()
_TABLES: Final = {
    "accounts": "id branch balance filler",
    "orders": "id customer placed_at status",
    "order_lines": "id order_id quantity price",
    "payments": "id order_id kind amount",
    "support_tickets": "id customer opened_at",
    "customers": "id name email deleted_at",
    "addresses": "id customer is_default city country",
    "blocked": "customer",
}
_MORE_COLUMNS: Final = 12

# What is asked, and how often: a number makes each text another one.
_TEXTS: Final[dict[str, tuple[Callable[[int], str], int]]] = {
    SIMPLE: (lambda number: f"SELECT balance AS b{number} FROM accounts WHERE id = 1", 2000),
    SIXTY: (lambda number: _SIXTY_LINES.replace("c.id as id", f"c.id as id{number}"), 200),
    FORM: (lambda number: f"SELECT balance FROM accounts WHERE id = {number}", 2000),
    SEEN: (lambda number: "SELECT balance FROM accounts WHERE branch = 1", 2000),
}


def measure() -> Iterator[tuple[str, str, float]]:
    """Each kind of text, with a catalogue or without, and the median of seconds that it takes."""
    for names, context in ((WITHOUT, Context()), (WITH, _context())):
        for kind, (text, count) in _TEXTS.items():
            yield kind, names, statistics.median(_timed(text(number), context) for number in range(count))


def _timed(text: str, context: Context) -> float:
    begun = time.perf_counter()
    facts(text, context=context)
    return time.perf_counter() - begun


def _context() -> Context:
    relations = [
        Relation(
            oid=oid,
            schema="public",
            name=name,
            kind=RelationKind.TABLE,
            attributes=tuple(
                Attribute(number, column, "pg_catalog.text")
                for number, column in enumerate([*columns.split(), *(f"more{n}" for n in range(_MORE_COLUMNS))], 1)
            ),
        )
        for oid, (name, columns) in enumerate(_TABLES.items(), 1)
    ]
    return Context(catalogue=Catalogue(0.0, relations), search_path=("public",))
