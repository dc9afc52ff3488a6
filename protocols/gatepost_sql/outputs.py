"""The output columns of a single query, by position, where its text alone tells them."""

from __future__ import annotations

from typing import Any, TypeAlias

from gatepost.values import Output

Node: TypeAlias = dict[str, Any]


def of(statement: Node) -> tuple[Output, ...]:
    """The outputs of a SELECT, or () where the text does not tell."""
    return ()
