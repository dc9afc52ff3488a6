"""Whether a condition of a MySQL statement bounds the rows that it touches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp


def is_bounded(node: exp.Expr) -> bool:
    """Whether a WHERE, a LIMIT or a join's condition bounds what a query or a change touches."""
    where = node.args.get("where")
    if node.args.get("limit") or (where is not None and bounds_rows(where.this)):
        return True
    from_ = node.args.get("from_")
    source = node.args.get("this") if from_ is None else from_.this
    every = [*(node.args.get("joins") or ()), *joins(source)]
    return any(bounds_rows(join.args.get("on")) or join.args.get("using") for join in every)


def bounds_rows(condition: Any) -> bool:
    """Whether a condition can be false for some of the rows: it names a column, and is not plainly always true."""
    if not isinstance(condition, exp.Expr):
        return False
    if isinstance(condition, exp.Paren):
        return bounds_rows(condition.this)
    if isinstance(condition, exp.And):
        return bounds_rows(condition.this) or bounds_rows(condition.expression)
    if isinstance(condition, exp.Or | exp.Xor):
        return bounds_rows(condition.this) and bounds_rows(condition.expression)
    if isinstance(condition, exp.Binary):
        left, right = condition.this, condition.expression
        if isinstance(left, exp.Column) and isinstance(right, exp.Column) and left == right:
            return False
    return condition.find(exp.Column, exp.Query) is not None


def joins(source: Any) -> Sequence[exp.Join]:
    return (source.args.get("joins") or ()) if isinstance(source, exp.Expr) else ()
