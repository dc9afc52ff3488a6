"""What to do with a result's rows: found out once for the same facts and the same columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gatepost.adapter import Hooks
from gatepost.cache import Cache
from gatepost.values import Facts, Interest, Notice, NoticeKind, Result, Statement
from gatepost_postgres import messages
from gatepost_postgres.columns import COPY_BINARY, COPY_LINE, Description, describe
from gatepost_postgres.rows import Batch, CopyBatch, TupleBatch

if TYPE_CHECKING:
    from gatepost_postgres.owed import Question
    from gatepost_postgres.understanding import Understanding

# What is longer than this is not worth its memory.
_CACHED_BYTES: Final = 16 * 1024


class Plan(Struct, frozen=True):
    """What to do with a result's rows.

    Attributes:
        interest: what the plugins said of the result.
        is_watched: some of the rows may matter to a plugin.
        maybe: asked with a run of rows; false where none of them matters. None: always show them.
        message: the RowDescription as the client may see it, or None if it may as it came.
        facts: of the statements that this is for; held, so that no other facts get their identity.
    """

    description: Description
    interest: Interest = Interest.NOTHING
    is_watched: bool = False
    maybe: Callable[[bytes], object] | None = None
    message: bytes | None = None
    batch: type[Batch | CopyBatch] = Batch
    facts: Facts | None = None


# Of a result that no plugin can want.
UNWATCHED: Final = Plan(COPY_LINE)


class Plans:
    """The plans of a session."""

    def __init__(self, hooks: Hooks, understanding: Understanding) -> None:
        self._hooks = hooks
        self._understanding = understanding
        self._wants_rows = hooks.wants_rows
        self._wants_notices = hooks.wants_notices
        # By the identity of the facts: texts that differ in literals alone have the same.
        self._rows: Cache[tuple[int, bytes], Plan] = Cache()
        # What columns are of is the catalogue's to say, so nothing of it outlasts that.
        understanding.forgets.append(self._rows.clear)
        self._titles: Cache[bytes, tuple[bytes, bytes | None]] = Cache()

    def rows(self, statement: Statement, body: bytes) -> Plan:
        """For the rows that a RowDescription's body announces."""
        if not self._wants_rows and not self._wants_notices:
            return UNWATCHED
        key = (id(statement.facts), body)
        return self._rows.get(key) or self._put(key, self._plan(statement, body))

    def known(self, statement: Statement, body: bytes) -> Plan | None:
        """What `rows` returns, if that was found out before."""
        if not self._wants_rows and not self._wants_notices:
            return UNWATCHED
        return self._rows.get((id(statement.facts), body))

    def copy(self, statement: Statement, *, is_binary: bool, count: int, question: Question | None) -> Plan:
        """For the lines, or the tuples of `count` columns, of a COPY TO STDOUT."""
        if not self._wants_rows:
            return UNWATCHED
        answer = question.answer if question is not None and is_binary else b""
        key = (id(statement.facts), b"%d columns " % count + answer if is_binary else b"")
        known = self._rows.get(key)
        if known is not None:
            return known
        if question is not None and answer:
            described: Description | None = describe(answer, self._understanding.catalogue, is_copied=True)
            if described is not None and question.columns:
                described = described.only(question.columns)
            # Generated columns are described, and not copied.
            if described is not None and len(described.columns) == count:
                return self._put(key, self._interest(statement, described, None, TupleBatch))
        description = COPY_BINARY if is_binary else COPY_LINE
        return self._put(key, self._interest(statement, description, None, CopyBatch))

    def titles(self, body: bytes) -> bytes | None:
        """The RowDescription as the client may see it, or None if it may as it came."""
        return self._seen(body)[1] if self._wants_notices else None

    def _plan(self, statement: Statement, body: bytes) -> Plan:
        seen, message = self._seen(body) if self._wants_notices else (body, None)
        if not self._wants_rows:
            return Plan(COPY_LINE, message=message, facts=statement.facts)
        return self._interest(statement, describe(seen, self._understanding.catalogue), message, Batch)

    def _interest(
        self, statement: Statement, description: Description, message: bytes | None, batch: type[Batch | CopyBatch]
    ) -> Plan:
        is_copy = batch is CopyBatch
        interest = self._hooks.columns(Result(statement=statement, columns=description.columns, is_copy=is_copy))
        return Plan(
            description,
            interest,
            is_watched=interest != Interest.NOTHING,
            maybe=None if interest.columns else interest.maybe,
            message=message,
            batch=batch,
            facts=statement.facts,
        )

    def _seen(self, body: bytes) -> tuple[bytes, bytes | None]:
        """The body with the names that plugins leave, and the message if they changed one."""
        known = self._titles.get(body)
        if known is not None:
            return known
        description = describe(body)
        names = []
        for name in description.names:
            notice = Notice(NoticeKind.COLUMN, {"name": name})
            self._hooks.notice(notice)
            names.append(notice.fields["name"].replace("\0", ""))
        seen: tuple[bytes, bytes | None]
        if tuple(names) == description.names:
            seen = (body, None)
        else:
            changed = description.with_names(names)
            seen = (changed, messages.message(messages.ROW_DESCRIPTION, changed))
        return self._titles.put(body, seen) if len(body) <= _CACHED_BYTES else seen

    def _put(self, key: tuple[int, bytes], plan: Plan) -> Plan:
        return self._rows.put(key, plan) if len(key[1]) <= _CACHED_BYTES else plan
