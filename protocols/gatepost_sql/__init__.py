"""SQL text to `Facts`: what a statement means, as far as its text and the database's catalogue prove it."""

from __future__ import annotations

from gatepost_sql.cache import base, column, facts, preparation
from gatepost_sql.context import Context

__all__ = ["Context", "base", "column", "facts", "preparation"]
