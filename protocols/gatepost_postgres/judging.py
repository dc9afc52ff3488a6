"""What becomes of each message of a client: it goes on, it is asked about first, it is denied, or it has to wait.

Source: PostgreSQL 18 documentation, 54.2.2 to 54.2.7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, ClassVar, Final, TypeAlias

from msgspec.structs import replace

from gatepost.adapter import Ended, Environment
from gatepost.errors import ClientFault
from gatepost.values import Deny, Effect, Facts, Scalar, Statement, Verdict
from gatepost_postgres import asking, denial, messages, parameters, refusals, requests, settings
from gatepost_postgres.ledger import TURNING, Ledger, Mode
from gatepost_postgres.limits import limit_fetch, note_cursors
from gatepost_postgres.names import Names, Unsettled
from gatepost_postgres.owed import NAMES, SYNC_OWED, UNNAMED_COLUMNS_OWED, Owed, Portal, Prepared, Run, State
from gatepost_postgres.settings import Demands
from gatepost_postgres.understanding import EXECUTE, REVERTING, Understanding
from gatepost_sql import Context, fetched, weight

# What most drivers send behind a Bind in one go.
RUN_UNNAMED: Final = requests.describe_portal(b"") + requests.Execute(b"", bytes(4)).encode() + denial.SYNC

_DEALLOCATE: Final = re.compile(
    r'\s*deallocate\s+(?:prepare\s+)?(?!all\b|prepare\b)(?:([a-z_]\w*)|"([^"]+)")\s*;?\s*', re.ASCII | re.IGNORECASE
)
_FETCH: Final = "fetch"
# Verbs of statements that remove prepared statements, or make, use and close cursors, by name.
_BY_NAME: Final = frozenset(("deallocate", "discard", "declare", _FETCH, "close"))
# Effects of statements that change nothing of what later ones mean, and verbs of those that do all the same.
_PLAIN: Final = frozenset((Effect.READ, Effect.WRITE))
# Verbs of statements whose names are looked up not when they are bound, but when they are executed: they have no plan.
_LATE: Final = frozenset(
    (
        *("alter", "analyze", "call", "cluster", "comment", "copy_from", "copy_from_binary", "copy_to"),
        *(asking.COPY_TO_BINARY, "copy_to_digits", "create", "declare", "drop", EXECUTE, "explain", _FETCH, "grant"),
        *("lock", "prepare", "refresh", "reindex", "revoke", "security_label", "truncate", "vacuum"),
    )
)
_NOTED: Final = _BY_NAME | _LATE | REVERTING | {"commit_prepared"}


class Pause(Enum):
    """Nothing behind this message is looked at for now.

    STALL: it cannot be judged before the server has answered all that it was sent. LEFT: it was the client's last.
    """

    STALL = auto()
    LEFT = auto()


# What becomes of a message: None to send it as it came, bytes to send instead, a statement to ask about first.
Step: TypeAlias = bytes | Statement | Pause | None
Handler: TypeAlias = "Callable[[Judging, bytes], Step]"
Allow: TypeAlias = Callable[[Any, Run], bytes | None]
_Request: TypeAlias = requests.Query | requests.Parse | requests.Bind | requests.Execute


class Judging:
    """The client's messages, one by one. What is sent is written into the ledger.

    Attributes:
        handlers: what a client may send; each takes the body of a message and says what becomes of it.
    """

    def __init__(
        self, environment: Environment, ledger: Ledger, demands: Demands, understanding: Understanding
    ) -> None:
        self._understanding = understanding
        self._context: Context | None = None
        self._ledger = ledger
        self._refusal = demands.refusal
        self._limits = environment.limits
        self._wants_rows = environment.hooks.wants_rows
        self._number = 0
        self._request: _Request | None = None
        self._allow: Allow = self._allow_query
        self._prepared: Prepared | None = None
        # The latest that may take COPY data.
        self._run: Run | None = None

    @property
    def is_asking(self) -> bool:
        """A statement was returned and neither allowed nor denied yet."""
        return self._request is not None

    def resolve(self, statement: Statement, verdict: Verdict) -> bytes | None:
        """The answer to a statement that was returned: what to send, as in `Step`."""
        request, allow = self._request, self._allow
        assert request is not None
        self._request = None
        if isinstance(verdict, Deny):
            return b"" if self._ledger.mode == Mode.SKIPPING else self._deny(request, verdict)
        if self._ledger.mode == Mode.SKIPPING:
            self._ledger.never_ran(Run(statement))
            return b""
        known = statement.facts
        if (known.settings or known.effect is Effect.UNKNOWN) and (deny := self._refusal(known)) is not None:
            return self._deny(request, self._never(statement, deny))
        if known.is_resolved and not self._holds(statement):
            return self._deny(request, self._never(statement, refusals.REDEFINED))
        run = Run(statement)
        if not statement.is_preparation:
            if not _NOTED.isdisjoint(known.verbs):
                if _FETCH in known.verbs and self._ledger.has_bound(fetched(statement.text)):
                    return self._deny(request, self._never(statement, refusals.BOUND))
                _note_forgetting(run)
                note_cursors(run, self._ledger)
                self._understanding.note(run)
                _note_names(run, self._ledger)
                if self._wants_rows:
                    run.question = asking.question(statement)
            elif known.settings or known.effect not in _PLAIN:
                self._understanding.note(run)
        self._ledger.start(run)
        return allow(request, run)

    def _holds(self, statement: Statement) -> bool:
        """Whether a statement's names stand for what they did when it was asked about, which may be a while ago."""
        understanding = self._understanding
        return self._context is understanding.context() or understanding.facts(statement.text) == statement.facts

    def _never(self, statement: Statement, deny: Deny) -> Deny:
        """A statement that was allowed is denied all the same; that is how it ends."""
        never = Run(statement, error=denial.INSUFFICIENT_PRIVILEGE, message=deny.reason)
        self._ledger.ended.append(Ended(statement, never.outcome()))
        return deny

    def run_unnamed(self) -> bool:
        """See to all of `RUN_UNNAMED` at once. False if its messages have to be looked at one by one."""
        ledger = self._ledger
        portal = ledger.portals.latest(b"")
        if portal is None or portal.run.is_over or ledger.mode or len(ledger.owed) >= self._limits.pipeline:
            return False
        if portal.run.question is not None:
            return False
        if portal.run.statement.limit is not None:
            if ledger.acting == ledger.batch:
                return False
            ledger.mode = Mode.HELD
        portal.is_described = True
        ledger.owed.extend((UNNAMED_COLUMNS_OWED, Owed(State.EXECUTE, b"", None, True), SYNC_OWED))
        self._run = portal.run
        self._ledger.batch += 1
        return True

    # What a message asks for.

    def _query(self, body: bytes) -> Step:
        if self._ledger.batch_is_open:
            return Pause.STALL
        request = requests.query(body)
        return self._judge(request, self._allow_query, request.text)

    def _parse(self, body: bytes) -> Step:
        request = requests.parse(body)
        if request.name == denial.PRIVATE_NAME:
            return self._deny(request, refusals.RESERVED)
        if not self._has_room(self._ledger.prepared, request.name, weight(request.text)):
            return self._deny(request, refusals.TOO_MANY_STATEMENTS)
        return self._judge(request, self._allow_parse, request.text, is_preparation=True)

    def _has_room(self, names: Names[Any], name: bytes, size: int) -> bool:
        return names.has_room(name, size, self._limits.prepared, self._limits.message_bytes)

    def _judge(
        self, request: requests.Query | requests.Parse, allow: Allow, text: bytes, *, is_preparation: bool = False
    ) -> Step:
        """Ask about a text, unless the session itself has to deny it."""
        ledger = self._ledger
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            return self._deny(request, refusals.NO_TEXT)
        if ledger.changing >= ledger.answered:
            # Settings are reported with ReadyForQuery, and no sooner.
            if ledger.changing < ledger.batch:
                return Pause.STALL
            if not settings.is_read_alike(decoded):
                return self._deny(request, refusals.UNSETTLED)
        context = self._context = self._understanding.context()
        known = self._understanding.facts(decoded, context)
        if known.effect is Effect.UNKNOWN and EXECUTE in known.verbs and ledger.owed and ledger.names_are_moving:
            return Pause.STALL
        statement = Statement(number=self._number + 1, text=decoded, facts=known, is_preparation=is_preparation)
        if known.settings and (refused := settings.refusal(known)) is not None:
            return self._deny(request, refused)
        return self._ask(request, allow, statement)

    def _ask(self, request: _Request, allow: Allow, statement: Statement) -> Statement:
        self._number = statement.number
        self._request = request
        self._allow = allow
        return statement

    def _bind(self, body: bytes) -> Step:
        request = requests.bind(body)
        ledger = self._ledger
        if ledger.forgetting and ledger.owed:
            return Pause.STALL
        try:
            prepared = ledger.prepared.find(request.statement, ledger.batch)
        except Unsettled:
            return Pause.STALL
        if request.portal:
            is_full = len(ledger.bound) >= self._limits.prepared
            if is_full or not self._has_room(ledger.portals, request.portal, len(request.rest)):
                return self._deny(request, refusals.TOO_MANY_PORTALS)
            ledger.bound[requests.bounded(request.portal)] = ledger.batch
            ledger.turns += 1
        if prepared is None:
            prepared = _unknown("EXECUTE", requests.bounded(request.statement))
        else:
            self._understanding.renew(prepared)
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
        self._prepared, self._context = prepared, prepared.context
        return self._ask(request, self._allow_bind, statement)

    def _execute(self, body: bytes) -> Step:
        request = requests.execute(body)
        portal = self._ledger.portals.latest(request.portal)
        if portal is None:
            # DECLARE made it, or nothing did.
            prepared = _unknown("FETCH ALL FROM", request.portal)
            statement = Statement(number=self._number + 1, text=prepared.text, facts=prepared.facts)
            return self._ask(request, self._allow_execute, statement)
        if portal.run.turn not in (-1, self._ledger.turns):
            portal.run.error, portal.run.message = denial.INSUFFICIENT_PRIVILEGE, refusals.REDEFINED.reason
            return self._deny(request, refusals.REDEFINED)
        if portal.run.is_over:
            return self._ask(request, self._allow_execute, replace(portal.run.statement, number=self._number + 1))
        return self._run_portal(request, portal, None)

    def _run_portal(self, request: requests.Execute, portal: Portal, unknown: Portal | None) -> bytes | None:
        """Send an Execute; behind a Describe of our own where plugins want rows whose columns nobody has asked for."""
        name = request.portal
        step: bytes | None = None
        if portal.run.question is not None:
            step = asking.ask(self._ledger, portal.run, portal.run.question) + request.encode()
        elif self._wants_rows and not portal.is_described:
            portal.is_described = True
            self._ledger.owed.append(Owed(State.COLUMNS, name, unknown, True, is_own=True))
            step = requests.describe_portal(name) + request.encode()
        self._ledger.owed.append(Owed(State.EXECUTE, name, unknown, True))
        self._ledger.hold(portal.run)
        self._run = portal.run
        if portal.run.unsettles:
            self._ledger.sent(portal.run)
        return step

    def _describe(self, body: bytes) -> Step:
        is_portal, name = requests.named(body)
        if is_portal:
            portal = self._ledger.portals.latest(name)
            if portal is not None:
                portal.is_described = True
            self._ledger.owed.append(Owed(State.COLUMNS, name, None, True))
        else:
            self._ledger.owed.append(Owed(State.PARAMETERS, name))
        return None

    def _close(self, body: bytes) -> Step:
        is_portal, name = requests.named(body)
        names = self._ledger.portals if is_portal else self._ledger.prepared
        self._ledger.turns += not is_portal
        owed = Owed(State.CLOSE, name, None, is_portal)
        names.begin(name, owed, None, self._ledger.batch)
        self._ledger.owed.append(owed)
        return None

    def _flush(self, body: bytes) -> Step:
        return _empty(body)

    def _sync(self, body: bytes) -> Step:
        # While the server waits for COPY data it ignores a Sync.
        if self._ledger.mode != Mode.COPYING_IN:
            self._ledger.mode = Mode.HELD if self._ledger.mode == Mode.LIMITED else Mode.NORMAL
            self._ledger.owed.append(SYNC_OWED)
            self._ledger.batch += 1
        return _empty(body)

    def _terminate(self, body: bytes) -> Step:
        return _empty(body) or Pause.LEFT

    def _function_call(self, body: bytes) -> Step:
        if self._ledger.batch_is_open:
            return Pause.STALL
        return self._deny(requests.Query(b""), refusals.FUNCTION_CALL, denial.FEATURE_NOT_SUPPORTED)

    def copy_data(self, length: int) -> bytes | None:
        """COPY data of this length, which may pass before the rest of it is there."""
        if self._ledger.mode == Mode.SKIPPING:
            return b""
        self._expect_copy()
        if self._run is not None:
            self._run.received += length - 4
        return None

    def _copy_done(self, body: bytes) -> Step:
        self._expect_copy()
        self._ledger.copy_ended()
        return _empty(body)

    def _copy_fail(self, body: bytes) -> Step:
        self._expect_copy()
        self._ledger.copy_ended()
        return None

    def _expect_copy(self) -> None:
        """COPY data may come before the server has said that it wants it, and still come when it no longer does."""
        if not (self._ledger.mode == Mode.COPYING_IN or self._ledger.is_draining or self._ledger.owed):
            raise ClientFault("COPY data was sent where no COPY is under way")

    # Verdicts.

    def _deny(self, request: _Request, deny: Deny, sqlstate: str = "") -> bytes:
        """Make the server fail in the message's place, and owe the client the reason."""
        self._ledger.owed.append(Owed(State.DENIED, deny=deny, sqlstate=sqlstate))
        if isinstance(request, requests.Query):
            self._ledger.owed.append(SYNC_OWED)
            self._ledger.batch += 1
            return denial.FAILING_PARSE + denial.SYNC
        self._ledger.mode = Mode.SKIPPING
        return denial.FAILING_PARSE

    def _allow_query(self, request: requests.Query, run: Run) -> bytes | None:
        self._ledger.is_draining = False
        if run.unsettles:
            self._ledger.sent(run)
        if run.statement.limit is not None:
            self._ledger.mode = Mode.HELD
        self._run = run
        if run.question is not None:
            return asking.ask_before_query(self._ledger, run, run.question, request.encode(run.statement.text))
        self._ledger.owed.append(Owed(State.QUERY, run=run, is_query=True))
        self._ledger.batch += 1
        return None if run.statement.original is None else request.encode(run.statement.text)

    def _allow_parse(self, request: requests.Parse, run: Run) -> bytes | None:
        statement = run.statement
        context = self._understanding.lasting(statement.facts, self._context)
        prepared = Prepared(statement.text, statement.facts, statement.original, request.types, context)
        owed = Owed(State.PARSE, request.name, run=run, prepared=prepared)
        self._ledger.prepared.begin(request.name, owed, prepared, self._ledger.batch)
        self._ledger.owed.append(owed)
        if request.name:
            self._ledger.turns += 1
        return None if statement.original is None else request.encode(statement.text)

    def _allow_bind(self, request: requests.Bind, run: Run) -> bytes | None:
        ledger, prepared = self._ledger, self._prepared
        assert prepared is not None
        change = None
        if run.statement.text != prepared.text:
            # A plugin has rewritten what is prepared already: prepare the new text beside it.
            change = request.encode(run.statement.text, denial.PRIVATE_NAME, prepared.types)
            ledger.owed.append(Owed(State.CLOSE, denial.PRIVATE_NAME, is_own=True))
            ledger.owed.append(Owed(State.PARSE, denial.PRIVATE_NAME, is_own=True))
        if run.unsettles:
            ledger.sent(run)
        portal = Portal(run, size=len(request.rest))
        owed = Owed(State.BIND, request.portal, portal, True)
        ledger.portals.begin(request.portal, owed, portal, ledger.batch)
        ledger.owed.append(owed)
        ledger.is_draining = False
        return change

    def _allow_execute(self, request: requests.Execute, run: Run) -> bytes | None:
        portal = self._ledger.portals.latest(request.portal)
        if portal is None:
            limit_fetch(run, self._ledger)
            portal = unknown = Portal(run)
            return self._run_portal(request, portal, unknown)
        portal.run = run
        return self._run_portal(request, portal, None)

    handlers: ClassVar[Mapping[int, Handler]] = {
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


def _empty(body: bytes) -> Step:
    if body:
        raise ClientFault("the client sent a malformed message")
    return None


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
        name = (match[1].lower() if match[1] else match[2]).encode() if match else b""
        # The server cuts a name that is too long.
        run.forgets = name if len(name) <= requests.LONGEST_NAME else b""
    run.forgets_portals = "declare" in verbs or "close" in verbs


def _note_names(run: Run, ledger: Ledger) -> None:
    """See whether the statement changes what names stand for, and when its own are looked up."""
    if run.forgets is not None or run.prepares is not None:
        run.unsettles |= NAMES
    if not _LATE.isdisjoint(run.statement.facts.verbs):
        run.turn = ledger.turns + (1 if run.unsettles & TURNING else 0)
