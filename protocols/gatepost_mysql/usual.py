"""Answers like others before them: known by the bytes of their columns and of their end, and not taken apart again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gatepost.cache import Cache
from gatepost_mysql import messages
from gatepost_mysql.chunks import Starts, rows
from gatepost_mysql.frames import HEADER_BYTES, frame, header
from gatepost_mysql.results import Plan
from gatepost_mysql.runs import Run

# Statuses by which an answer is not over, or not all of it is here.
_MORE: Final = messages.MORE_RESULTS | messages.CURSOR_EXISTS
_LONGEST_HEAD: Final = 16 * 1024
_LONGEST_END: Final = 256


class Known(NamedTuple):
    """An answer as a whole.

    Attributes:
        plan: what to do with its rows.
        starts: where each begins, from `begin` on; they end at `end`, and what comes before `begin` is columns.
        number: of the first row's packet.
        status: the flags behind the rows.
    """

    plan: Plan
    starts: Starts
    begin: int
    end: int
    number: int
    status: int


class _Begin(NamedTuple):
    """How an answer begins: up to its first row, how many packets that is, and what becomes of its rows.

    Attributes:
        skipped: the columns that it may leave out; held, so that no others get their identity.
    """

    head: bytes
    packets: int
    plan: Plan
    skipped: Sequence[bytes]


class Usual:
    """What was seen in a session."""

    def __init__(self) -> None:
        # By the identity of the facts, and of the columns that may be left out; and whether rows are binary.
        self._begins: Cache[tuple[int, int, bool], _Begin] = Cache()
        self._ends: Cache[bytes, int] = Cache()

    def note_begin(
        self, run: Run, said: Sequence[bytes], plan: Plan, skipped: Sequence[bytes], *, is_binary: bool
    ) -> None:
        """A statement's answer has begun with these messages, of which nothing was changed."""
        facts = run.statement.facts
        if plan.facts is not facts:
            return
        head = b"".join(frame(message, number) for number, message in enumerate(said, 1))
        if len(head) <= _LONGEST_HEAD:
            self._begins.put((id(facts), id(skipped), is_binary), _Begin(head, len(said), plan, skipped))

    def note_end(self, message: bytes, status: int) -> None:
        """Rows have ended so, and nothing of it was changed."""
        if not status & _MORE and len(message) <= _LONGEST_END:
            self._ends.put(message, status)

    def find(self, run: Run, data: bytes, skipped: Sequence[bytes], *, is_binary: bool) -> Known | None:
        """What an answer is, if it is usual and all there.

        Args:
            skipped: the columns that it may leave out.
        """
        known = self._begins.get((id(run.statement.facts), id(skipped), is_binary))
        if known is None or not data.startswith(known[0]):
            return None
        head, packets, plan, _ = known
        number = packets + 1
        starts, end = rows(data, len(head), number)
        length = len(data) - end - HEADER_BYTES
        if length <= 0 or header(data, end)[0] != length | (number + len(starts) & 0xFF) << 24:
            return None
        status = self._ends.get(data[end + HEADER_BYTES :])
        if status is None:
            return None
        if run.limit is not None and len(starts) > (run.left or 0):
            return None
        return Known(plan, starts, len(head), end, number, status)
