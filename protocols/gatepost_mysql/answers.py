"""The server's half of the serving phase: the answer to the one command that is under way.

Source: MySQL internals manual, "Text Resultset", "COM_STMT_PREPARE Response" and "Multi-Resultset".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, TypeAlias

from gatepost.adapter import Action, Ended, Environment, Redefined, SendClient, SendUpstream
from gatepost.errors import FaultCode, UpstreamFault
from gatepost.partial import Partial
from gatepost.values import Facts
from gatepost_mysql import beside, codes, guarding, messages, settings
from gatepost_mysql.beside import Beside
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.frames import HEADER_BYTES, LONGEST, Reader, frame, header, packets_of
from gatepost_mysql.guarding import Guard
from gatepost_mysql.results import Plans
from gatepost_mysql.runs import Preparation, Prepared, Run
from gatepost_mysql.stream import Stream
from gatepost_mysql.texts import Texts
from gatepost_mysql.understanding import Understanding
from gatepost_mysql.usual import Usual

# More columns than any server's tables or results can have.
_MAX_COLUMNS: Final = 1 << 16
_EOF_BYTES: Final = 5

# What a handler returns: the messages for the client.
Said: TypeAlias = Sequence[bytes]


class _State:
    """What the server's next message is. Plain numbers, for an enumeration's members are slow to reach."""

    NOTHING: Final = 0
    FIRST: Final = 1
    COLUMNS: Final = 2
    COLUMNS_EOF: Final = 3
    ROWS: Final = 4
    PREPARED: Final = 5
    DEFINITIONS: Final = 6
    DEFINITIONS_EOF: Final = 7
    SIMPLE: Final = 8
    STATISTICS: Final = 9
    CHECKING: Final = 10
    RESTRICTING: Final = 11
    BESIDE: Final = 12
    GUARDING: Final = 13


class Answers:
    """The server's messages, changed where plugins say so.

    Attributes:
        ended: statements that have ended since this was last emptied, and what they may have changed.
        prepared: prepared statements, by the server's numbers.
        status: the status flags that the server has told last.
    """

    def __init__(
        self,
        environment: Environment,
        capabilities: Capability,
        status: int,
        understanding: Understanding,
        *,
        read_only: bool,
    ) -> None:
        self._has_eof = not capabilities & Capability.DEPRECATE_EOF
        self._read_only = read_only
        self._understanding = understanding
        self._plans = Plans(environment.hooks, lambda: understanding.catalogue)
        self._usual = Usual(has_eof=self._has_eof)
        self._texts = Texts(environment.hooks, capabilities)
        self._partial = Partial()
        self._state = _State.NOTHING
        self._stream = Stream(environment.hooks, environment.limits.message_bytes, self._partial)
        self._is_binary = False
        self._executed: Prepared | None = None
        self._columns = 0
        self._definitions: list[bytes] = []
        self._groups: list[int] = []
        self._on_ok: Callable[[], None] | None = None
        self._checking: settings.Checking | None = None
        self._beside: tuple[Beside, Prepared] | None = None
        self._guard: Guard | None = None
        # Commands of gatepost's own that go before the client's next one.
        self._own: list[Callable[[], Action]] = []
        self.ended: list[Action] = []
        self.prepared: dict[int, Prepared] = {}
        self.status = status

    @property
    def is_busy(self) -> bool:
        """An answer is under way, so that no command may follow."""
        return self._state != _State.NOTHING

    @property
    def is_idle(self) -> bool:
        return not self.is_busy and not self.status & messages.IN_TRANSACTION

    @property
    def is_amid_message(self) -> bool:
        """A part of one of the server's messages has left for the client."""
        return self._stream.is_amid_row

    @property
    def next_number(self) -> int:
        """Of a packet that the client would take now."""
        return self._stream.out if self.is_busy and not self._stream.is_muted else 1

    # What was sent to the server; `length` is that of the command.

    def query(self, run: Run, length: int, executed: Prepared | None = None) -> None:
        """A text, or the execution of what is prepared."""
        self._begin(_State.FIRST, length, run)
        self._is_binary = executed is not None
        self._executed = executed

    def fetch(self, run: Run, length: int, executed: Prepared) -> None:
        self._begin(_State.ROWS, length, run)
        self._executed = executed
        self._stream.plan = executed.plan

    def guard(self, run: Run, guard: Guard, length: int) -> Action:
        """What begins a statement that is undone where it has a row too many; `length` is that of its own command."""
        self._stream.begin(length, run)
        guard.number = self._stream.out
        self._guard = guard
        return self._go_on()

    def prepare_beside(self, run: Run, length: int, then: Beside, executed: Prepared) -> None:
        """A text of gatepost's own, which is then executed in the place of what is prepared."""
        self._begin(_State.BESIDE, length, run)
        self._stream.out = packets_of(len(then.execution))
        self._beside = then, executed

    def prepare(self, run: Run, length: int) -> None:
        self._begin(_State.PREPARED, length, run)

    def simple(self, length: int, *, run: Run | None = None, on_ok: Callable[[], None] | None = None) -> None:
        """What is answered by an OK or an ERR."""
        self._begin(_State.SIMPLE, length, run)
        self._on_ok = on_ok

    def statistics(self, length: int) -> None:
        self._begin(_State.STATISTICS, length, None)

    def check_settings(self) -> None:
        """See, before the client's next command, whether it will be read as it is judged."""
        self._own.append(self._check)
        if self._read_only:
            self._own.append(self._restrict)

    def abort(self) -> list[Action]:
        """The session is over: what is under way ends incomplete, behind what has ended."""
        ended, self.ended = self.ended, []
        run, self._stream.run = self._stream.run, None
        return [*ended, Ended(run.statement, run.outcome(complete=False))] if run else ended

    # What comes back.

    def receive(self, data: bytes) -> list[Action]:
        joined = self._partial.join(data)
        if joined is None:
            return []
        data = joined
        if self._state == _State.FIRST and self._is_usual(data):
            usual: list[Action] = [SendClient(data), *self.ended]
            self.ended.clear()
            return usual
        position, end = 0, len(data)
        pieces: list[bytes] = []
        actions: list[Action] = []
        while end - position >= HEADER_BYTES:
            (word,) = header(data, position)
            if not self.is_busy:
                raise UpstreamFault("the server sent a message that it does not owe")
            if self._state == _State.ROWS:
                stop, rows = self._stream.rows(data, position)
                if stop > position:
                    if rows:
                        pieces.append(rows)
                    position = stop
                    continue
                if rows is None:
                    break
            stop = position + HEADER_BYTES + (word & LONGEST)
            self._stream.check(word)
            if stop > end:
                self._partial.keep(data[position:], stop - position)
                break
            self._stream.next()
            is_muted = self._stream.is_muted
            answer = self._HANDLERS[self._state](self, data[position + HEADER_BYTES : stop])
            if self._guard is not None:
                answer = self._guard.hold(answer)
            if not is_muted:
                pieces += map(self._stream.say, answer)
            position = stop
            while self._own and not self.is_busy:
                actions.append(self._own.pop(0)())
        else:
            if position < end:
                self._partial.keep(data[position:], HEADER_BYTES)
        said: list[Action] = [SendClient(b"".join(pieces) if len(pieces) > 1 else pieces[0])] if pieces else []
        ended, self.ended = self.ended, []
        return [*said, *ended, *actions]

    def _is_usual(self, data: bytes) -> bool:
        """Take a whole answer at once, if one like it was seen before. It comes to what the handlers do."""
        run = self._stream.run
        if run is None or not self._stream.is_fresh or run.is_guarded or settings.may_change(run.statement.facts):
            return False
        known = self._usual.find(run, data, is_binary=self._is_binary)
        if known is None:
            return False
        run.rows, run.row_bytes, self.status = known.rows, known.end - known.start, known.status
        run.tag = f"{run.rows} rows"
        self._finish()
        return True

    def _begin(self, state: int, length: int, run: Run | None) -> None:
        self._state = state
        self._stream.begin(length, run)
        if run is not None and not run.statement.is_preparation:
            self._understanding.note(run.statement)

    def _check(self) -> Action:
        self._begin(_State.CHECKING, len(settings.CHECK), None)
        self._checking = settings.Checking(has_eof=self._has_eof)
        return SendUpstream(frame(settings.CHECK, 0))

    def _restrict(self) -> Action:
        self._begin(_State.RESTRICTING, len(settings.READ_ONLY), None)
        return SendUpstream(frame(settings.READ_ONLY, 0))

    def _rows_end(self, message: bytes) -> Said:
        if not message:
            raise UpstreamFault("the server sent an empty message")
        if message[0] == messages.ERROR:
            return self._failed(message)
        assert self._stream.run is not None
        self._stream.run.tag = f"{self._stream.run.rows} rows"
        if self._has_eof:
            status = _eof_status(message)
            said = message
        else:
            ok = self._texts.ok(message)
            status, said = ok.status, ok.message or message
        if said is message:
            self._usual.note_end(message, status)
        self._next_result(status)
        return (said,)

    def _next_result(self, status: int) -> None:
        """A result is over; another one may follow."""
        self.status = status
        if status & messages.MORE_RESULTS:
            self._state = _State.FIRST
            return
        executed, run = self._executed, self._stream.run
        if status & messages.CURSOR_EXISTS and executed is not None and run is not None and not run.rows:
            executed.cursor, executed.plan = run.statement, self._stream.plan
        self._finish()

    # The other messages. Each handler takes a whole one.

    def _first(self, message: bytes) -> Said:
        if not message:
            raise UpstreamFault("the server sent an empty message")
        kind = message[0]
        if kind == messages.ERROR:
            return self._failed(message)
        assert self._stream.run is not None
        if kind == messages.OK:
            ok = self._texts.ok(message)
            self._stream.run.tag = ok.tag
            self._next_result(ok.status)
            return (ok.message or message,)
        if kind == messages.LOCAL_FILE:
            raise UpstreamFault(
                "the server asks for a file of the client, which is never given",
                code=FaultCode.UNSUPPORTED,
                hint="Send the rows in INSERT statements.",
            )
        reader = Reader(message)
        self._columns = reader.counted_number()
        reader.end()
        if not 0 < self._columns <= _MAX_COLUMNS:
            raise UpstreamFault("the server announced an impossible number of columns")
        self._definitions = []
        self._state = _State.COLUMNS
        return (message,)

    def _column(self, message: bytes) -> Said:
        assert self._stream.run is not None
        self._definitions.append(message)
        if len(self._definitions) < self._columns:
            return ()
        plan = self._plans.rows(self._stream.run.statement, self._definitions, is_binary=self._is_binary)
        self._stream.plan = plan
        if self._stream.is_first(len(self._definitions)):
            self._usual.note_columns(self._stream.run, self._definitions, plan, is_binary=self._is_binary)
        self._definitions = []
        self._state = _State.COLUMNS_EOF if self._has_eof else _State.ROWS
        return self._stream.plan.definitions

    def _columns_end(self, message: bytes) -> Said:
        status = _eof_status(message)
        self._state = _State.ROWS
        if status & messages.CURSOR_EXISTS:
            self._next_result(status)
        return (message,)

    def _prepared(self, message: bytes) -> Said:
        if message[:1] == b"\xff":
            return self._failed(message)
        assert self._stream.run is not None
        statement, made = self._stream.run.statement, Preparation.read(message)
        path = self._understanding.context().search_path
        self.prepared[made.number] = Prepared(
            statement.text, statement.facts, statement.original, made.parameters, search_path=path
        )
        self._groups = [count for count in (made.parameters, made.columns) if count]
        self._next_definition()
        return (message,)

    def _definition(self, message: bytes) -> Said:
        self._groups[0] -= 1
        if not self._groups[0]:
            self._groups.pop(0)
            if self._has_eof:
                self._state = _State.DEFINITIONS_EOF
            else:
                self._next_definition()
        return (self._plans.definition(message),)

    def _definitions_end(self, message: bytes) -> Said:
        _eof_status(message)
        self._next_definition()
        return (message,)

    def _next_definition(self) -> None:
        if self._groups:
            self._state = _State.DEFINITIONS
        else:
            self._finish()

    def _simple(self, message: bytes) -> Said:
        if message[:1] == b"\xff":
            return self._failed(message)
        said = message
        if message[:1] == b"\xfe" and len(message) == _EOF_BYTES:
            self.status = _eof_status(message)
        elif message[:1] in (b"\x00", b"\xfe"):
            ok = self._texts.ok(message)
            self.status, said = ok.status, ok.message or message
            if self._stream.run is not None:
                self._stream.run.tag = ok.tag
        else:
            raise UpstreamFault("the server sent a message that it does not owe")
        if self._on_ok is not None:
            self._on_ok()
        self._finish()
        return (said,)

    def _statistics(self, message: bytes) -> Said:
        self._finish()
        return (self._texts.statistics(message) or message,)

    def _failed(self, message: bytes) -> Said:
        number, text, encoded = self._texts.error(message)
        if self._stream.run is not None and not self._stream.is_muted:
            self._stream.run.error, self._stream.run.message = number, text
        self._finish()
        return (encoded or message,)

    def _finish(self) -> None:
        """The answer is complete."""
        if self._guard is not None and not self._guard.is_over:
            self._guard.over(self._stream.out, is_too_long=self._stream.is_muted)
            self._state = _State.NOTHING
            self._own.append(self._go_on)
            return
        run = self._stream.run
        if run is not None:
            if self._executed is not None:
                self._executed.fetched += run.rows
            self.ended.append(Ended(run.statement, run.outcome()))
            if not run.statement.is_preparation:
                self._changed(run.statement.facts, failed=bool(run.error))
        self._state = _State.NOTHING
        self._stream.end()
        self._executed = self._on_ok = self._beside = None
        self._is_binary = False

    def _changed(self, facts: Facts, *, failed: bool) -> None:
        """A statement has ended: see what may be another now."""
        if not failed:
            self._understanding.moved(facts)
        if settings.may_change(facts):
            self.check_settings()
        if self._understanding.redefines(facts):
            self.ended.append(Redefined())

    # Answers to gatepost's own commands, which the client does not see.

    def _prepared_beside(self, message: bytes) -> Said:
        assert self._beside is not None
        assert self._stream.run is not None
        run, (then, executed) = self._stream.run, self._beside
        if message[:1] == b"\xff":
            return self._failed(message)
        if not then.take(message, has_eof=self._has_eof):
            return ()
        if not then.fits:
            deny = beside.OTHER_PARAMETERS
            run.error, run.message = str(codes.OF_DENIAL[deny.code][0]), deny.reason
            self._own.append(lambda: SendUpstream(frame(then.close(), 0)))
            self._finish()
            return (messages.refusal(deny),)
        self._state = _State.NOTHING
        self._own.append(lambda: self._execute_beside(run, then, executed))
        return ()

    def _execute_beside(self, run: Run, then: Beside, executed: Prepared) -> Action:
        commands = then.commands()
        self.query(run, len(commands[-1]), executed)
        self._stream.out = packets_of(len(then.execution))
        return SendUpstream(b"".join(frame(command, 0) for command in (*commands, then.close())))

    def _go_on(self) -> Action:
        """The next of the commands around a guarded statement, or the statement itself."""
        assert self._guard is not None
        command = self._guard.next()
        if command is None:
            return self._guard.start()
        self._begin(_State.GUARDING, len(command), self._stream.run)
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
            self._state = _State.NOTHING
            self._own.append(self._go_on)
            return ()
        if guard.has_undone:
            deny = run.excess(guarding.SOME_REMAINS if guard.remains else guarding.UNDONE)
            run.message, guard.answer = deny.reason, (messages.refusal(deny),)
        self._guard = None
        self._finish()
        return tuple(guarding.with_status(said, self.status) for said in guard.answer)

    def _checked(self, message: bytes) -> Said:
        assert self._checking is not None
        if self._checking.take(message):
            self._understanding.is_in(self._checking.database)
            self._state = _State.NOTHING
        return ()

    def _restricted(self, message: bytes) -> Said:
        if message[:1] != b"\x00":
            raise UpstreamFault("the database does not keep the session read-only", code=FaultCode.UPSTREAM_REFUSED)
        self._state = _State.NOTHING
        return ()

    # What a message is in which state.
    _HANDLERS: ClassVar[Mapping[int, Callable[[Answers, bytes], Said]]] = {
        _State.FIRST: _first,
        _State.COLUMNS: _column,
        _State.COLUMNS_EOF: _columns_end,
        _State.ROWS: _rows_end,
        _State.PREPARED: _prepared,
        _State.DEFINITIONS: _definition,
        _State.DEFINITIONS_EOF: _definitions_end,
        _State.SIMPLE: _simple,
        _State.STATISTICS: _statistics,
        _State.CHECKING: _checked,
        _State.RESTRICTING: _restricted,
        _State.BESIDE: _prepared_beside,
        _State.GUARDING: _guarded,
    }


def _eof_status(message: bytes) -> int:
    if len(message) != _EOF_BYTES or message[0] != messages.EOF:
        raise UpstreamFault("the server sent a message that it does not owe")
    return int.from_bytes(message[3:5], "little")
