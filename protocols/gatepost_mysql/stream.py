"""The packets of one answer: their numbers towards both sides, and its rows, which may be changed or stay back.

Source: MySQL internals manual, "Text Resultset" and "Binary Protocol Resultset".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatepost.adapter import Hooks
from gatepost.errors import FaultCode, UpstreamFault
from gatepost.partial import Partial
from gatepost.values import Effect
from gatepost_mysql import chunks, codes, frames, messages
from gatepost_mysql.chunks import Starts
from gatepost_mysql.frames import HEADER_BYTES, LONGEST, frame, header, packets_of
from gatepost_mysql.results import Plan
from gatepost_mysql.rows import Batch
from gatepost_mysql.runs import Run
from gatepost_mysql.usual import Known

_READING: Final = frozenset((Effect.READ, Effect.CONTROL))
_CHANGED: Final = ", and what the statement has changed, if anything, stays so"


class Stream:
    """The answer that is under way.

    Args:
        message_bytes: how long a message may be that has to be held whole.
        partial: where the begin of a packet is kept whose rest has not come.

    Attributes:
        run: the statement that is answered, if it is one.
        plan: what to do with the rows that come.
        out: the number of the client's next packet.
        is_muted: the client has been told of an error, and sees no more of the answer.
    """

    def __init__(self, hooks: Hooks, message_bytes: int, partial: Partial) -> None:
        self._hooks = hooks
        self._message_bytes = message_bytes
        self._partial = partial
        self._number = 0
        self._is_amid_row = False
        self.run: Run | None = None
        self.plan: Plan | None = None
        self.out = 0
        self.is_muted = False

    @property
    def place(self) -> tuple[int, bool, bool]:
        """How far the client has got."""
        return self.out, self.is_muted, self._is_amid_row

    @place.setter
    def place(self, place: tuple[int, bool, bool]) -> None:
        self.out, self.is_muted, self._is_amid_row = place

    @property
    def is_amid_row(self) -> bool:
        """A part of a row has left for the client."""
        return self._is_amid_row and not self.is_muted

    @property
    def is_fresh(self) -> bool:
        """Nothing of the answer has come, and it will begin with number 1."""
        return self._number == self.out == 1 and not self.is_muted

    def is_all(self, packets: int) -> bool:
        """So many packets are all that has come of an answer that begins with number 1."""
        return self._number == packets + 1

    def begin(self, length: int, run: Run | None) -> None:
        """A command of this length was sent."""
        self._number = self.out = packets_of(length)
        self.run = run
        self.plan = None
        self.is_muted = False

    def end(self) -> None:
        self.run = self.plan = None
        self.is_muted = False

    def check(self, word: int) -> None:
        """See whether the packet with this header is the next one, and may be held."""
        self._check(word, self._number)
        self._bound(word & LONGEST)

    def next(self) -> None:
        """The packet has come."""
        self._number += 1

    def go_on(self, number: int) -> None:
        """The client has sent packets amid the answer, which goes on with this number."""
        self._number = self.out = number

    def say(self, message: bytes) -> bytes:
        """A message for the client."""
        data = frame(message, self.out)
        self.out += packets_of(len(message))
        return data

    def _bound(self, length: int) -> None:
        if length == LONGEST or length > self._message_bytes:
            raise self._too_long()

    def answer(self, data: bytes, known: Known) -> bytes:
        """What leaves of an answer that is there as a whole: its rows may be changed."""
        run, plan = self.run, known.plan
        assert run is not None
        begin, end, starts = known.begin, known.end, known.starts
        run.rows, run.row_bytes = len(starts), end - begin
        if not len(starts) or not plan.is_watched:
            return data
        rows = data[begin:end]
        batch = self._judged(plan, rows, starts) if plan.matters(rows) else None
        if batch is None:
            return data
        rows = batch.packets(known.number)
        run.rows -= batch.dropped
        run.row_bytes = len(rows)
        rest = data[end:]
        if batch.dropped or len(rows) > LONGEST:
            rest = frames.renumber(rest, known.number + frames.count(rows))
        return b"".join((data[:begin], rows, rest))

    def rows(self, data: bytes, position: int) -> tuple[int, bytes | None]:
        """All whole rows from `position` on: where they end, and what leaves.

        Where there are none, None says that more has to come, and b"" that what comes is no row.
        """
        if self.is_muted:
            return self._skipped(data, position)
        at = position
        if not self._is_amid_row:
            starts, at = chunks.rows(data, position, self._number)
            if len(starts):
                return self._shown(data, position, at, starts)
        if len(data) - at > HEADER_BYTES:
            (word,) = header(data, at)
            length = word & LONGEST
            self._check(word, self._number)
            if length == LONGEST or self._is_amid_row:
                return self._long_row(data, at)
            if data[at + HEADER_BYTES] >= messages.EOF:
                return at, b""
            if not length:
                raise UpstreamFault("the server sent an empty row")
            self._bound(length)
            self._partial.keep(data[at:], HEADER_BYTES + length)
            return at, None
        if not header(data, at)[0] & LONGEST and not self._is_amid_row:
            raise UpstreamFault("the server sent an empty row")
        self._partial.keep(data[at:], HEADER_BYTES + 1)
        return at, None

    def _shown(self, data: bytes, position: int, end: int, starts: Starts) -> tuple[int, bytes]:
        run, plan = self.run, self.plan
        assert run is not None
        assert plan is not None
        is_over = False
        if run.left is not None and len(starts) > run.left:
            end = position + int(starts[run.left])
            starts = starts[: run.left]
            if not len(starts):
                error = b"".join(map(self.say, self.stop(run)))
                return self._skipped(data, position)[0], error
            is_over = True
        rows = data if end - position == len(data) else data[position:end]
        number, self._number = self._number, self._number + len(starts)
        batch = self._judged(plan, rows, starts) if plan.is_watched and plan.matters(rows) else None
        if batch is None:
            if self.out != number:
                rows = frames.renumber(rows, self.out)
            self.out += len(starts)
            run.rows += len(starts)
        else:
            rows = batch.packets(self.out)
            left = len(starts) - batch.dropped
            # No row in so few bytes is in several packets.
            self.out += left if len(rows) <= LONGEST else frames.count(rows)
            run.rows += left
        run.row_bytes += len(rows)
        return end, rows + b"".join(map(self.say, self.stop(run))) if is_over else rows

    def _judged(self, plan: Plan, rows: bytes, starts: Starts, *, is_joined: bool = False) -> Batch | None:
        """Show rows that may matter to the plugins. Returns the batch if they have changed it."""
        batch = Batch(plan.description, rows, starts, is_joined=is_joined)
        self._hooks.rows(batch, plan.interest)
        if not batch.changed:
            return None
        assert self.run is not None
        self.run.masked += batch.masked
        return batch

    def _long_row(self, data: bytes, position: int) -> tuple[int, bytes | None]:
        """A row of 16 MB and more, in several packets. It is held whole only where plugins want to see it."""
        run, plan = self.run, self.plan
        assert run is not None
        assert plan is not None
        stop, number, is_last = position, self._number, False
        while not is_last:
            if len(data) - stop < HEADER_BYTES:
                self._partial.keep(data[position:], stop - position + HEADER_BYTES)
                return position, None
            (word,) = header(data, stop)
            self._check(word, number)
            length = word & LONGEST
            stop += HEADER_BYTES + length
            number += 1
            if plan.is_watched and stop - position > self._message_bytes:
                raise self._too_long()
            if stop > len(data):
                self._partial.keep(data[position:], stop - position)
                return position, None
            is_last = length < LONGEST or not plan.is_watched
        packets, self._number = number - self._number, number
        rows = data[position:stop]
        if run.left == 0 and not self._is_amid_row:
            self._is_amid_row = not plan.is_watched and (header(rows, 0)[0] & LONGEST) == LONGEST
            return stop, b"".join(map(self.say, self.stop(run)))
        if plan.is_watched:
            row = frames.payload(rows)
            batch = self._judged(plan, row, (0,), is_joined=True) if plan.matters(row) else None
            rows = frame(row, self.out) if batch is None else batch.packets(self.out)
            run.rows += 1 if batch is None else 1 - batch.dropped
            self.out += frames.count(rows)
        else:
            rows = frames.renumber(rows, self.out)
            self.out += packets
            self._is_amid_row = (header(rows, 0)[0] & LONGEST) == LONGEST
            run.rows += not self._is_amid_row
        run.row_bytes += len(rows)
        return stop, rows

    def stop(self, run: Run) -> Sequence[bytes]:
        """One row is too many: the messages that tell the client so, which sees nothing of what is behind.

        There is none where it is told when what the statement has changed is undone.
        """
        is_reading = run.statement.facts.effect in _READING
        deny = run.excess("" if is_reading or run.is_guarded else _CHANGED)
        run.error, run.message = str(codes.OF_DENIAL[deny.code][0]), deny.reason
        self.is_muted = True
        return () if run.is_guarded else (messages.refusal(deny),)

    def _skipped(self, data: bytes, position: int) -> tuple[int, bytes | None]:
        """Rows that nobody sees: where they end, as `_rows` returns it."""
        at = position
        while len(data) - at > HEADER_BYTES:
            (word,) = header(data, at)
            length = word & LONGEST
            self._check(word, self._number)
            if length != LONGEST and not self._is_amid_row and data[at + HEADER_BYTES] >= messages.EOF:
                return at, b""
            if len(data) - at < HEADER_BYTES + length:
                break
            at += HEADER_BYTES + length
            self._number += 1
            self._is_amid_row = length == LONGEST
        if at > position:
            return at, b""
        length = header(data, at)[0] & LONGEST
        self._partial.keep(data[at:], HEADER_BYTES + max(length, 1))
        return at, None

    def _check(self, word: int, number: int) -> None:
        if word >> 24 != number & 0xFF:
            raise UpstreamFault("the server's packets are out of order")

    def _too_long(self) -> UpstreamFault:
        return UpstreamFault(
            f"the server sent a message longer than {self._message_bytes} bytes, which would have to be held whole",
            code=FaultCode.TOO_LARGE,
            hint="Select less in one row, or have the limit on message sizes raised.",
        )
