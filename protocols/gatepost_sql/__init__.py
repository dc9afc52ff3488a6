"""SQL text to `Facts`: what a statement means, as far as its text and the database's catalogue prove it."""

from __future__ import annotations

from gatepost_sql.cache import base, column, facts, preparation
from gatepost_sql.context import Context
from gatepost_sql.copying import Copied, copied
from gatepost_sql.fetching import fetched
from gatepost_sql.remembered import weight

__all__ = ["Context", "Copied", "base", "column", "copied", "facts", "fetched", "preparation", "weight"]
