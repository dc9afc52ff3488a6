"""Random queries, nested and joined in every way, over tables whose columns are given."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

# A column as a query can name it: the name of its rows, None if a join merged it, and its own.
Named = tuple[str | None, str]
# A query, and the names of its columns.
Query = tuple[str, list[str]]

JOINS = ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")


class Queries:
    """Makes queries; the same seed makes the same ones."""

    def __init__(self, seed: int, tables: Mapping[str, Sequence[str]]) -> None:
        self._random = random.Random(seed)
        self._tables = {name: list(columns) for name, columns in tables.items()}
        self._names = 0

    def query(self, depth: int) -> str:
        """A query in which others are nested at most so deeply."""
        return self._query(depth, {}, [])[0]

    def _fresh(self) -> str:
        self._names += 1
        return f"n{self._names}"

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _query(self, depth: int, ctes: Mapping[str, list[str]], outer: list[Named]) -> Query:
        if depth > 0 and self._chance(0.15):
            name = self._fresh()
            inner, columns = self._query(depth - 1, ctes, outer)
            text, names = self._query(depth - 1, {**ctes, name: columns}, outer)
            return (f"SELECT * FROM (WITH {name} AS ({inner}) {text}) {self._fresh()}"), names
        if depth > 0 and self._chance(0.12):
            width = self._random.randint(1, 3)
            one, names = self._select(depth - 1, ctes, outer, width, cast="::text")
            other, _ = self._select(depth - 1, ctes, outer, width, cast="::text")
            return f"{one} {self._random.choice(('UNION ALL', 'UNION', 'EXCEPT'))} {other}", names
        return self._select(depth, ctes, outer)

    def _select(
        self, depth: int, ctes: Mapping[str, list[str]], outer: list[Named], width: int = 0, cast: str = ""
    ) -> Query:
        items = [self._item(depth, ctes) for _ in range(self._random.choice((1, 1, 2)))]
        columns = [column for _, of_item in items for column in of_item]
        source = ", ".join(text for text, _ in items)
        names = [name for _, name in columns]
        visible = columns + outer if self._chance(0.3) else columns
        condition = self._condition(visible, depth, ctes) if self._chance(0.4) else ""
        if not width and self._chance(0.25) and len(set(names)) == len(names):
            return f"SELECT * FROM {source}{condition}", names
        if self._chance(0.2):
            key = self._column(columns)
            values = [self._aggregate(key, columns) for _ in range(width or self._random.randint(1, 3))]
            condition += f" GROUP BY {key}"
        else:
            values = [self._value(visible, depth, ctes) for _ in range(width or self._random.randint(1, 4))]
        chosen = {self._fresh(): value for value in values}
        targets = ", ".join(f"({value}){cast} AS {name}" for name, value in chosen.items())
        return f"SELECT {'DISTINCT ' if self._chance(0.1) else ''}{targets} FROM {source}{condition}", list(chosen)

    def _column(self, columns: list[Named]) -> str:
        rows, name = self._random.choice(columns)
        return f"{rows}.{name}" if rows else name

    def _aggregate(self, key: str, columns: list[Named]) -> str:
        column = self._column(columns)
        shapes = (key, f"count({column})", f"max({column}::text)", f"count(*) FILTER (WHERE {column}::text LIKE '<%')")
        return self._random.choice(shapes)

    def _condition(self, columns: list[Named], depth: int, ctes: Mapping[str, list[str]]) -> str:
        column = self._column(columns)
        if depth > 0 and self._chance(0.5):
            inner, _ = self._select(depth - 1, ctes, columns, 1, cast="::text")
            return f" WHERE {self._random.choice((f'{column}::text IN', 'EXISTS', 'NOT EXISTS'))} ({inner})"
        compared = self._random.choice(("LIKE '<%'", "NOT LIKE '<%'", "< '2'", ">= '2'"))
        return f" WHERE {column}::text {compared}"

    def _item(self, depth: int, ctes: Mapping[str, list[str]]) -> tuple[str, list[Named]]:
        if depth <= 0 or self._chance(0.5):
            known = ctes if ctes and self._chance(0.4) else self._tables
            table = self._random.choice(list(known))
            return self._aliased(table, known[table])
        if self._chance(0.6):
            text, columns = self._query(depth - 1, ctes, [])
            return self._aliased(f"({text})", columns)
        return self._joined(depth, ctes)

    def _aliased(self, text: str, columns: list[str]) -> tuple[str, list[Named]]:
        alias = self._fresh()
        if self._chance(0.3):
            renamed = [self._fresh() for _ in range(self._random.randint(1, len(columns)))]
            columns = renamed + columns[len(renamed) :]
            return f"{text} AS {alias}({', '.join(renamed)})", [(alias, column) for column in columns]
        return f"{text} AS {alias}", [(alias, column) for column in columns]

    def _joined(self, depth: int, ctes: Mapping[str, list[str]]) -> tuple[str, list[Named]]:
        (left, one), (right, other) = self._item(depth - 1, ctes), self._item(depth - 1, ctes)
        names = [name for _, name in one], [name for _, name in other]
        common = [name for name in names[0] if names[0].count(name) == names[1].count(name) == 1]
        if not common or self._chance(0.4):
            return f"({left} CROSS JOIN {right})", one + other
        name = self._random.choice(common)
        rest = [column for column in one + other if column[1] != name]
        return f"({left} {self._random.choice(JOINS)} {right} USING ({name}))", [(None, name), *rest]

    def _value(self, columns: list[Named], depth: int, ctes: Mapping[str, list[str]]) -> str:
        if depth > 0 and self._chance(0.08):
            text, _ = self._select(depth - 1, ctes, columns, 1)
            return f"({text} LIMIT 1)"
        rows, name = self._random.choice(columns)
        column = f"{rows}.{name}" if rows else name
        if self._chance(0.05):
            return f"rank() OVER (PARTITION BY {column} ORDER BY {self._column(columns)})"
        return self._random.choice(self._shapes)(column, rows or column)

    # An expression over a column, or over the row that it is in.
    _shapes: Sequence[Callable[[str, str], str]] = (
        lambda column, rows: column,
        lambda column, rows: column,
        lambda column, rows: column,
        lambda column, rows: f"{column}::text",
        lambda column, rows: f"coalesce({column}::text, '')",
        lambda column, rows: f"{column}::text || {column}::text",
        lambda column, rows: f"CASE WHEN {column} IS NULL THEN 'x' ELSE {column}::text END",
        lambda column, rows: f"to_jsonb({rows})",
        lambda column, rows: f"{rows}::text",
        lambda column, rows: "1",
    )
