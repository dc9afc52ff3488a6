"""The hooks that a protocol session calls by itself: synchronous, and in the middle of a chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gatepost.calling import Hook, failure
from gatepost.errors import Fault
from gatepost.values import Interest, Notice, Result, RowBatch, Session


class _Union(Interest, frozen=True):
    """What all row plugins want of a result, and what each of them does."""

    parts: tuple[Interest, ...] = ()


class SessionHooks:
    """The sync hooks, bound to one session: `gatepost.adapter.Hooks`. The relay keeps `session` up to date."""

    __slots__ = ("_columns", "_notice", "_rows", "session", "wants_notices", "wants_rows", "wants_statements")

    def __init__(
        self,
        session: Session,
        rows: list[tuple[str, Hook]],
        columns: dict[str, Callable[..., Any]],
        notice: tuple[Hook, ...],
        wants_statements: bool,
    ) -> None:
        self.session = session
        self._rows = rows
        self._columns = columns
        self._notice = notice
        self.wants_statements = wants_statements
        self.wants_rows = bool(rows)
        self.wants_notices = bool(notice)

    def columns(self, result: Result) -> Interest:
        parts = tuple(self._interest(hook.plugin, result) for _, hook in self._rows)
        if all(part is Interest.NOTHING for part in parts):
            return Interest.NOTHING
        if len(parts) == 1:
            maybe = parts[0].maybe
        else:
            asked = [part.maybe for part in parts if part is not Interest.NOTHING]
            some = [each for each in asked if each is not None]
            maybe = (lambda data: any(each(data) for each in some)) if len(some) == len(asked) else None
        return _Union(maybe=maybe, columns=frozenset().union(*(part.columns for part in parts)), parts=parts)

    def _interest(self, plugin: str, result: Result) -> Interest:
        call = self._columns.get(plugin)
        if call is None:
            return Interest.EVERYTHING
        try:
            answer = call(self.session, result)
        except Fault:
            raise
        except Exception as error:
            raise failure(plugin, "on_columns", error) from error
        if answer is None:
            return Interest.EVERYTHING
        if not isinstance(answer, Interest):
            raise failure(plugin, "on_columns", TypeError())
        return answer

    def rows(self, batch: RowBatch, interest: Interest) -> None:
        assert isinstance(interest, _Union)
        for (kind, hook), part in zip(self._rows, interest.parts, strict=True):
            if part is Interest.NOTHING:
                continue
            try:
                if kind == "on_rows":
                    hook.call(self.session, batch, part)
                else:
                    self._each_row(hook, batch, part)
                batch.settle()
            except Fault:
                raise
            except Exception as error:
                raise failure(hook.plugin, kind, error) from error

    def _each_row(self, hook: Hook, batch: RowBatch, interest: Interest) -> None:
        for index in range(len(batch)):
            row = batch.row(index)
            if interest.maybe is not None:
                cells = [row.raw(column) for column in range(len(row))]
                tagged = any(cells[column] is not None for column in interest.columns)
                if not tagged and not interest.maybe(b"\0".join(cell or b"" for cell in cells)):
                    continue
            hook.call(self.session, row)

    def notice(self, notice: Notice) -> None:
        for plugin, call in self._notice:
            try:
                call(self.session, notice)
            except Exception as error:
                raise failure(plugin, "on_notice", error) from error
