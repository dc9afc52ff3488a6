"""The rows of the answers: framed, counted, shown to plugins and changed where these say so, or passed as they come."""

from __future__ import annotations

from typing import TypeAlias

from gatepost.adapter import Environment
from gatepost.errors import FaultCode, UpstreamFault
from gatepost_postgres import chunks
from gatepost_postgres.chunks import LARGE, Starts
from gatepost_postgres.frames import HEADER_BYTES, LONGEST, header
from gatepost_postgres.ledger import Ledger
from gatepost_postgres.limits import stop_at
from gatepost_postgres.owed import Owed, Run, State
from gatepost_postgres.results import UNWATCHED, Plan

# The message to send instead, b"" for none, None to send it as it came.
Change: TypeAlias = bytes | None


class Stream:
    """Rows as they come.

    Attributes:
        passing: how much is still to come of a row whose begin has left for the client.
        replies: what the server is told because a row is one too many.
    """

    def __init__(self, environment: Environment, ledger: Ledger) -> None:
        self._hooks = environment.hooks
        self._message_bytes = environment.limits.message_bytes
        self._ledger = ledger
        self.passing = 0
        self.replies: list[bytes] = []

    def pass_rest(self, available: int) -> int:
        """How much of what has come, so many bytes, is the rest of that row."""
        taken = min(self.passing, available)
        self.passing -= taken
        return taken

    def bound(self, length: int) -> None:
        """See whether a message of this length may be held whole."""
        if length > self._message_bytes:
            raise UpstreamFault(
                f"the server sent a message longer than {self._message_bytes} bytes, which would have to be held whole",
                code=FaultCode.TOO_LARGE,
                hint="select less in one row, or have the limit on message sizes raised",
            )

    def rows(self, head: Owed, data: bytes, position: int, stop: int) -> tuple[int, Change]:
        """All rows in `data` from `position` on, the first of which ends at `stop`. Returns where they end."""
        plan, run = head.plan, head.run
        if plan is None or run is None:
            plan, run = self._open_rows(head)
        kind, end, start, most = data[position], len(data), position, -1
        last = end - HEADER_BYTES
        if run.statement.limit is not None:
            most = run.left(run.statement.limit)
            if most <= 0:
                self.replies.append(stop_at(run.statement.limit, head, run, ledger=self._ledger))
                return (stop, b"") if stop <= end else (position, None)
        elif not plan.is_watched:
            count, position = 1, stop
            if last - position >= LARGE:
                more, position = chunks.rows(data, position, kind)
                count += len(more)
            while position <= last:
                next_kind, length = header(data, position)
                if next_kind != kind or length < 4 or length > LONGEST:
                    break
                count += 1
                position += 1 + length
            run.rows += count
            run.row_bytes += position - start
            if position > end:
                self.passing = position - end
                position = end
            return position, None
        few: list[int] = []
        starts: Starts = few
        if last - position >= LARGE:
            starts, position = chunks.rows(data, position, kind)
            if position <= last and data[position] == kind:
                self.bound(header(data, position)[1])
        else:
            while stop <= end:
                few.append(position - start)
                position = stop
                if position > last:
                    break
                next_kind, length = header(data, position)
                if next_kind != kind or length < 4:
                    break
                stop = position + 1 + length
            else:
                self.bound(stop - position - 1)
        if position == start:
            return position, None
        if 0 <= most < len(starts):
            position = start + int(starts[most])
            starts = starts[:most]
        rows = data if position - start == end else data[start:position]
        change = self.changed(plan, run, rows, starts)
        run.rows += len(starts)
        if change is None:
            run.row_bytes += len(rows)
            # What ends amid a row cannot leave as it came: the rows do, without another copy.
            is_cut = position < end and (position > last or data[position] == kind)
            return position, rows if is_cut else None
        run.row_bytes += len(change)
        return position, change

    def _open_rows(self, head: Owed) -> tuple[Plan, Run]:
        """What to do with the rows of an Execute, whose portal is known only now that it answers."""
        portal = self._ledger.portal_of(head)
        if portal is None or (portal.plan is None and self._hooks.wants_rows):
            raise UpstreamFault("the server sent rows of unknown columns")
        head.plan, head.run, head.state = portal.plan or UNWATCHED, portal.run, State.EXECUTE_ROWS
        return head.plan, head.run

    def changed(self, plan: Plan, run: Run, rows: bytes, starts: Starts) -> Change:
        """Show rows to the plugins that may want them, each beginning at one of `starts`."""
        if not plan.is_watched or (plan.maybe is not None and not plan.maybe(rows)):
            return None
        batch = plan.batch(plan.description, rows, starts)
        self._hooks.rows(batch, plan.interest)
        if not batch.changed:
            return None
        run.masked += batch.masked
        run.rows -= batch.dropped
        return batch.output()
