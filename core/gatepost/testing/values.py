"""Ready-made values, and a gateway without a gate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gatepost.adapter import Adapter, Catalogue
from gatepost.errors import Fault
from gatepost.values import (
    Change,
    Column,
    Effect,
    Facts,
    Identity,
    Kind,
    PastStatement,
    Result,
    Session,
    Statement,
    Target,
)

AGENT: Final = Identity(name="agent", roles=("reader",), issuer="test", method="password")


def make_session(**changes: Any) -> Session:
    """A session of a proven agent; `changes` are attributes of `Session`."""
    values: dict[str, Any] = {
        "id": "s1",
        "number": 1,
        "protocol": "postgres",
        "target": "shop",
        "client": "127.0.0.1:50000",
        "started_at": 1_700_000_000.0,
        "user": AGENT.name,
        "database": "shop",
        "identity": AGENT,
    }
    return Session(**(values | changes))


def make_statement(text: str = "SELECT 1", *, effect: Effect = Effect.READ, **changes: Any) -> Statement:
    """A statement; `changes` are attributes of `Statement`. Without `facts` it is known by its effect alone."""
    values: dict[str, Any] = {"number": 1, "text": text, "facts": Facts(effect=effect)}
    return Statement(**(values | changes))


def make_columns(*columns: str | Column) -> tuple[Column, ...]:
    """Columns; a name alone makes a text column."""
    return tuple(
        Column(name=column, kind=Kind.TEXT, is_text=True, type_name="text") if isinstance(column, str) else column
        for column in columns
    )


def make_result(*columns: str | Column, statement: Statement | None = None, is_copy: bool = False) -> Result:
    """A result with these columns."""
    return Result(statement=statement or make_statement(), columns=make_columns(*columns), is_copy=is_copy)


class FakeGateway:
    """A `gatepost.Gateway` for a plugin's `on_start`.

    Args:
        state: the folder for files that must last.
        plugins: whose `on_store` `redact` calls, in order.
        targets, adapters: what the gate has.
        worker: this worker's index.
        catalogues: what there is to read, by a target's name.
        past: what was recorded.

    Attributes:
        announced: what `announce` was told.
        ended: what `end_sessions` was called with.
    """

    def __init__(
        self,
        state: Path,
        *,
        plugins: Sequence[object] = (),
        targets: Sequence[Target] = (),
        adapters: Mapping[str, Adapter] = {},
        worker: int = 0,
        config_file: Path | None = None,
        catalogues: Mapping[str, Catalogue] = {},
        past: Sequence[PastStatement] = (),
    ) -> None:
        self.state = state
        self.config_file = config_file
        self.targets = tuple(targets)
        self.worker = worker
        self.announced: list[Change] = []
        self.ended: list[tuple[Callable[[Identity], bool], Fault]] = []
        self._adapters = dict(adapters)
        self._plugins = tuple(plugins)
        self._catalogues = dict(catalogues)
        self._past = tuple(past)

    def redact(self, text: str) -> str:
        for plugin in self._plugins:
            on_store = getattr(plugin, "on_store", None)
            if on_store is not None:
                stored = on_store(text)
                text = text if stored is None else stored
        return text

    def may_rest(self, session: Session) -> bool:
        asked = (getattr(plugin, "may_rest", None) for plugin in self._plugins)
        return all(may_rest is None or may_rest(session) in (None, True) for may_rest in asked)

    def end_sessions(self, whose: Callable[[Identity], bool], fault: Fault) -> None:
        self.ended.append((whose, fault))

    def adapter(self, protocol: str) -> Adapter:
        return self._adapters[protocol]

    async def catalogue(self, target: Target) -> Catalogue | None:
        return self._catalogues.get(target.name)

    def announce(self, change: Change) -> None:
        self.announced.append(change)

    def past_statements(self, since: float, until: float) -> Iterable[PastStatement]:
        return (each for each in self._past if since <= each.at < until)
