"""The books of a session: what is unanswered, which statements are under way, what the server knows by name.

The client's half writes down what it sends, the server's half strikes out what is answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from gatepost.adapter import Action, Ended, Redefined
from gatepost.errors import ClientFault
from gatepost.values import Effect, Limit
from gatepost_postgres.names import Names
from gatepost_postgres.owed import CATALOGUE, NAMES, PATH, SETTINGS, SYNC_OWED, Owed, Portal, Prepared, Run, State

IDLE: Final = ord("I")
# After these, a name may stand for another thing.
TURNING: Final = PATH | CATALOGUE | NAMES


class Mode:
    """What the server does with the client's messages.

    SKIPPING: it discards them up to a Sync that was not sent yet. COPYING_IN: it takes COPY data alone, and ignores
    Flush and Sync. LIMITED: it may yet be made to fail for the rows of the last statement; nothing but a Sync is
    sent behind that until it is answered. HELD: the same, and not even a Sync, which would commit.
    """

    NORMAL: Final = 0
    SKIPPING: Final = 1
    COPYING_IN: Final = 2
    LIMITED: Final = 3
    HELD: Final = 4


class Ledger:
    """What is under way.

    Attributes:
        owed: what the server owes, in the order in which it will answer.
        ended: statements that have ended since this was last emptied.
        prepared, portals: what the server knows by name.
        bound: the named portals that Bind messages have made, and in which batch. They may be there still where
            `portals` has forgotten them, because a statement has opened or closed cursors.
        mode: what the server does with what comes next.
        skipped_for: code and message of the error that it discards messages for.
        is_draining: COPY data may still come for a COPY that has failed; the server ignores it.
        forgetting: how many statements under way remove or make prepared statements by name.
        marks: how many entries of `owed` are COPY_IN_ENDED.
        status: of the last ReadyForQuery.
        batch: number of the batch that is being sent; a batch is what ends in one ReadyForQuery.
        answered: how many batches the server has answered with ReadyForQuery.
        changing, moving, defining: the latest batch that holds a statement which unsettles the settings, the search
            path or the catalogue, -1 for none.
        turns: how often what a name stands for may have become another thing.
        is_redefined: the catalogue may have changed for all, and nobody was told yet.
        cursors: the limit on what cursors show, None for none; it is that of the strictest DECLARE.
        fetched: how many rows they have shown since that.
        acting: the latest batch that holds a statement which does more than read, -1 for none.
    """

    def __init__(self) -> None:
        self.owed: deque[Owed] = deque()
        self.ended: list[Action] = []
        self.prepared: Names[Prepared] = Names()
        self.portals: Names[Portal] = Names()
        self.bound: dict[bytes, int] = {}
        self.mode = Mode.NORMAL
        self.skipped_for = ("", "")
        self.is_draining = False
        self.forgetting = 0
        self.marks = 0
        self.status = IDLE
        self.batch = self.answered = 0
        self.cursors: Limit | None = None
        self.fetched = 0
        self.changing = self.moving = self.defining = self.acting = -1
        self.turns = 0
        self.is_redefined = False
        # The open transaction has changed the catalogue, as far as this session sees it.
        self._has_defined = False
        self._runs: dict[int, Run] = {}

    @property
    def is_idle(self) -> bool:
        return not self.owed and self.mode == Mode.NORMAL and self.status == IDLE

    @property
    def batch_is_open(self) -> bool:
        """Messages are unanswered, and no Sync behind them makes the server answer."""
        return bool(self.owed) and not (self.owed[-1].state == State.SYNC or self.owed[-1].is_query)

    @property
    def is_redefining(self) -> bool:
        """For this session the catalogue may be another one than for all."""
        return self._has_defined or self.defining >= self.answered

    @property
    def names_are_moving(self) -> bool:
        """What the name of a prepared statement stands for depends on answers that are still to come."""
        return bool(self.forgetting) or self.prepared.is_moving

    # Statements.

    def start(self, run: Run) -> None:
        self._runs[run.statement.number] = run
        if run.statement.facts.effect is not Effect.READ and not run.statement.is_preparation:
            self.acting = self.batch
        if run.forgets is not None or run.prepares is not None:
            self.forgetting += 1

    def sent(self, run: Run) -> None:
        """A statement that unsettles something is sent in this batch."""
        if run.unsettles & SETTINGS:
            self.changing = self.batch
        if run.unsettles & PATH:
            self.moving = self.batch
        if run.unsettles & CATALOGUE:
            self.defining = self.batch
        if run.unsettles & TURNING:
            self.turns += 1

    def end(self, run: Run) -> None:
        """The answer to a statement is complete, or nothing can come of it any more."""
        if run.is_over:
            return
        run.is_over = True
        del self._runs[run.statement.number]
        self.ended.append(Ended(run.statement, run.outcome()))
        has_done = not run.error or run.statement.facts.statements > 1
        if run.forgets is not None:
            self.forgetting -= 1
            if has_done:
                self._forget_prepared(run.forgets)
        elif run.prepares is not None:
            self.forgetting -= 1
            # A portal that was never executed has prepared nothing.
            if run.tag and not run.error:
                name, prepared = run.prepares
                self.prepared.settled[name] = prepared
        if run.unsettles & CATALOGUE and has_done:
            self._has_defined = True
        if run.forgets_portals:
            self.forget_portals()
        if run.fetched is not None:
            self.fetched += run.rows

    def ready(self, status: int) -> None:
        """The server has answered a batch."""
        self.status = status
        self.answered += 1
        if self.mode >= Mode.LIMITED and not self.owed:
            self.mode = Mode.NORMAL
        if status == IDLE:
            if self.portals.settled:
                self.forget_portals()
            if self.bound:
                self.bound = {name: batch for name, batch in self.bound.items() if batch >= self.answered}
            if self._has_defined:
                self._has_defined = False
                self.is_redefined = True

    def fail_all(self, code: str, message: str) -> None:
        """An error that ends the session: nothing more comes of what is under way."""
        for run in self._runs.values():
            run.error, run.message = code, message

    def never_ran(self, run: Run) -> None:
        """The end of a statement that was allowed after the server had begun to discard messages."""
        run.error, run.message = self.skipped_for
        self.ended.append(Ended(run.statement, run.outcome()))

    def abort(self) -> list[Action]:
        """The session is over: what is under way ends incomplete, behind what has ended."""
        runs, self._runs = self._runs, {}
        ended, self.ended = self.ended, []
        if self.is_redefining or self.is_redefined:
            ended.insert(0, Redefined())
        return [*ended, *(Ended(run.statement, run.outcome(complete=False)) for run in runs.values())]

    # Names.

    def portal_of(self, owed: Owed) -> Portal | None:
        """The portal that an Execute or a Describe means. Known for sure only when it is answered."""
        return owed.portal or self.portals.settled.get(owed.name)

    def has_bound(self, names: Iterable[str]) -> bool:
        """One of these may be a portal that a Bind message has made."""
        return any(name.encode() in self.bound for name in names)

    def forget_portals(self) -> None:
        """The transaction has ended, or cursors may have been replaced by name."""
        portals = self.portals.settled
        while portals:
            _, portal = portals.popitem()
            if not portal.run.is_over:
                self.end(portal.run)

    def _forget_prepared(self, name: bytes) -> None:
        if name:
            self.prepared.settled.pop(name, None)
        else:
            self.prepared.settled.clear()

    # Errors and COPY.

    def hold(self, run: Run) -> None:
        """The answer to a statement is asked for: if its rows are limited, what is behind it waits.

        Then it can still be undone as after an error, together with all of its batch.
        """
        if run.statement.limit is not None:
            self.mode = Mode.HELD if self.acting == self.batch else Mode.LIMITED

    def skip(self, code: str, message: str) -> None:
        """After an error in the extended protocol the server discards all up to the next Sync."""
        while self.owed:
            if self.owed[0].state == State.SYNC:
                return
            owed = self.owed.popleft()
            if owed.state == State.COPY_IN_ENDED:
                self.marks -= 1
            if owed.is_own:
                continue
            if owed.state == State.PARSE:
                self.prepared.end(owed.name, owed)
            elif owed.state == State.BIND:
                self.portals.end(owed.name, owed)
            elif owed.state == State.CLOSE:
                (self.portals if owed.is_portal else self.prepared).end(owed.name, owed)
                continue
            portal = self.portal_of(owed) if owed.is_portal else None
            run = portal.run if owed.run is None and portal is not None else owed.run
            if run is not None:
                run.error, run.message = code, message
                self.end(run)
            if owed.is_query:
                # It was sent behind a question; the Sync behind it ends its batch in its place (`asking`).
                self.answered += 1
                self.owed[0] = SYNC_OWED
        self.mode = Mode.SKIPPING
        self.skipped_for = (code, message)

    def copy_begins(self) -> None:
        """The server asks for COPY data. It ignores a Sync that was sent ahead of the data's end.

        Anything else in that place ends its session (src/backend/commands/copyfromparse.c, CopyGetData).
        """
        head = self.owed.popleft()
        while self.owed:
            owed = self.owed.popleft()
            if owed.state == State.COPY_IN_ENDED:
                self.marks -= 1
                break
            if owed.state == State.SYNC:
                # Its batch goes on in the next one.
                if self.changing == self.answered:
                    self.changing += 1
                if self.moving == self.answered:
                    self.moving += 1
                if self.defining == self.answered:
                    self.defining += 1
                self.answered += 1
            else:
                raise ClientFault("a message was sent where the database waits for COPY data")
        else:
            self.mode = Mode.COPYING_IN
        self.owed.appendleft(head)

    def copy_ended(self) -> None:
        """The client has sent CopyDone or CopyFail, perhaps ahead of the server's asking for data."""
        if self.mode == Mode.COPYING_IN:
            self.mode = Mode.NORMAL
        elif self.owed:
            self.owed.append(Owed(State.COPY_IN_ENDED))
            self.marks += 1

    def copy_is_over(self) -> None:
        """The server has ended the COPY, whether or not the client has."""
        if self.mode == Mode.COPYING_IN:
            self.mode = Mode.NORMAL
            self.is_draining = True

    def drop_marks(self) -> None:
        """COPY data has ended that the server did not ask for; it ignored all of it."""
        while self.owed and self.owed[0].state == State.COPY_IN_ENDED:
            self.owed.popleft()
            self.marks -= 1
