"""FETCH: which cursors it shows rows of."""

from __future__ import annotations

from gatepost_sql import bounds, tree


def fetched(text: str) -> tuple[str, ...]:
    """The names of the cursors that the statements of a text fetch from; of a text whose facts have the verb "fetch".

    Raises:
        NotUnderstood: the grammar does not accept the text.
    """
    fetches = (statement.get("FetchStmt") for statement in tree.parse(bounds.encode(text)))
    return tuple(fetch["portalname"] for fetch in fetches if fetch is not None and not fetch.get("ismove"))
