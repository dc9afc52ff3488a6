"""SQL text to `Facts`: what a statement means, as far as its text proves it."""

from __future__ import annotations

from gatepost_sql.cache import facts

__all__ = ["facts"]
