"""The serving phase: from the first ReadyForQuery on. The client's half is here, the server's in `answers`.

Source: PostgreSQL 18 documentation, 54.2.2 to 54.2.7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gatepost.adapter import UPSTREAM, Action, Ask, Environment, SendUpstream, Side
from gatepost.errors import ClientFault, FaultCode
from gatepost.values import Deny, DenyCode, Effect, Facts, Scalar, Statement, Verdict
from gatepost_postgres import denial, messages, parameters, requests
from gatepost_postgres.answers import Answers
from gatepost_postgres.frames import HEADER_BYTES, Partial, header
from gatepost_postgres.names import Unsettled
from gatepost_postgres.owed import Owed, Portal, Prepared, Run, State
from gatepost_sql import facts

_SYNC_OWED: Final = Owed(State.SYNC)
_PRIVATE_NAME: Final = b"gatepost"

# The server's own bound for messages that hold no more than a name.
_SMALL_BYTES: Final = 10_000

_DEALLOCATE: Final = re.compile(
    r'\s*deallocate\s+(?:prepare\s+)?(?!all\b|prepare\b)(?:([a-z_]\w*)|"([^"]+)")\s*;?\s*', re.ASCII | re.IGNORECASE
)
_BINARY: Final = re.compile(r"\bbinary\b", re.IGNORECASE)

_LARGE: Final = frozenset(
    (messages.QUERY, messages.PARSE, messages.BIND, messages.FUNCTION_CALL, messages.COPY_DATA, messages.COPY_FAIL)
)
_ENDS_SKIPPING: Final = frozenset((messages.SYNC, messages.TERMINATE))
_DURING_COPY_IN: Final = frozenset(
    (messages.COPY_DATA, messages.COPY_DONE, messages.COPY_FAIL, messages.FLUSH, messages.SYNC, messages.TERMINATE)
)


class Started(Struct, frozen=True, kw_only=True):
    """What the handshakes have agreed on.

    Attributes:
        protocol: PROTOCOL_3_0 or PROTOCOL_3_2.
        parameters: what the server has reported of its settings.
    """

    protocol: int
    parameters: dict[str, str]


class _Stall:
    """What comes next cannot be judged before the server has answered all that it was sent."""


_STALL: Final = _Stall()

# What becomes of a message: None to send it as it came, bytes to send instead, a statement to ask about first.
_Step: TypeAlias = bytes | Statement | _Stall | None
_Handler: TypeAlias = "Callable[[ServingPhase, bytes], _Step]"
_Request: TypeAlias = requests.Query | requests.Parse | requests.Bind | requests.Execute


class ServingPhase:
    """Statements, their answers, and what else the two sides say once handshakes are over."""

    def __init__(self, environment: Environment, started: Started) -> None:
        self._answers = Answers(environment)
        self._limits = environment.limits
        self._wants_rows = environment.hooks.wants_rows
        self._number = 0
        self._batch = 0
        self._request: _Request | None = None
        self._is_stalled = False
        self._is_over = False
        self._run: Run | None = None
        # Bytes taken from the client: up to `_sent` they went on, up to `_position` they were judged.
        self._data = b""
        self._sent = 0
        self._position = 0
        self._stop = 0
        self._pieces: list[bytes] = []
        self._partial = Partial()
        self._backlog = bytearray()
        self._passing = 0
        self._drops = False
        for name, value in started.parameters.items():
            self._answers.require(name, value)

    @property
    def is_idle(self) -> bool:
        return (
            self._answers.is_idle
            and not self._answers.is_skipping
            and self._request is None
            and not self._passing
            and not self._partial
            and not self._backlog
        )

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if side is UPSTREAM:
            actions = self._answers.receive(data)
            if self._is_stalled:
                actions += self._resume()
            return actions
        if self._request is not None or self._is_stalled:
            self._backlog += data
            if len(self._backlog) > self._limits.message_bytes:
                raise ClientFault("too much was sent ahead of the database's answers", code=FaultCode.TOO_LARGE)
            return []
        joined = self._partial.join(data)
        if joined is None:
            return []
        self._take(joined)
        return self._advance()

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        request, self._request = self._request, None
        assert request is not None
        actions: list[Action] = []
        step: bytes | None
        if self._answers.is_skipping:
            step = b""
            if not isinstance(verdict, Deny):
                actions.append(self._answers.never_ran(Run(statement)))
        elif isinstance(verdict, Deny):
            step = self._deny(request, verdict)
        elif (deny := denial.refused_setting(statement.facts)) is not None:
            self._answers.skipped_for = (denial.INSUFFICIENT_PRIVILEGE, deny.reason)
            actions.append(self._answers.never_ran(Run(statement)))
            step = self._deny(request, deny)
        else:
            step = self._allow(request, statement)
        self._settle(step)
        return actions + self._advance()

    def restate(self, statement: Statement, text: str) -> Statement:
        original = statement.text if statement.original is None else statement.original
        return replace(statement, text=text, facts=facts(text), original=original)

    def abort(self) -> list[Action]:
        return self._answers.abort()

    # The client's bytes.

    def _take(self, data: bytes) -> None:
        self._data = data
        self._sent = self._position = 0
        if self._passing:
            self._position = min(self._passing, len(data))
            self._passing -= self._position
            if self._drops:
                self._sent = self._position

    def _resume(self) -> list[Action]:
        if self._answers.is_copying_in:
            raise ClientFault("a message was sent where the database waits for COPY data")
        if len(self._answers):
            return []
        self._is_stalled = False
        return self._advance()

    def _settle(self, step: bytes | None) -> None:
        """The message that was asked about goes on as it came, or `step` in its place."""
        self._position = self._stop
        if step is not None:
            self._pieces.append(step)
            self._sent = self._stop

    def _advance(self) -> list[Action]:
        """Judge one message after the other, until one has to wait or none is whole."""
        if self._backlog:
            backlog = bytes(self._backlog)
            self._backlog.clear()
            unsent = self._data[self._sent :]
            self._position -= self._sent
            self._sent = 0
            self._data = unsent + backlog
        data, position, end = self._data, self._position, len(self._data)
        answers, handlers, pipeline = self._answers, self._handlers, self._limits.pipeline
        question: Statement | None = None
        while end - position >= HEADER_BYTES:
            kind, length = header(data, position)
            handler = handlers.get(kind)
            if (handler is None and kind != messages.COPY_DATA) or self._is_over:
                raise ClientFault("the client sent a message that is not allowed here")
            if length < 4 or length > (self._limits.message_bytes if kind in _LARGE else _SMALL_BYTES):
                raise _impossible(length)
            stop = position + 1 + length
            if handler is None:
                step = self._copy_data(length)
                if stop > end:
                    self._passing = stop - end
                    self._drops = step is not None
                    stop = end
            elif stop > end:
                break
            elif answers.is_skipping and kind not in _ENDS_SKIPPING:
                step = b""
            elif answers.is_copying_in and kind not in _DURING_COPY_IN:
                raise ClientFault("a message was sent where the database waits for COPY data")
            elif len(answers) >= pipeline:
                step = _STALL
            else:
                self._position, self._stop = position, stop
                step = handler(self, data[position + HEADER_BYTES : stop])
            if step is None:
                position = stop
                continue
            if position > self._sent:
                self._pieces.append(data[self._sent : position])
                self._sent = position
            if type(step) is bytes:
                self._pieces.append(step)
                self._sent = position = stop
                continue
            if type(step) is Statement:
                question = step
            else:
                self._is_stalled = True
                if answers.batch_is_open:
                    self._pieces.append(denial.FLUSH)
            self._position = position
            return self._outgoing(question)
        if position > self._sent:
            self._pieces.append(data if position - self._sent == end else data[self._sent : position])
        if position < end:
            needed = HEADER_BYTES if end - position < HEADER_BYTES else 1 + length
            self._partial.keep(data[position:], needed)
        self._data = b""
        self._sent = self._position = 0
        return self._outgoing(None)

    def _outgoing(self, question: Statement | None) -> list[Action]:
        actions: list[Action] = []
        pieces = self._pieces
        if pieces:
            out = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            if out:
                actions.append(SendUpstream(out))
        if question is not None:
            actions.append(Ask(question))
        return actions

    # What a message asks for.

    def _query(self, body: bytes) -> _Step:
        if self._answers.batch_is_open:
            return _STALL
        request = requests.query(body)
        return self._judge(request, request.text)

    def _parse(self, body: bytes) -> _Step:
        request = requests.parse(body)
        if request.name == _PRIVATE_NAME:
            return self._deny(request, _limit("this name is reserved", "give the prepared statement another name"))
        if len(self._answers.prepared) >= self._limits.prepared:
            return self._deny(request, _limit("too many prepared statements", "close those that are not needed"))
        return self._judge(request, request.text, is_preparation=True)

    def _judge(self, request: requests.Query | requests.Parse, text: bytes, *, is_preparation: bool = False) -> _Step:
        """Ask about a text, unless the session itself has to deny it."""
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            deny = Deny(reason="the statement is not valid UTF-8", hint="send it in UTF-8", code=DenyCode.SYNTAX)
            return self._deny(request, deny)
        known = facts(decoded)
        statement = Statement(number=self._number + 1, text=decoded, facts=known, is_preparation=is_preparation)
        deny_ = denial.refused_setting(known) if known.settings else None
        if deny_ is None and self._wants_rows and "copy_to" in known.verbs and _BINARY.search(decoded):
            deny_ = self._binary_copy(statement)
        if deny_ is not None:
            return self._deny(request, deny_)
        return self._ask(request, statement)

    def _ask(self, request: _Request, statement: Statement) -> Statement:
        self._number = statement.number
        self._request = request
        return statement

    def _binary_copy(self, statement: Statement) -> Deny | None:
        if not self._answers.has_watched_lines(statement):
            return None
        return Deny(
            reason="COPY in binary format cannot be looked into by the plugins that have to",
            rule="gatepost: binary COPY",
            hint="use COPY with (FORMAT text) or (FORMAT csv)",
        )

    def _bind(self, body: bytes) -> _Step:
        request = requests.bind(body)
        answers = self._answers
        if answers.forgetting and len(answers):
            return _STALL
        try:
            prepared = answers.prepared.find(request.statement, self._batch)
        except Unsettled:
            return _STALL
        if len(answers.portals) >= self._limits.prepared:
            return self._deny(request, _limit("too many portals", "close those that are not needed"))
        if prepared is None:
            prepared = _unknown("EXECUTE", request.statement)
        values: tuple[tuple[Scalar, ...] | None, ...] = ()
        if request.values:
            values = parameters.decode(request.formats, request.values, prepared.types)
        statement = Statement(
            number=self._number + 1,
            text=prepared.text,
            facts=prepared.facts,
            parameters=values,
            original=prepared.original,
        )
        return self._ask(request, statement)

    def _execute(self, body: bytes) -> _Step:
        request = requests.execute(body)
        portal = self._answers.portals.latest(request.portal)
        if portal is None:
            # DECLARE made it, or nothing did.
            prepared = _unknown("FETCH ALL FROM", request.portal)
            statement = Statement(number=self._number + 1, text=prepared.text, facts=prepared.facts)
            return self._ask(request, statement)
        if not self._answers.is_under_way(portal.run):
            return self._ask(request, replace(portal.run.statement, number=self._number + 1))
        return self._run_portal(request, portal, None)

    def _run_portal(self, request: requests.Execute, portal: Portal, unknown: Portal | None) -> bytes | None:
        """Send an Execute; behind a Describe of our own where plugins want rows whose columns nobody has asked for."""
        name, step = request.portal, None
        if self._wants_rows and not portal.is_described:
            portal.is_described = True
            self._answers.owe(Owed(State.COLUMNS, name, portal=unknown, is_portal=True, is_own=True))
            step = requests.describe_portal(name) + self._data[self._position : self._stop]
        self._answers.owe(Owed(State.EXECUTE, name, portal=unknown, is_portal=True))
        self._run = portal.run
        return step

    def _describe(self, body: bytes) -> _Step:
        is_portal, name = requests.named(body)
        if is_portal:
            portal = self._answers.portals.latest(name)
            if portal is not None:
                portal.is_described = True
            self._answers.owe(Owed(State.COLUMNS, name, is_portal=True))
        else:
            self._answers.owe(Owed(State.PARAMETERS, name))
        return None

    def _close(self, body: bytes) -> _Step:
        is_portal, name = requests.named(body)
        names = self._answers.portals if is_portal else self._answers.prepared
        names.begin(name, None, self._batch)
        self._answers.owe(Owed(State.CLOSE, name, is_portal=is_portal))
        return None

    def _flush(self, body: bytes) -> _Step:
        return _empty(body)

    def _sync(self, body: bytes) -> _Step:
        # While the server waits for COPY data it ignores a Sync.
        if not self._answers.is_copying_in:
            self._answers.is_skipping = False
            self._answers.owe(_SYNC_OWED)
            self._batch += 1
        return _empty(body)

    def _terminate(self, body: bytes) -> _Step:
        self._is_over = True
        return _empty(body)

    def _function_call(self, body: bytes) -> _Step:
        if self._answers.batch_is_open:
            return _STALL
        deny = Deny(reason="function calls by message are not supported", hint="call the function in a SELECT")
        return self._deny(requests.Query(b""), deny, denial.FEATURE_NOT_SUPPORTED)

    def _copy_data(self, length: int) -> bytes | None:
        if self._answers.is_skipping:
            return b""
        self._expect_copy()
        if self._run is not None:
            self._run.received += length - 4
        return None

    def _copy_done(self, body: bytes) -> _Step:
        self._expect_copy()
        self._answers.copy_ended()
        return _empty(body)

    def _copy_fail(self, body: bytes) -> _Step:
        self._expect_copy()
        self._answers.copy_ended()
        return None

    def _expect_copy(self) -> None:
        """COPY data may come before the server has said that it wants it, and still come when it no longer does."""
        if not (self._answers.is_copying_in or self._answers.is_draining or len(self._answers)):
            raise ClientFault("COPY data was sent where no COPY is under way")

    # Verdicts.

    def _deny(self, request: _Request, deny: Deny, sqlstate: str = "") -> bytes:
        """Make the server fail in the message's place, and owe the client the reason."""
        self._answers.owe(Owed(State.DENIED, deny=deny, sqlstate=sqlstate))
        if isinstance(request, requests.Query):
            self._answers.owe(_SYNC_OWED)
            self._batch += 1
            return denial.FAILING_PARSE + denial.SYNC
        self._answers.is_skipping = True
        return denial.FAILING_PARSE

    def _allow(self, request: _Request, statement: Statement) -> bytes | None:
        answers = self._answers
        run = Run(statement)
        answers.is_draining = False
        if isinstance(request, requests.Query):
            _note_forgetting(run)
            answers.start(run)
            self._run = run
            answers.owe(Owed(State.QUERY, run=run, is_query=True))
            self._batch += 1
            return None if statement.original is None else request.encode(statement.text)
        if isinstance(request, requests.Parse):
            answers.start(run)
            prepared = Prepared(statement.text, statement.facts, statement.original, request.types)
            answers.prepared.begin(request.name, prepared, self._batch)
            answers.owe(Owed(State.PARSE, request.name, run=run, prepared=prepared))
            return None if statement.original is None else request.encode(statement.text)
        _note_forgetting(run)
        answers.start(run)
        if isinstance(request, requests.Bind):
            return self._bind_portal(request, run)
        portal = answers.portals.latest(request.portal)
        if portal is not None:
            portal.run = run
            return self._run_portal(request, portal, None)
        portal = Portal(run)
        return self._run_portal(request, portal, portal)

    def _bind_portal(self, request: requests.Bind, run: Run) -> bytes | None:
        answers = self._answers
        prepared = answers.prepared.find(request.statement, self._batch)
        rebound = None
        if prepared is not None and run.statement.text != prepared.text:
            # A plugin has rewritten what is prepared already: prepare the new text beside it.
            rebound = request.encode(run.statement.text, _PRIVATE_NAME, prepared.types)
            answers.owe(Owed(State.CLOSE, _PRIVATE_NAME, is_own=True))
            answers.owe(Owed(State.PARSE, _PRIVATE_NAME, is_own=True))
        portal = Portal(run)
        answers.portals.begin(request.portal, portal, self._batch)
        answers.owe(Owed(State.BIND, request.portal, portal=portal, is_portal=True))
        return rebound

    # What a client may send.
    _handlers: ClassVar[Mapping[int, _Handler]] = {
        messages.QUERY: _query,
        messages.PARSE: _parse,
        messages.BIND: _bind,
        messages.EXECUTE: _execute,
        messages.DESCRIBE: _describe,
        messages.CLOSE: _close,
        messages.FLUSH: _flush,
        messages.SYNC: _sync,
        messages.TERMINATE: _terminate,
        messages.FUNCTION_CALL: _function_call,
        messages.COPY_DONE: _copy_done,
        messages.COPY_FAIL: _copy_fail,
    }


def _impossible(length: int) -> ClientFault:
    if length < 4:
        return ClientFault("the client sent a message with an impossible length")
    return ClientFault("the client sent a message that is too long", code=FaultCode.TOO_LARGE)


def _empty(body: bytes) -> None:
    if body:
        raise ClientFault("the client sent a malformed message")


def _limit(reason: str, hint: str) -> Deny:
    return Deny(reason=reason, rule="gatepost: session limits", hint=hint)


def _unknown(command: str, name: bytes) -> Prepared:
    """What a name stands for that no message of this session has made."""
    quoted = name.decode("utf-8", "replace").replace('"', '""')
    reason = "what the name stands for was not said in this protocol's messages"
    return Prepared(f'{command} "{quoted}"', Facts(effect=Effect.UNKNOWN, reason=reason), None, ())


def _note_forgetting(run: Run) -> None:
    """See whether the statement removes prepared statements, or moves cursors, by name."""
    verbs = run.statement.facts.verbs
    if "deallocate" in verbs or "discard" in verbs:
        match = _DEALLOCATE.fullmatch(run.statement.text)
        run.forgets = (match[1].lower() if match[1] else match[2]).encode() if match else b""
    run.forgets_portals = "declare" in verbs or "close" in verbs
