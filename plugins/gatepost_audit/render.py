"""Records as text for a person: tables on a terminal, plain lines elsewhere. Nothing recorded drives the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatepost.log import visible


def when(time_ns: int | None) -> str:
    """A moment in UTC, to the millisecond; "" for None."""
    if time_ns is None:
        return ""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ns // 10**6 % 1000:03}Z"


def put_line(text: str) -> None:
    """A line on stdout, whatever characters its encoding lacks."""
    encoding = sys.stdout.encoding or "ascii"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def put_json(value: Any) -> None:
    """One JSON value a line, in ASCII."""
    click.echo(json.dumps(value))


def put_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows in columns on a terminal, else separated by tabs, without the heads."""
    if not sys.stdout.isatty():
        for row in rows:
            put_line("\t".join(map(visible, row)))
        return
    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    Console().print(table)


def put_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Names and values in two columns; values that are empty are left out."""
    shown = [(name, str(value)) for name, value in fields if value not in (None, "", [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        put_line(f"{name:<{width}}  {visible(value)}")
