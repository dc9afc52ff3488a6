"""Answers like others before them: known by the bytes of their columns and of their end, and not taken apart again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gatepost.cache import Cache
from gatepost_mysql import messages
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.frames import HEADER_BYTES, LONGEST, frame, header
from gatepost_mysql.results import Plan
from gatepost_mysql.runs import Run

_EOF_BYTES: Final = 5
_EOF_PACKET: Final = HEADER_BYTES + _EOF_BYTES
# Statuses by which an answer is not over, or not all of it is here.
_MORE: Final = messages.MORE_RESULTS | messages.CURSOR_EXISTS
_LONGEST_HEAD: Final = 16 * 1024


class Known(NamedTuple):
    """An answer as a whole.

    Attributes:
        plan: what to do with its rows.
        starts: where each begins; they end at `end`, and what comes before `begin` is columns.
        number: of the first row's packet.
        status: the flags behind the rows.
    """

    plan: Plan
    starts: list[int]
    begin: int
    end: int
    number: int
    status: int


class _Begin(NamedTuple):
    """How an answer begins: up to its columns, how many packets that is, and what becomes of its rows.

    Attributes:
        definitions: the columns, as they came; held, so that no others get their identity.
    """

    head: bytes
    packets: int
    plan: Plan
    definitions: Sequence[bytes]


class Usual:
    """What was seen in a session.

    Args:
        capabilities: what was agreed on.
    """

    def __init__(self, capabilities: Capability) -> None:
        self._has_eof = not capabilities & Capability.DEPRECATE_EOF
        # What stands behind the number of columns where they follow.
        self._follow = b"\x01" if capabilities & Capability.CACHE_METADATA else b""
        # By the identity of the facts, and whether rows are binary or, where columns are left out, which those are.
        self._begins: Cache[tuple[int, int], _Begin] = Cache()
        self._ends: Cache[bytes, int] = Cache()

    def note_columns(self, run: Run, definitions: Sequence[bytes], plan: Plan, *, is_binary: bool) -> None:
        """A statement's first result has these columns. Those that are changed are not usual."""
        if tuple(definitions) != plan.definitions or len(definitions) > 250 or plan.facts is not run.statement.facts:
            return
        said = (bytes((len(definitions),)) + self._follow, *definitions)
        head = b"".join(frame(message, number) for number, message in enumerate(said, 1))
        if len(head) <= _LONGEST_HEAD:
            begin = _Begin(head, len(said), plan, definitions)
            self._begins.put((id(run.statement.facts), is_binary), begin)

    def note_skipped(self, run: Run, message: bytes, definitions: Sequence[bytes], plan: Plan) -> None:
        """A statement's first result has begun with this, and has left these columns out."""
        if plan.facts is run.statement.facts:
            begin = _Begin(frame(message, 1), 1, plan, definitions)
            self._begins.put((id(run.statement.facts), id(definitions)), begin)

    def note_end(self, message: bytes, status: int) -> None:
        """Rows have ended so, and nothing of it was changed."""
        if not status & _MORE:
            self._ends.put(message, status)

    def find(self, run: Run, data: bytes, skipped: Sequence[bytes], *, is_binary: bool) -> Known | None:
        """What an answer is, if it is usual and all there.

        Args:
            skipped: the columns that it may leave out.
        """
        facts = id(run.statement.facts)
        known = self._begins.get((facts, id(skipped))) if skipped else None
        if known is None or not data.startswith(known[0]):
            known = self._begins.get((facts, is_binary))
            if known is None or not data.startswith(known[0]):
                return None
        head, packets, plan, _ = known
        at, end = len(head), len(data)
        number = packets + 1
        if self._has_eof:
            if not self._is_eof(data, at, number):
                return None
            at, number = at + _EOF_PACKET, number + 1
        begin, first = at, number
        starts = []
        while end - at > HEADER_BYTES:
            (word,) = header(data, at)
            length = word & LONGEST
            if word >> 24 != number & 0xFF or length in (0, LONGEST):
                return None
            if data[at + HEADER_BYTES] >= messages.EOF:
                break
            starts.append(at)
            at += HEADER_BYTES + length
            number += 1
        else:
            return None
        status = self._ends.get(data[at + HEADER_BYTES :])
        if status is None or at + HEADER_BYTES + length != end:
            return None
        if run.limit is not None and len(starts) > (run.left or 0):
            return None
        return Known(plan, starts, begin, at, first, status)

    def _is_eof(self, data: bytes, at: int, number: int) -> bool:
        packet = data[at : at + _EOF_PACKET]
        return (
            len(packet) == _EOF_PACKET
            and packet[:HEADER_BYTES] == bytes((_EOF_BYTES, 0, 0, number & 0xFF))
            and packet[HEADER_BYTES] == messages.EOF
            and not int.from_bytes(packet[-2:], "little") & _MORE
        )
