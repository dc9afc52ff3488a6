"""The server's half of the serving phase: answers to the client's commands, and to gatepost's own around them.

The client sees nothing of the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from gatepost.adapter import Action, Environment, SendUpstream
from gatepost.errors import UpstreamFault
from gatepost.values import Facts
from gatepost_mysql import beside, codes, guarding, messages, settings
from gatepost_mysql.beside import Beside
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.frames import frame, packets_of
from gatepost_mysql.guarding import Guard
from gatepost_mysql.replies import Replies, Said, State
from gatepost_mysql.results import alike
from gatepost_mysql.runs import Prepared, Run
from gatepost_mysql.understanding import Understanding


class Answers(Replies):
    """The server's messages, changed where plugins say so, without those that answer gatepost's own commands."""

    def __init__(
        self,
        environment: Environment,
        capabilities: Capability,
        status: int,
        understanding: Understanding,
        *,
        read_only: bool,
    ) -> None:
        super().__init__(environment, capabilities, status, understanding)
        self._beside: tuple[Beside, Prepared] | None = None
        self._guard: Guard | None = None
        self._upkeep = settings.Upkeep(has_eof=self._has_eof, read_only=read_only)
        # What goes on by itself, before the client's next command.
        self._next: list[Callable[[], Action]] = []

    def guard(self, run: Run, guard: Guard, length: int) -> Action:
        """What begins a statement that is undone where it has a row too many; `length` is that of its own command."""
        self._stream.begin(length, run)
        guard.number = self._stream.out
        self._guard = guard
        return self._go_on()

    def prepare_beside(self, run: Run, length: int, then: Beside, executed: Prepared) -> None:
        """A text of gatepost's own, which is then executed in the place of what is prepared."""
        self._begin(State.BESIDE, length, run)
        self._stream.out = packets_of(len(then.execution))
        self._beside = then, executed

    def check_settings(self) -> None:
        """See, before the client's next command, whether it will be read as it is judged."""
        self._upkeep.ask()

    def _follow_up(self) -> Action | None:
        if self._next:
            return self._next.pop(0)()
        if not self._upkeep.due:
            return None
        command = messages.query(self._upkeep.begin(), self._capabilities)
        self._begin(State.OWN, len(command), None)
        return SendUpstream(frame(command, 0))

    def _take(self, message: bytes) -> Said:
        answer = super()._take(message)
        return answer if self._guard is None else self._guard.hold(answer)

    def _finish(self) -> None:
        if self._guard is not None and not self._guard.is_over:
            self._guard.over(self._stream.out, is_too_long=self._stream.is_muted)
            self._state = State.NOTHING
            self._next.append(self._go_on)
            return
        super()._finish()
        self._beside = None

    def _changed(self, facts: Facts, *, failed: bool) -> None:
        super()._changed(facts, failed=failed)
        if settings.may_change(facts):
            self.check_settings()

    def _prepared_beside(self, message: bytes) -> Said:
        assert self._beside is not None
        assert self._stream.run is not None
        run, (then, executed) = self._stream.run, self._beside
        if message[:1] == b"\xff":
            return self._failed(message)
        if not then.take(message, has_eof=self._has_eof):
            return ()
        fits = not self._may_skip or alike(then.definitions, executed.definitions, self._capabilities)
        if not (then.fits and fits):
            deny = beside.OTHER_COLUMNS if then.fits else beside.OTHER_PARAMETERS
            run.error, run.message = str(codes.OF_DENIAL[deny.code][0]), deny.reason
            self._next.append(lambda: SendUpstream(frame(then.close(), 0)))
            self._finish()
            return (messages.refusal(deny),)
        self._state = State.NOTHING
        self._next.append(lambda: self._execute_beside(run, then, executed))
        return ()

    def _execute_beside(self, run: Run, then: Beside, executed: Prepared) -> Action:
        commands = then.commands()
        # What the server tells of it is not of what the client has prepared.
        self.query(run, len(commands[-1]), replace(executed, definitions=then.definitions))
        self._stream.out = packets_of(len(then.execution))
        return SendUpstream(b"".join(frame(command, 0) for command in (*commands, then.close())))

    def _go_on(self) -> Action:
        """The next of the commands around a guarded statement, or the statement itself."""
        assert self._guard is not None
        text = self._guard.next()
        if text is None:
            return self._guard.start()
        command = messages.query(text, self._capabilities)
        self._begin(State.GUARDING, len(command), self._stream.run)
        self._stream.out = self._guard.number
        return SendUpstream(frame(command, 0))

    def _guarded(self, message: bytes) -> Said:
        guard, run = self._guard, self._stream.run
        assert guard is not None
        assert run is not None
        if message[:1] == b"\x00":
            self.status = guard.taken(message)
        elif message[:1] != b"\xff":
            raise UpstreamFault("the server sent a message that it does not owe")
        elif guard.refused(has_failed=bool(run.error)):
            run.error, run.message, encoded = self._texts.error(message)
            guard.answer = (encoded or message,)
        if guard.is_left or not (guard.is_over or run.error):
            self._state = State.NOTHING
            self._next.append(self._go_on)
            return ()
        if guard.has_undone:
            deny = run.excess(guarding.SOME_REMAINS if guard.remains else guarding.UNDONE)
            run.message, guard.answer = deny.reason, (messages.refusal(deny),)
        self._guard = None
        self._finish()
        return tuple(guarding.with_status(said, self.status) for said in guard.answer)

    def _own(self, message: bytes) -> Said:
        if self._upkeep.take(message):
            self._understanding.is_in(self._upkeep.database)
            self._state = State.NOTHING
        return ()

    HANDLERS: ClassVar[Mapping[int, Callable[[Any, bytes], Said]]] = {
        **Replies.HANDLERS,
        State.OWN: _own,
        State.BESIDE: _prepared_beside,
        State.GUARDING: _guarded,
    }
