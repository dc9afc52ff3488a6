"""Answers like others before them: known by the bytes of their columns and of their end, and not taken apart again."""

from __future__ import annotations

from typing import Final, NamedTuple

from gatepost.cache import Cache
from gatepost_postgres import chunks, messages
from gatepost_postgres.chunks import LARGE, Starts
from gatepost_postgres.frames import HEADER_BYTES, header
from gatepost_postgres.ledger import Ledger, Mode
from gatepost_postgres.owed import SYNC_OWED, UNNAMED_COLUMNS_OWED, Portal, Run, State
from gatepost_postgres.results import Plan, Plans
from gatepost_postgres.texts import Texts

_READY_BYTES: Final = HEADER_BYTES + 1
_READIES: Final = frozenset(messages.message(messages.READY, bytes((status,))) for status in b"ITE")
_BOUND: Final = messages.message(messages.BIND_COMPLETE, b"")
_NO_DATA: Final = messages.message(messages.NO_DATA, b"")
# The end of an answer, from CommandComplete on, is a few bytes.
_LONGEST_END: Final = 64 + _READY_BYTES
_LONGEST_HEAD: Final = 16 * 1024


class Known(NamedTuple):
    """An answer as a whole, to a Query of one statement, or to Bind, Describe, Execute and Sync.

    Attributes:
        portal: what was bound, None for a Query.
        plan: what to do with the rows, None where there can be none.
        starts: where each row begins, counted from `begin` on; what comes before that is no row.
        end: where the last one ends.
        tag, status: what the CommandComplete and the ReadyForQuery behind the rows say.
    """

    run: Run
    portal: Portal | None
    plan: Plan | None
    starts: Starts
    begin: int
    end: int
    tag: str
    status: int


class Usual:
    """What was seen in a session."""

    def __init__(self, ledger: Ledger, plans: Plans, texts: Texts) -> None:
        self._ledger = ledger
        self._plans = plans
        self._texts = texts
        # The bytes before the first row, by whether there was a Bind and the identity of the facts, which a plan holds.
        self._heads: Cache[tuple[int, bool], tuple[bytes, Plan]] = Cache()
        self._endings: Cache[bytes, tuple[str, int]] = Cache()

    def forget(self) -> None:
        """What columns are of may be another now."""
        self._heads.clear()

    def find(self, data: bytes) -> Known | None:
        """What an answer is, if it is usual, all that is owed, and all there."""
        ledger = self._ledger
        owed = ledger.owed
        count = len(owed)
        if (count != 1 and count != 4) or (ledger.mode and ledger.mode != Mode.HELD) or ledger.marks:
            return None
        first, portal, run = owed[0], None, owed[0].run
        if count == 4:
            portal = first.portal
            if (
                portal is None
                or first.state != State.BIND
                or first.name
                or owed[1] is not UNNAMED_COLUMNS_OWED
                or owed[3] is not SYNC_OWED
            ):
                return None
            run = portal.run
        elif first.state != State.QUERY:
            return None
        if run is None:
            return None
        few: list[int] = []
        plan, begin = None, 0
        starts: Starts = few
        known = self._heads.get((id(run.statement.facts), portal is not None))
        if known is None or not data.startswith(known[0]):
            known = self._head(run, portal, data)
        if known is not None:
            head, plan = known
            at = begin = len(head)
            last = len(data) - HEADER_BYTES
            if last >= LARGE:
                # Most large chunks are but a part of an answer, and the rows in them are not looked for twice.
                if data[-_READY_BYTES:] not in _READIES:
                    return None
                starts, at = chunks.rows(data, begin, messages.DATA_ROW)
            else:
                while at <= last:
                    kind, length = header(data, at)
                    if kind != messages.DATA_ROW or length < 4:
                        break
                    few.append(at - begin)
                    at += 1 + length
            limit = run.statement.limit
            if limit is not None and len(starts) > run.left(limit):
                return None
        elif portal is not None:
            if not data.startswith(_BOUND + _NO_DATA):
                return None
            at = begin = len(_BOUND) + len(_NO_DATA)
        else:
            at = 0
        if len(data) - at > _LONGEST_END:
            return None
        ending = self._ending(data[at:])
        return None if ending is None else Known(run, portal, plan, starts, begin, at, *ending)

    def _head(self, run: Run, portal: Portal | None, data: bytes) -> tuple[bytes, Plan] | None:
        """What the answer begins with up to its first row, if its columns are known and leave as they came."""
        at = 0 if portal is None else len(_BOUND)
        if len(data) < at + HEADER_BYTES or (at and not data.startswith(_BOUND)):
            return None
        kind, length = header(data, at)
        end = at + 1 + length
        if kind != messages.ROW_DESCRIPTION or length < 4 or end > min(len(data), _LONGEST_HEAD):
            return None
        plan = self._plans.known(run.statement, data[at + HEADER_BYTES : end])
        if plan is None or plan.message is not None:
            return None
        if plan.facts is not run.statement.facts:
            return data[:end], plan
        return self._heads.put((id(plan.facts), portal is not None), (data[:end], plan))

    def _ending(self, tail: bytes) -> tuple[str, int] | None:
        """The tag and the status of a CommandComplete that was seen before, and a ReadyForQuery behind it."""
        known = self._endings.get(tail)
        if known is not None:
            return known
        split = len(tail) - _READY_BYTES
        if split < HEADER_BYTES or tail[split:] not in _READIES:
            return None
        tag = self._texts.get_tag(tail[HEADER_BYTES:split])
        if header(tail, 0) != (messages.COMMAND_COMPLETE, split - 1) or tag is None or tag[1] is not None:
            return None
        return self._endings.put(tail, (tag[0], tail[-1]))
