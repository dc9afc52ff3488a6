"""The server's half of the serving phase: each message is attributed to what the server owes, and may be changed.

Source: PostgreSQL 18 documentation, 54.2 "Message Flow", above all 54.2.2 to 54.2.4, 54.2.6 and 54.2.7.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, TypeAlias, TypeVar

from gatepost.adapter import Action, Environment, Redefined, SendClient, SendUpstream
from gatepost.errors import UpstreamFault
from gatepost.partial import Partial
from gatepost_postgres import denial, messages
from gatepost_postgres.frames import HEADER_BYTES, LONGEST, header
from gatepost_postgres.ledger import Ledger
from gatepost_postgres.owed import Owed, Run, State
from gatepost_postgres.results import Plans
from gatepost_postgres.settings import Demands
from gatepost_postgres.stream import Change, Stream
from gatepost_postgres.texts import Texts
from gatepost_postgres.understanding import Understanding
from gatepost_postgres.usual import Usual

T = TypeVar("T")

_STATUSES: Final = b"ITE"
_copy_response: Final = struct.Struct("!?h")
_COPY_RESPONSE_BYTES: Final = HEADER_BYTES + _copy_response.size
_SWALLOWED: Final = b""
_ENDS_SESSION: Final = ("FATAL", "PANIC")
_NOTHING: Final = Owed(State.NOTHING)

Handler: TypeAlias = "Callable[[Answers, Owed, bytes, int, int], Change]"


def _by_state(entries: Mapping[int, T], default: T) -> tuple[T, ...]:
    """The entries as a tuple, to be indexed by state."""
    return tuple(entries.get(state, default) for state in State.ALL)


# The kind of row that may come in a state; rows come in runs and are handled as such.
_ROWS: Final = _by_state(
    {
        State.EXECUTE: messages.DATA_ROW,
        State.EXECUTE_ROWS: messages.DATA_ROW,
        State.QUERY_ROWS: messages.DATA_ROW,
        State.COPY_OUT: messages.COPY_DATA,
    },
    None,
)


class Answers:
    """The server's messages: struck out of the ledger, and changed where plugins say so."""

    def __init__(
        self, environment: Environment, ledger: Ledger, demands: Demands, understanding: Understanding
    ) -> None:
        self._ledger = ledger
        self._understanding = understanding
        self._demands = demands
        self._owed = ledger.owed
        self._partial = Partial()
        self._stream = Stream(environment, ledger)
        self._plans = Plans(environment.hooks, understanding)
        self._texts = Texts(environment.hooks)
        self._usual = Usual(ledger, self._plans, self._texts)
        understanding.forgets.append(self._usual.forget)

    @property
    def is_amid_message(self) -> bool:
        """A part of one of the server's messages has left for the client."""
        return self._stream.passing > 0

    def receive(self, data: bytes) -> list[Action]:
        if self._partial.data:
            joined = self._partial.join(data)
            if joined is None:
                return []
            data = joined
        elif not self._stream.passing and (usual := self._usual_answer(data)) is not None:
            actions: list[Action] = [SendClient(usual), *self._ledger.ended]
            self._ledger.ended.clear()
            return self._redefined(actions) if self._ledger.is_redefined else actions
        end = len(data)
        position = sent = 0
        pieces = []
        if self._stream.passing:
            position = self._stream.pass_rest(end)
        ledger, owed, expected = self._ledger, self._owed, self._expected
        while end - position >= HEADER_BYTES:
            kind, length = header(data, position)
            if length < 4 or length > LONGEST:
                raise UpstreamFault("the server sent a message with an impossible length")
            if ledger.marks:
                ledger.drop_marks()
            head = owed[0] if owed else _NOTHING
            stop = position + 1 + length
            if kind == _ROWS[head.state]:
                stop, change = self._stream.rows(head, data, position, stop)
                if stop == position:
                    self._partial.keep(data[position:], 1 + length)
                    break
            elif (handler := expected[head.state].get(kind) or self._at_any_time.get(kind)) is None:
                raise UpstreamFault("the server sent a message that it does not owe")
            elif stop > end:
                self._stream.bound(length)
                self._partial.keep(data[position:], 1 + length)
                break
            else:
                change = handler(self, head, data, position, stop)
            if change is not None:
                if position > sent:
                    pieces.append(data[sent:position])
                pieces.append(change)
                sent = stop
            position = stop
        else:
            if position < end:
                self._partial.keep(data[position:], HEADER_BYTES)
        if ledger.marks:
            ledger.drop_marks()
        if pieces:
            if position > sent:
                pieces.append(data[sent:position])
            out = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        else:
            out = data if position == end else data[:position]
        actions = [SendClient(out)] if out else []
        if ledger.ended:
            actions += ledger.ended
            ledger.ended.clear()
        if replies := self._stream.replies:
            actions.append(SendUpstream(b"".join(replies)))
            replies.clear()
        return self._redefined(actions) if ledger.is_redefined else actions

    def _redefined(self, actions: list[Action]) -> list[Action]:
        """What the catalogue describes has changed: all have to know before the client does."""
        self._ledger.is_redefined = False
        self._understanding.redefined()
        return [Redefined(), *actions]

    def _usual_answer(self, data: bytes) -> bytes | None:
        """Take a whole answer at once, as the handlers would, if one like it was seen before: what leaves of it."""
        known = self._usual.find(data)
        if known is None:
            return None
        run, portal, plan, starts, begin, end, tag, status = known
        if portal is not None:
            self._bound_portal(self._owed[0], data, 0, HEADER_BYTES)
            portal.plan = plan
        change = self._stream.changed(plan, run, data[begin:end], starts) if end > begin and plan else None
        self._owed.clear()
        run.rows += len(starts)
        run.row_bytes += end - begin if change is None else len(change)
        run.tag = tag
        self._ledger.end(run)
        self._ledger.ready(status)
        return data if change is None else b"".join((data[:begin], change, data[end:]))

    def _swallow(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        return _SWALLOWED

    def _stopped(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        """The answer to an Execute that was over its limit is complete."""
        self._owed.popleft()
        assert head.run is not None
        self._ledger.end(head.run)
        return _SWALLOWED

    def _stopped_ready(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        self._ready(head, data, position, stop)
        return _SWALLOWED

    def _refuse_copy(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        """The client does not learn that the server waits for COPY data."""
        self._stream.replies.append(denial.COPY_FAIL)
        return _SWALLOWED

    # What else a result is made of.

    def _describe_rows(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        body = data[position + HEADER_BYTES : stop]
        if head.is_query:
            assert head.run is not None
            head.plan = self._plans.rows(head.run.statement, body)
            head.state = State.QUERY_ROWS
            return head.plan.message
        self._owed.popleft()
        if not head.is_portal:
            if head.is_own:
                assert head.run is not None
                assert head.run.question is not None
                head.run.question.answer = body
                return _SWALLOWED
            return self._plans.titles(body)
        portal = self._ledger.portal_of(head)
        if portal is None:
            return self._plans.titles(body)
        portal.plan = self._plans.rows(portal.run.statement, body)
        return _SWALLOWED if head.is_own else portal.plan.message

    def _no_rows(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        self._owed.popleft()
        return _SWALLOWED if head.is_own else None

    def _describe_parameters(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        if head.is_own:
            head.state = State.COLUMNS
            return _SWALLOWED
        body = data[position + HEADER_BYTES : stop]
        prepared = self._ledger.prepared.settled.get(head.name)
        if prepared is not None:
            try:
                prepared.types = struct.unpack_from(f"!{(len(body) - 2) // 4}I", body, 2)
            except struct.error:
                raise UpstreamFault("the server sent a malformed parameter description") from None
        head.state = State.COLUMNS
        return None

    def _complete(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        body = data[position + HEADER_BYTES : stop]
        tag, change = self._texts.get_tag(body) or self._texts.tag(body)
        run = head.run or self._run_of(head)
        run.tag = tag
        self._finish(head, run)
        return change

    def _empty(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        self._finish(head, self._run_of(head))
        return None

    def _suspended(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        self._owed.popleft()
        if head.portal is not None:
            # The rest of a cursor that no Bind has made is asked about when it is executed again.
            self._ledger.end(head.portal.run)
        return None

    def _finish(self, head: Owed, run: Run) -> None:
        """The answer to an Execute, or to one statement of a Query, is complete."""
        if self._ledger.mode:
            self._ledger.copy_is_over()
        if head.is_query:
            head.state, head.plan = State.QUERY_NEXT, None
        else:
            self._owed.popleft()
            self._ledger.end(run)

    # COPY.

    def _copy_out(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        if stop - position < _COPY_RESPONSE_BYTES:
            raise UpstreamFault("the server sent a malformed CopyOutResponse")
        run = self._run_of(head)
        head.run, head.state = run, State.COPY_OUT
        is_binary, count = _copy_response.unpack_from(data, position + HEADER_BYTES)
        head.plan = self._plans.copy(run.statement, is_binary=is_binary, count=count, question=run.question)
        return None

    def _copy_out_done(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        head.state = State.COPY_OUT_DONE
        return None

    def _copy_in(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        head.run, head.state = self._run_of(head), State.COPY_IN
        self._ledger.copy_begins()
        return None

    def _run_of(self, head: Owed) -> Run:
        if head.run is not None:
            return head.run
        portal = self._ledger.portal_of(head)
        if portal is None:
            raise UpstreamFault("the server answered for a portal that does not exist")
        return portal.run

    # Prepared statements and portals.

    def _parsed(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        self._owed.popleft()
        if head.is_own:
            return _SWALLOWED
        self._ledger.prepared.end(head.name, head)
        assert head.prepared is not None
        self._ledger.prepared.settled[head.name] = head.prepared
        if head.run is not None:
            self._ledger.end(head.run)
        return None

    def _bound_portal(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        self._owed.popleft()
        portals, name, portal = self._ledger.portals, head.name, head.portal
        assert portal is not None
        portals.end(name, head)
        if name in portals.settled:
            self._ledger.end(portals.settled[name].run)
        portals.settled[name] = portal
        return None

    def _closed(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        self._owed.popleft()
        if head.is_own:
            return _SWALLOWED
        if head.is_portal:
            self._ledger.portals.end(head.name, head)
            portal = self._ledger.portals.settled.pop(head.name, None)
            if portal is not None:
                self._ledger.end(portal.run)
            if self._ledger.portals.latest(head.name) is None:
                self._ledger.bound.pop(head.name, None)
        else:
            self._ledger.prepared.end(head.name, head)
            self._ledger.prepared.settled.pop(head.name, None)
        return None

    # Errors, and the end of a batch.

    def _failed(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        fields, change = self._texts.error(data[position + HEADER_BYTES : stop])
        code, message = fields.get("code", ""), fields.get("message", "")
        if fields.get("severity_unlocalized", fields.get("severity")) in _ENDS_SESSION:
            self._ledger.fail_all(code, message)
            return change
        if head.state == State.SYNC:
            return change
        if head.state == State.NOTHING:
            raise UpstreamFault("the server sent an error that it does not owe")
        if head.state == State.QUERY_STOPPED:
            return _SWALLOWED
        if head.state == State.STOPPED:
            assert head.deny is not None
            self._ledger.skip(denial.INSUFFICIENT_PRIVILEGE, head.deny.reason)
            # It failed by itself. What it was to fail by is skipped with the rest, unless a Sync stands between.
            return _SWALLOWED if self._owed else denial.refusal(head.deny)
        if head.state == State.DENIED:
            assert head.deny is not None
            change = denial.refusal(head.deny, head.sqlstate)
        if head.state == State.COPY_IN or head.state == State.DENIED:
            self._ledger.copy_is_over()
            self._ledger.is_draining = True
        if head.is_query:
            assert head.run is not None
            head.run.error, head.run.message = code, message
            head.state = State.QUERY_FAILED
            return change
        if head.state == State.PARSE and not head.name and not head.is_own:
            self._ledger.prepared.settled.pop(b"", None)
        self._ledger.skip(code, message)
        return change

    def _ready(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        if stop - position != HEADER_BYTES + 1 or data[position + HEADER_BYTES] not in _STATUSES:
            raise UpstreamFault("the server sent a malformed ReadyForQuery")
        self._owed.popleft()
        if head.run is not None:
            self._ledger.end(head.run)
        self._ledger.ready(data[position + HEADER_BYTES])
        return _SWALLOWED if head.is_own else None

    # What may come at any time.

    def _notice(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        return self._texts.notice(data[position + HEADER_BYTES : stop])

    def _notification(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        return self._texts.notification(data[position + HEADER_BYTES : stop])

    def _parameter(self, head: Owed, data: bytes, position: int, stop: int) -> Change:
        name, value, change = self._texts.parameter(data[position + HEADER_BYTES : stop])
        self._demands.check(name, value)
        self._understanding.reported(name, value)
        return change

    # The tables.

    _at_any_time: ClassVar[Mapping[int, Handler]] = {
        messages.ERROR: _failed,
        messages.NOTICE: _notice,
        messages.NOTIFICATION: _notification,
        messages.PARAMETER_STATUS: _parameter,
    }

    _unshown: ClassVar[Mapping[int, Handler]] = {
        messages.DATA_ROW: _swallow,
        messages.COPY_DATA: _swallow,
        messages.COPY_DONE: _swallow,
    }

    _execution: ClassVar[Mapping[int, Handler]] = {
        messages.COMMAND_COMPLETE: _complete,
        messages.EMPTY_QUERY: _empty,
        messages.COPY_IN: _copy_in,
        messages.COPY_OUT: _copy_out,
    }

    _description: ClassVar[Mapping[int, Handler]] = {
        messages.ROW_DESCRIPTION: _describe_rows,
        messages.NO_DATA: _no_rows,
    }

    # What the server may send in a state. What is missing breaks the protocol.
    _expected: ClassVar = _by_state(
        {
            State.NOTHING: {},
            State.PARSE: {messages.PARSE_COMPLETE: _parsed},
            State.BIND: {messages.BIND_COMPLETE: _bound_portal},
            State.CLOSE: {messages.CLOSE_COMPLETE: _closed},
            State.PARAMETERS: {messages.PARAMETER_DESCRIPTION: _describe_parameters},
            State.COLUMNS: _description,
            State.EXECUTE: {**_execution, messages.PORTAL_SUSPENDED: _suspended},
            State.EXECUTE_ROWS: {
                messages.COMMAND_COMPLETE: _complete,
                messages.PORTAL_SUSPENDED: _suspended,
            },
            State.QUERY: {**_execution, messages.ROW_DESCRIPTION: _describe_rows},
            State.QUERY_ROWS: {messages.COMMAND_COMPLETE: _complete},
            State.QUERY_NEXT: {
                **_execution,
                messages.ROW_DESCRIPTION: _describe_rows,
                messages.READY: _ready,
            },
            State.QUERY_FAILED: {messages.READY: _ready},
            State.COPY_OUT: {messages.COPY_DONE: _copy_out_done},
            State.COPY_OUT_DONE: {messages.COMMAND_COMPLETE: _complete},
            State.COPY_IN: {messages.COMMAND_COMPLETE: _complete},
            State.COPY_IN_ENDED: {},
            State.DENIED: {},
            State.SYNC: {messages.READY: _ready},
            State.STOPPED: {**_unshown, messages.COMMAND_COMPLETE: _stopped, messages.PORTAL_SUSPENDED: _stopped},
            State.QUERY_STOPPED: {
                **_unshown,
                messages.COMMAND_COMPLETE: _swallow,
                messages.ROW_DESCRIPTION: _swallow,
                messages.EMPTY_QUERY: _swallow,
                messages.COPY_OUT: _swallow,
                messages.COPY_IN: _refuse_copy,
                messages.READY: _stopped_ready,
            },
        },
        {},
    )
