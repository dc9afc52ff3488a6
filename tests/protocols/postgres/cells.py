"""Cells as a real PostgreSQL 18 sent them, in both formats (`cells.jsonl`).

TimeZone UTC, DateStyle ISO, IntervalStyle postgres, lc_monetary C, encoding UTF8.
"""

from pathlib import Path

import msgspec


class Cell(msgspec.Struct, frozen=True):
    """An expression's type and its value in text format and, as hexadecimal digits, in binary format."""

    sql: str
    oid: int
    text: str
    binary: str

    def data(self, fmt: int) -> bytes:
        return bytes.fromhex(self.binary) if fmt else self.text.encode()


CELLS = [
    msgspec.json.decode(line, type=Cell) for line in (Path(__file__).parent / "cells.jsonl").read_bytes().splitlines()
]
BY_SQL = {cell.sql: cell for cell in CELLS}
