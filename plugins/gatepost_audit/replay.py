"""What a session asked and what it was shown, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from gatepost import Shown
from gatepost_audit import search
from gatepost_audit.store import Store

Decode: TypeAlias = Callable[[Iterable[bytes]], Iterator[Shown]]


def answer(store: Store, statement: search.Found, decode: Decode) -> Iterator[Shown]:
    """What the client was shown for a statement. Raises Damage where the journal was changed."""
    if statement["ran"] and statement["stop"] > statement["start"]:
        yield from decode(store.output(statement["session"], statement["start"], statement["stop"]))


def replay(store: Store, session: str, decode: Decode) -> Iterator[search.Found | Shown]:
    """Each statement, followed by what was shown for it; and what was shown for none, where it was shown.

    Raises Damage where the journal was changed.
    """
    position = 0
    for statement in search.statements(store, {"session": session}).found:
        if statement["ran"]:
            if statement["start"] > position:
                yield from decode(store.output(session, position, statement["start"]))
            position = statement["stop"]
        yield statement
        yield from answer(store, statement, decode)
    end = store.shown_until(session)
    if end > position:
        yield from decode(store.output(session, position, end))
