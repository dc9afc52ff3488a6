"""The output columns of MySQL's queries, and the columns that decide which rows come, as far as the text tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlglot import exp

from gatepost.values import Origin, Output
from gatepost_sql.mysql_bounds import joins

# What of a SELECT decides which rows come, in what order or in which groups.
_DECIDING: Final = ("where", "group", "having", "order", "limit", "windows", "qualify")


def outputs(query: exp.Query) -> tuple[Output, ...]:
    """The output columns, or () where the text does not tell."""
    if isinstance(query, exp.Subquery):
        return outputs(query.this)
    if isinstance(query, exp.SetOperation):
        left, right = outputs(query.left), outputs(query.right)
        if len(left) != len(right):
            return ()
        return tuple(
            Output(name=one.name, origins=_both(one.origins, other.origins))
            for one, other in zip(left, right, strict=True)
        )
    if not isinstance(query, exp.Select) or any(node.is_star for node in query.expressions):
        return ()
    is_plain = _is_plain(query)
    return tuple(
        Output(
            name=node.alias_or_name if isinstance(node, exp.Alias | exp.Column) else "",
            origins=_origins(node) if is_plain else None,
            is_direct=is_plain and isinstance(node.unalias(), exp.Column),
        )
        for node in query.expressions
    )


def predicates(query: exp.Query) -> tuple[Origin, ...] | None:
    """The columns by which the rows of a query without others in it are chosen; None of any other."""
    if not isinstance(query, exp.Select) or not _is_plain(query):
        return None
    if any(node is not query for node in query.find_all(exp.Query) if not isinstance(node, exp.Table)):
        return None
    from_ = query.args.get("from_")
    joined = [*(query.args.get("joins") or ()), *(joins(from_.this) if from_ is not None else ())]
    if any(join.method for join in joined):
        return None  # NATURAL: all that have the same names
    if query.args.get("distinct") and any(node.is_star for node in query.expressions):
        return None
    found = {name.name.lower(): None for join in joined for name in join.args.get("using") or ()}
    aliases = {node.alias.lower(): node for node in query.expressions if isinstance(node, exp.Alias)}
    deciding: list[Any] = [query.args.get(part) for part in _DECIDING]
    deciding += [join.args.get("on") for join in joined]
    deciding += [part for node in query.expressions for part in node.find_all(exp.Case, exp.If, exp.Window)]
    deciding += query.expressions if query.args.get("distinct") else ()
    for part in deciding:
        for node in part if isinstance(part, list) else [part] if part is not None else ():
            for column in node.find_all(exp.Column):
                found[column.name.lower()] = None
                if not column.table and (meant := aliases.get(column.name.lower())) is not None:
                    found.update(dict.fromkeys(inner.name.lower() for inner in meant.find_all(exp.Column)))
            if part is query.args.get("group") or part is query.args.get("order"):
                found.update(dict.fromkeys(_by_position(node, query)))
    return tuple(Origin("", name) for name in found)


def _by_position(part: exp.Expr, query: exp.Select) -> Iterator[str]:
    """What ORDER BY 1 and GROUP BY 1 mean. Literals are all the same here, so it is any of the columns."""
    if any(isinstance(node.this if isinstance(node, exp.Ordered) else node, exp.Literal) for node in part.expressions):
        for column in (column for node in query.expressions for column in node.find_all(exp.Column)):
            yield column.name.lower()


def _both(one: tuple[Origin, ...] | None, other: tuple[Origin, ...] | None) -> tuple[Origin, ...] | None:
    return None if one is None or other is None else tuple(dict.fromkeys((*one, *other)))


def _is_plain(query: exp.Select) -> bool:
    """It reads nothing but tables of the database."""
    return query.args.get("with_") is None and all(map(_is_base, _sources(query)))


def _sources(query: exp.Select) -> Iterator[exp.Expr]:
    from_ = query.args.get("from_")
    if from_ is not None:
        yield from_.this
        for join in (*joins(from_.this), *(query.args.get("joins") or ())):
            yield join.this


def _is_base(source: exp.Expr) -> bool:
    return isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier) and not _is_with(source)


def _is_with(table: exp.Table) -> bool:
    """Some WITH around the table has a query of its name."""
    node: exp.Expr | None = table
    while node is not None:
        with_ = node.args.get("with_")
        if with_ is not None and any(part.alias.lower() == table.name.lower() for part in with_.expressions):
            return True
        node = node.parent
    return False


def _origins(node: exp.Expr) -> tuple[Origin, ...] | None:
    if node.find(exp.Query) is not None:
        return None
    return tuple(
        Origin("", name) for name in dict.fromkeys(column.name.lower() for column in node.find_all(exp.Column))
    )
