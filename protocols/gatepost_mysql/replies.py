"""The server's half of the serving phase: the answer to the one command of the client's that is under way.

Source: MySQL internals manual, "Text Resultset" and "Multi-Resultset"; MariaDB Knowledge Base, "Result Set Packets".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias

from gatepost.adapter import Action, Ended, Environment, Redefined, SendClient, SendUpstream
from gatepost.errors import ClientFault, Fault, UpstreamFault
from gatepost.partial import Partial
from gatepost.values import Effect, Facts
from gatepost_mysql import codes, messages, settings
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.frames import HEADER_BYTES, LONGEST, Inbox, header
from gatepost_mysql.preparation import Preparation
from gatepost_mysql.results import Plan, Plans, head
from gatepost_mysql.runs import Prepared, Run
from gatepost_mysql.stream import Stream
from gatepost_mysql.texts import Texts, eof_status
from gatepost_mysql.understanding import Understanding
from gatepost_mysql.upload import Upload
from gatepost_mysql.usual import Usual
from gatepost_sql.mysql_load import LOADS, local_file

_EOF_BYTES: Final = 5
# What a statement does that changes no setting, nor what is defined.
_QUIET: Final = frozenset((Effect.READ, Effect.WRITE))

# What a handler returns: the messages for the client.
Said: TypeAlias = Sequence[bytes]


class State:
    """What the server's next message is. Plain numbers, for an enumeration's members are slow to reach."""

    NOTHING: Final = 0
    FIRST: Final = 1
    COLUMNS: Final = 2
    COLUMNS_EOF: Final = 3
    ROWS: Final = 4
    PREPARING: Final = 5
    SIMPLE: Final = 6
    STATISTICS: Final = 7
    FIELDS: Final = 8
    UPLOAD: Final = 9
    LOADED: Final = 10
    # Answers to commands of gatepost's own.
    OWN: Final = 11
    BESIDE: Final = 12
    GUARDING: Final = 13


class Replies:
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
    ) -> None:
        self._capabilities = capabilities
        self._has_eof = not capabilities & Capability.DEPRECATE_EOF
        self._may_skip = bool(capabilities & Capability.CACHE_METADATA)
        self._has_progress = bool(capabilities & Capability.PROGRESS)
        self._understanding = understanding
        self._plans = Plans(environment.hooks, capabilities, lambda: understanding.catalogue)
        self._usual = Usual()
        self._texts = Texts(environment.hooks, capabilities)
        self._partial = Partial()
        self._state = State.NOTHING
        self._stream = Stream(environment.hooks, environment.limits.message_bytes, self._partial)
        self._is_binary = False
        self._executed: Prepared | None = None
        self._columns = 0
        self._definitions: list[bytes] = []
        # How the answer has begun, for as long as nothing of it was changed.
        self._said: list[bytes] = []
        self._preparation: Preparation | None = None
        self._on_ok: Callable[[], None] | None = None
        self._upload = Upload(0)
        self.ended: list[Action] = []
        self.prepared: dict[int, Prepared] = {}
        self.status = status

    @property
    def is_busy(self) -> bool:
        """An answer is under way, so that no command may follow."""
        return self._state != State.NOTHING

    @property
    def is_idle(self) -> bool:
        return not self.is_busy and not self.status & messages.IN_TRANSACTION

    @property
    def is_uploading(self) -> bool:
        """What the client sends is a file that the server has asked for."""
        return self._state == State.UPLOAD

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
        self._begin(State.FIRST, length, run)
        self._is_binary = executed is not None
        self._executed = executed

    def fetch(self, run: Run, length: int, executed: Prepared) -> None:
        self._begin(State.ROWS, length, run)
        self._executed = executed
        self._stream.plan = executed.plan

    def prepare(self, run: Run, length: int) -> None:
        self._begin(State.PREPARING, length, run)
        path = self._understanding.context().search_path
        self._preparation = Preparation(run.statement, path, self._capabilities, self._plans)

    def fields(self, run: Run, length: int) -> None:
        """A table's columns, of which each counts as a row."""
        self._begin(State.FIELDS, length, run)

    def simple(self, length: int, *, run: Run | None = None, on_ok: Callable[[], None] | None = None) -> None:
        """What is answered by an OK or an ERR."""
        self._begin(State.SIMPLE, length, run)
        self._on_ok = on_ok

    def statistics(self, length: int) -> None:
        self._begin(State.STATISTICS, length, None)

    def upload(self, inbox: Inbox) -> list[Action]:
        """Pass on what has come of the file. Raises ClientFault."""
        data = inbox.drain()
        end = self._upload.take(data)
        inbox.feed(data[end:])
        assert self._stream.run is not None
        self._stream.run.received = self._upload.received
        self._stream.go_on(self._upload.number)
        if self._upload.is_over:
            self._state = State.LOADED
        return [SendUpstream(data[:end])] if end else []

    def abort(self) -> list[Action]:
        """The session is over: what is under way ends incomplete, behind what has ended."""
        ended, self.ended = self.ended, []
        run, self._stream.run = self._stream.run, None
        return [*ended, Ended(run.statement, run.outcome(complete=False))] if run else ended

    # What comes back.

    def receive(self, data: bytes) -> list[Action]:
        if self._partial.data:
            joined = self._partial.join(data)
            if joined is None:
                return []
            data = joined
        if self._state == State.FIRST and (usual := self._usual_answer(data)) is not None:
            ended, self.ended = self.ended, []
            return [SendClient(usual), *ended]
        pieces: list[bytes] = []
        actions: list[Action] = []
        place = self._state, self._stream.place
        try:
            self._read(data, pieces, actions)
        except Fault:
            self._state, self._stream.place = place  # none of the pieces leaves
            raise
        said: list[Action] = [SendClient(b"".join(pieces) if len(pieces) > 1 else pieces[0])] if pieces else []
        ended, self.ended = self.ended, []
        return [*said, *ended, *actions]

    def _read(self, data: bytes, pieces: list[bytes], actions: list[Action]) -> None:
        """Take the messages that are whole. What leaves of them, and what goes to the server by itself, is added."""
        position, end = 0, len(data)
        while end - position >= HEADER_BYTES:
            (word,) = header(data, position)
            if not self.is_busy:
                raise UpstreamFault("the server sent a message that it does not owe")
            if self._state == State.ROWS:
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
            answer = self._take(data[position + HEADER_BYTES : stop])
            if not is_muted:
                pieces += map(self._stream.say, answer)
            position = stop
            while not self.is_busy and (action := self._follow_up()) is not None:
                actions.append(action)
        else:
            if position < end:
                self._partial.keep(data[position:], HEADER_BYTES)

    def _usual_answer(self, data: bytes) -> bytes | None:
        """Take a whole answer at once, as the handlers would, if one like it was seen before: what leaves of it."""
        stream = self._stream
        run = stream.run
        if run is None or not stream.is_fresh or run.is_guarded:
            return None
        known = self._usual.find(run, data, self._skippable(), is_binary=self._is_binary)
        if known is None:
            return None
        out = stream.answer(data, known)
        self.status = known.status
        run.tag = f"{run.rows} rows"
        self._finish()
        return out

    def _begin(self, state: int, length: int, run: Run | None) -> None:
        self._state = state
        self._stream.begin(length, run)
        if run is not None and not run.statement.is_preparation:
            self._understanding.note(run.statement)

    def _take(self, message: bytes) -> Said:
        return self.HANDLERS[self._state](self, message)

    def _follow_up(self) -> Action | None:
        """What goes to the server by itself, before the client's next command."""

    def _rows_end(self, message: bytes) -> Said:
        if not message:
            raise UpstreamFault("the server sent an empty message")
        if message[0] == messages.ERROR:
            return self._error(message)
        assert self._stream.run is not None
        self._stream.run.tag = f"{self._stream.run.rows} rows"
        if self._has_eof:
            status = eof_status(message)
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
            self._state = State.FIRST
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
            return self._error(message)
        assert self._stream.run is not None
        if kind == messages.OK:
            ok = self._texts.ok(message)
            self._stream.run.tag = ok.tag
            self._next_result(ok.status)
            return (ok.message or message,)
        if kind == messages.LOCAL_FILE:
            return self._file_asked(message)
        self._columns, follow = head(message, may_skip=self._may_skip)
        self._definitions = []
        self._said = [message]
        self._state = State.COLUMNS
        if not follow:
            self._skipped()
        return (message,)

    def _skippable(self) -> Sequence[bytes]:
        """The columns that the answer may leave out: those that came last with the statement that is executed."""
        return self._executed.definitions if self._executed is not None else ()

    def _skipped(self) -> None:
        known = self._skippable()
        if len(known) != self._columns:
            raise UpstreamFault("the server leaves out columns that it has not described before")
        self._described(known)

    def _begun(self) -> None:
        """Rows are next. An answer that begins alike is known by that, unless the statement may change settings."""
        self._state = State.ROWS
        stream, said = self._stream, self._said
        assert stream.run is not None
        assert stream.plan is not None
        if stream.is_all(len(said)) and not settings.may_change(stream.run.statement.facts):
            self._usual.note_begin(stream.run, said, stream.plan, self._skippable(), is_binary=self._is_binary)
        self._said = []

    def _file_asked(self, message: bytes) -> Said:
        run = self._stream.run
        assert run is not None
        is_loading = LOADS in run.statement.facts.verbs and self._executed is None and self._stream.is_all(1)
        file = local_file(run.statement.text) if is_loading else None
        if file is None or message[1:] != file.encode():
            raise UpstreamFault("the server asks for a file of the client that the statement does not name")
        if not self._texts.may_show(message[1:]):
            raise ClientFault("the file's name is one that must not be shown", hint="Give the file another name.")
        self._upload = Upload(self._stream.out + 1)
        self._state = State.UPLOAD
        return (message,)

    def _early(self, message: bytes) -> Said:
        raise UpstreamFault("the server does not wait for the end of the client's file")

    def _column(self, message: bytes) -> Said:
        assert self._stream.run is not None
        self._definitions.append(message)
        if len(self._definitions) < self._columns:
            return ()
        if self._may_skip and self._executed is not None:
            self._executed.describe(self._definitions)
        self._said += self._definitions
        plan = self._described(self._definitions)
        self._definitions = []
        return plan.definitions

    def _described(self, definitions: Sequence[bytes]) -> Plan:
        """All columns of a result are known: rows are next."""
        assert self._stream.run is not None
        plan = self._plans.rows(self._stream.run.statement, definitions, is_binary=self._is_binary)
        self._stream.plan = plan
        if plan.definitions != tuple(definitions):
            self._said = []
        if self._has_eof:
            self._state = State.COLUMNS_EOF
        else:
            self._begun()
        return plan

    def _columns_end(self, message: bytes) -> Said:
        status = eof_status(message)
        if status & (messages.CURSOR_EXISTS | messages.MORE_RESULTS):
            self._said = []
        elif self._said:
            self._said.append(message)
        self._begun()
        if status & messages.CURSOR_EXISTS:
            self._next_result(status)
        return (message,)

    def _field(self, message: bytes) -> Said:
        run = self._stream.run
        assert run is not None
        if message[:1] in (b"", b"\xfe", b"\xff"):
            return self._rows_end(message)
        if run.left == 0:
            return () if self._stream.is_muted else self._stream.stop(run)
        said = self._plans.field(message)
        run.rows += 1
        run.row_bytes += HEADER_BYTES + len(said)
        run.masked += said is not message
        return (said,)

    def _preparing(self, message: bytes) -> Said:
        preparation = self._preparation
        assert preparation is not None
        if preparation.prepared is None and message[:1] == b"\xff":
            return self._failed(message)
        said = preparation.take(message)
        if preparation.prepared is not None and preparation.is_over:
            self.prepared[preparation.number] = preparation.prepared
            self._finish()
        return (said,)

    def _simple(self, message: bytes) -> Said:
        if message[:1] == b"\xff":
            return self._failed(message)
        said = message
        if message[:1] == b"\xfe" and len(message) == _EOF_BYTES:
            self.status = eof_status(message)
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

    def _loaded(self, message: bytes) -> Said:
        """The answer to a file, which may take long."""
        return self._error(message) if message[:1] == b"\xff" else self._simple(message)

    def _statistics(self, message: bytes) -> Said:
        self._finish()
        return (self._texts.statistics(message) or message,)

    def _error(self, message: bytes) -> Said:
        """An error, or MariaDB's word of how far a long statement is."""
        if self._has_progress and message.startswith(messages.PROGRESS):
            return (self._texts.progress(message),)
        return self._failed(message)

    def _failed(self, message: bytes) -> Said:
        if self._has_progress and message.startswith(messages.PROGRESS):
            raise UpstreamFault("the server sent a message that it does not owe")
        number, text, encoded = self._texts.error(message)
        if number == codes.MALFORMED:
            raise UpstreamFault("the server does not read the client's command as it was judged")
        if self._executed is not None:
            self._executed.is_told = False  # it may have failed before the server took its types
        if self._stream.run is not None and not self._stream.is_muted:
            self._stream.run.error, self._stream.run.message = number, text
        self._finish()
        return (encoded or message,)

    def _finish(self) -> None:
        """The answer is complete."""
        run = self._stream.run
        if run is not None:
            if self._executed is not None:
                self._executed.fetched += run.rows
            self.ended.append(Ended(run.statement, run.outcome()))
            facts = run.statement.facts
            if (facts.settings or facts.effect not in _QUIET) and not run.statement.is_preparation:
                self._changed(facts, failed=bool(run.error))
        self._state = State.NOTHING
        self._stream.end()
        self._executed = self._on_ok = self._preparation = None
        self._is_binary = False

    def _changed(self, facts: Facts, *, failed: bool) -> None:
        """A statement has ended: see what may be another now."""
        if not failed:
            self._understanding.moved(facts)
        if self._understanding.redefines(facts):
            self.ended.append(Redefined())

    # What a message is in which state.
    HANDLERS: ClassVar[Mapping[int, Callable[[Any, bytes], Said]]] = {
        State.FIRST: _first,
        State.COLUMNS: _column,
        State.COLUMNS_EOF: _columns_end,
        State.ROWS: _rows_end,
        State.PREPARING: _preparing,
        State.SIMPLE: _simple,
        State.STATISTICS: _statistics,
        State.FIELDS: _field,
        State.UPLOAD: _early,
        State.LOADED: _loaded,
    }
