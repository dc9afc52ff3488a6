"""One session: two links, a protocol session between them, and the plugins asked in time.

The one place that touches sockets while a session lives. It performs what the protocol session asks for
(`gatepost.adapter`), and holds back what the plugins have not yet agreed to: the client's bytes while a question is
open, and the answer's while its record is not durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from gatepost.adapter import (
    CLIENT,
    UPSTREAM,
    Action,
    Ask,
    Authenticate,
    Cancel,
    Close,
    Connect,
    Ended,
    Environment,
    ProtocolSession,
    Recognised,
    Redefined,
    SendClient,
    SendUpstream,
    Serving,
    Side,
    StartTls,
)
from gatepost.calling import Steps, failure, finish
from gatepost.canceller import Canceller
from gatepost.catalogue import Keeper
from gatepost.deciding import Decision
from gatepost.errors import ClientFault, Fault, FaultCode, PluginFault, UpstreamFault
from gatepost.link import Link
from gatepost.listener import Listener, dial
from gatepost.plugins import Access, Plugins
from gatepost.values import (
    ALLOW,
    Deny,
    EndCode,
    Identity,
    Notice,
    NoticeKind,
    Outcome,
    Reason,
    Session,
    Statement,
    Target,
    Verifier,
)

log = logging.getLogger("gatepost.session")

_set_duration: Final[Callable[[Outcome, str, float], None]] = msgspec.structs.force_setattr

Answer: TypeAlias = Callable[[Any], list[Action]]

# A link's reading stops while any of these holds it.
_PEER_IS_SLOW: Final = 1
_QUESTION_OPEN: Final = 2
_OUTPUT_HELD: Final = 4

_END_CODES: Final = ((ClientFault, EndCode.CLIENT_FAULT), (UpstreamFault, EndCode.UPSTREAM_FAULT))


class Worker(Protocol):
    """What a session needs of the process that it lives in."""

    plugins: Plugins
    gate_secret: bytes
    held_bytes: int
    connect_seconds: float

    def forget(self, relay: Relay) -> None: ...

    def proven(self, relay: Relay) -> None: ...

    def background(self, work: Coroutine[Any, Any, Any]) -> None: ...

    def cancel(self, number: int, secret: bytes, ends_session: bool) -> Steps[bool]: ...

    def keeper(self, target: Target) -> Keeper: ...

    def redefined(self, target: Target) -> None: ...

    def upstream(self, target: Target) -> object: ...

    def recognised(self, target: Target, upstream: object) -> None: ...


class Relay:
    """A client's connection, from its first byte to `on_session_end`. `refusal`: why it is not let in at all."""

    __slots__ = (
        "_answer",
        "_client",
        "_closing",
        "_decide",
        "_draining",
        "_held_input",
        "_held_output",
        "_held_output_bytes",
        "_hooks",
        "_keeper",
        "_listener",
        "_loop",
        "_output_wait",
        "_plugins",
        "_protocol",
        "_refusal",
        "_resolve",
        "_serving",
        "_spoke",
        "_started",
        "_steps",
        "_upstream",
        "_waiting",
        "_watches_ends",
        "_watches_output",
        "_worker",
        "active_at",
        "began_at",
        "session",
    )

    def __init__(
        self,
        worker: Worker,
        listener: Listener,
        session: Session,
        cancel_secret: bytes,
        loop: asyncio.AbstractEventLoop,
        refusal: Fault | None = None,
    ) -> None:
        self._worker = worker
        self._refusal = refusal
        self._listener = listener
        self._plugins = worker.plugins
        self._loop = loop
        self.session = session
        self._hooks = worker.plugins.for_session(session)
        self._watches_output = worker.plugins.watches_output
        self._watches_ends = worker.plugins.watches_ends
        self._keeper = worker.keeper(listener.target)
        self._protocol: ProtocolSession = listener.adapter.session(
            Environment(
                number=session.number,
                cancel_secret=cancel_secret,
                gate_secret=worker.gate_secret,
                offers=worker.plugins.offers,
                hooks=self._hooks,
                limits=listener.limits,
                client_tls=listener.client_tls,
                upstream_tls=listener.upstream_tls,
                upstream_direct_tls=listener.upstream_direct_tls,
                catalogue=self._keeper.current,
                has_catalogue=self._keeper.is_kept,
                upstream=worker.upstream(listener.target),
            )
        )
        self._resolve = self._protocol.resolve
        self._decide = worker.plugins.decide
        self._client = Link(self, CLIENT)
        self._upstream: Link | None = None
        self._serving = self._draining = self._spoke = False
        self._closing: Reason | None = None
        self._waiting: asyncio.Future[Any] | None = None
        self._steps: Steps[Any] | None = None
        self._answer: Answer | None = None
        self._held_input = bytearray()
        self._held_output: list[bytes] = []
        self._held_output_bytes = 0
        self._output_wait: asyncio.Future[Any] | None = None
        self._started: dict[int, float] = {}
        self.began_at = self.active_at = loop.time()

    @property
    def client(self) -> Link:
        """The client's link: the protocol of an accepted connection."""
        return self._client

    @property
    def is_serving(self) -> bool:
        return self._serving

    # What links report.

    def made(self, side: Side) -> None:
        if side is CLIENT:
            self._become(msgspec.structs.replace(self.session, client=self._client.peer))
            if self._refusal is not None:
                self.fail(self._refusal)
            else:
                self._guard(self._protocol.begin)

    def received(self, side: Side, data: bytes) -> None:
        self.active_at = self._loop.time()
        if side is CLIENT:
            self._spoke = True
            if self._steps is not None:
                self._hold_input(data)
                return
        if self._closing is not None:
            return
        try:
            self._run(self._protocol.receive(side, data))
        except Exception as error:
            self._failed(error)

    def tls_established(self, side: Side, info: Any) -> None:
        if side is CLIENT:
            self._become(msgspec.structs.replace(self.session, tls=f"{info.version} {info.cipher}"))
        self._guard(lambda: self._protocol.tls_started(side, info))

    def lost(self, side: Side) -> None:
        """A side has closed, or its connection broke."""
        if self._closing is None:
            self._guard(lambda: self._protocol.eof(side))

    def broken(self, fault: Fault) -> None:
        """A link cannot go on, for a reason of its own (TLS)."""
        self.fail(fault)

    def slow(self, side: Side, is_slow: bool) -> None:
        """A side does not take what it is sent fast enough, or does again: its peer waits."""
        link = self._upstream if side is CLIENT else self._client
        if link is not None:
            link.hold(_PEER_IS_SLOW) if is_slow else link.release(_PEER_IS_SLOW)

    # What the worker asks for.

    def fail(self, fault: Fault, code: EndCode | None = None) -> None:
        """End the session because of `fault`, telling the client in its protocol's form."""
        if self._closing is not None:
            return
        if code is None:
            code = next((code for kind, code in _END_CODES if isinstance(fault, kind)), EndCode.PLUGIN_FAULT)
        # What waits for its record must not leave now, and gatepost's own words need no record.
        self._held_output.clear()
        self._output_wait = None
        self._watches_output = False
        try:
            self._run(self._protocol.fault(fault, code))
        except Exception as error:
            log.error("%s", failure(self._listener.adapter.name, "fault", error))
        if self._closing is None:
            self._close(Reason(code=code, text=fault.message))

    def look_for_client(self) -> None:
        """Notice a client that left while nothing was read from it, since a statement is held."""
        if self._steps is not None and self._client.peer_has_left():
            self.lost(CLIENT)

    def drain(self) -> None:
        """Let what is under way come to its end, then close."""
        self._draining = True
        self._shut_down_if_idle()

    def owns(self, secret: bytes) -> bool:
        return self._protocol.owns(secret)

    def cancel(self) -> None:
        """Cancel what the session does: a held statement is denied, one that runs is cancelled upstream."""
        if not self._serving:
            return
        if self._waiting is not None:
            self._waiting.cancel()
        elif (request := self._protocol.cancel_upstream()) is not None:
            self._worker.background(Canceller(request, self._listener, self._worker.connect_seconds).run())

    def kill(self, fault: Fault, code: EndCode) -> None:
        """End the session as `fail` does, and what it runs in its database."""
        if not self._protocol.is_idle:
            self.cancel()
        self.fail(fault, code)

    # Actions.

    def _guard(self, call: Callable[[], list[Action]]) -> None:
        try:
            self._run(call())
        except Exception as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, Fault):
            error = failure(self._listener.adapter.name, "session", error)
        self.fail(error)

    def _run(self, actions: list[Action] | None) -> None:
        upstream: list[bytes] = []
        try:
            while actions:
                more: list[Action] | None = None
                for action in actions:
                    kind = type(action)
                    if kind is SendUpstream:
                        upstream.append(action.data)  # type: ignore[union-attr]
                    elif kind is SendClient:
                        self._show(action.data)  # type: ignore[union-attr]
                    elif kind is Ask:
                        more = self._ask(action.statement)  # type: ignore[union-attr]
                    elif kind is Ended:
                        self._end_statement(action.statement, action.outcome)  # type: ignore[union-attr]
                    else:
                        self._send_upstream(upstream)
                        more = self._perform(action)
                actions = more
        finally:
            self._send_upstream(upstream)
        if self._draining:
            self._shut_down_if_idle()

    def _send_upstream(self, pieces: list[bytes]) -> None:
        if pieces and self._upstream is not None:
            self._upstream.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        pieces.clear()

    def _perform(self, action: Action) -> list[Action] | None:
        """The rare actions. Returns what follows at once, if anything does."""
        match action:
            case Authenticate():
                self._become(
                    msgspec.structs.replace(
                        self.session,
                        user=action.credentials.user,
                        database=action.database,
                        application=action.application,
                    )
                )
                return self._question(self._plugins.authenticate(self.session, action.credentials), self._authenticated)
            case Connect():
                self._become(msgspec.structs.replace(self.session, identity=action.identity))
                self._worker.proven(self)
                return self._question(self._connect(), self._connected)
            case StartTls():
                self._start_tls(action.side, action.early)
            case Serving():
                self._serving = True
            case Cancel():
                found = self._worker.cancel(action.number, action.secret, action.ends_session)
                if self._serving:
                    return self._question(found, self._protocol.cancelled)
                self._worker.background(finish(found))
            case Redefined():
                self._worker.redefined(self._listener.target)
            case Recognised():
                self._worker.recognised(self._listener.target, action.upstream)
            case Close():
                self._close(action.reason)
        return None

    def _become(self, session: Session) -> None:
        self.session = self._hooks.session = session

    def _start_tls(self, side: Side, early: bytes) -> None:
        make = self._listener.client_layer if side is CLIENT else self._listener.upstream_layer
        link = self._client if side is CLIENT else self._upstream
        if make is None or link is None:
            raise ClientFault("TLS was asked for where none is configured", code=FaultCode.UNSUPPORTED)
        link.start_tls(make(), early)

    # Questions to plugins.

    def _ask(self, statement: Statement) -> list[Action] | None:
        steps = self._decide(self.session, statement, self._protocol.restate, self._settle)
        if steps is not None:
            return self._question(steps, self._decided)
        if self._watches_ends:
            self._started[statement.number] = self._loop.time()
        return self._resolve(statement, ALLOW)

    def _settle(self, statement: Statement) -> Steps[Statement]:
        """The statement by the catalogue that is being read; the same at once where none is."""
        reading = self._keeper.reading()
        if reading is None:
            return statement
        yield reading
        return self._protocol.renew(statement)

    def _question(self, steps: Steps[Any], answer: Answer) -> list[Action] | None:
        """Ask the plugins. Returns the actions that follow, or None if the answer is awaited."""
        try:
            waiting = next(steps)
        except StopIteration as end:
            return answer(end.value)
        self._steps, self._answer = steps, answer
        self._wait(waiting)
        return None

    def _wait(self, waiting: Any) -> None:
        self._waiting = asyncio.ensure_future(waiting)
        self._waiting.add_done_callback(self._waited)

    def _waited(self, future: asyncio.Future[Any]) -> None:
        steps, answer = self._steps, self._answer
        assert steps is not None
        assert answer is not None
        try:
            if future.cancelled():
                waiting = steps.throw(asyncio.CancelledError())
            elif error := future.exception():
                waiting = steps.throw(error)
            elif self._closing is not None:
                waiting = steps.throw(asyncio.CancelledError())  # it was answered too late to be cancelled
            else:
                waiting = steps.send(future.result())
        except StopIteration as end:
            self._steps = self._answer = self._waiting = None
            if self._closing is not None:
                self._end_session()
                return
            value = end.value
            self._guard(lambda: answer(value))
            self._resume_input()
        except (Exception, asyncio.CancelledError) as error:
            self._steps = self._answer = self._waiting = None
            if self._closing is not None:
                self._end_session()
            else:
                self._failed(error)
        else:
            self._wait(waiting)

    def _hold_input(self, data: bytes) -> None:
        self._held_input += data
        if len(self._held_input) >= self._worker.held_bytes:
            self._client.hold(_QUESTION_OPEN)

    def _resume_input(self) -> None:
        while self._held_input and self._steps is None and self._closing is None:
            data = bytes(self._held_input)
            self._held_input.clear()
            self._guard(lambda data=data: self._protocol.receive(CLIENT, data))  # type: ignore[misc]
        if self._steps is None:
            self._client.release(_QUESTION_OPEN)

    def _authenticated(self, answer: Identity | Verifier | Deny | None) -> list[Action]:
        return self._protocol.authenticated(answer)

    def _connect(self) -> Steps[Access]:
        access = yield from self._plugins.connect(self.session, self._listener.target)
        self._upstream = Link(self, UPSTREAM)
        yield dial(self._upstream, self._listener, self._worker.connect_seconds)
        return access

    def _connected(self, access: Access) -> list[Action]:
        credentials = access.credentials
        if not credentials.database:
            credentials = msgspec.structs.replace(credentials, database=self._listener.target.database)
        return self._protocol.connected(credentials, access.restriction)

    def _decided(self, decision: Decision) -> list[Action]:
        statement, verdict = decision
        if isinstance(verdict, Deny):
            verdict = self._shown(verdict)
        elif self._watches_ends:
            self._started[statement.number] = self._loop.time()
        return self._resolve(statement, verdict)

    def _shown(self, deny: Deny) -> Deny:
        """A denial as the client may see it: it names what the statement does, and a name can be a card number."""
        notice = Notice(NoticeKind.ERROR, {"message": deny.reason, "hint": deny.hint}, is_about_text=True)
        self._hooks.notice(notice)
        return msgspec.structs.replace(deny, reason=notice.fields["message"], hint=notice.fields["hint"])

    def _end_statement(self, statement: Statement, outcome: Outcome) -> None:
        if not self._watches_ends:
            return
        began = self._started.pop(statement.number, None)
        if began is not None:
            _set_duration(outcome, "duration", self._loop.time() - began)
        steps = self._plugins.statement_end(self.session, statement, outcome)
        if steps is not None:
            self._worker.background(self._finish_statement(steps))

    async def _finish_statement(self, steps: Steps[None]) -> None:
        try:
            await finish(steps)
        except Exception as error:
            self._failed(error)

    # Output.

    def _show(self, data: bytes) -> None:
        if self._watches_output and self._serving:
            waiting = self._plugins.output(self.session, data)
            if waiting is not None:
                future = waiting if isinstance(waiting, asyncio.Future) else asyncio.ensure_future(waiting)
                if not future.done() or future.cancelled() or future.exception() is not None:
                    self._output_wait = future
        if self._output_wait is None:
            self._client.write(data)
            return
        if not self._held_output:
            self._output_wait.add_done_callback(self._release_output)
        self._held_output.append(data)
        self._held_output_bytes += len(data)
        if self._held_output_bytes >= self._worker.held_bytes and self._upstream is not None:
            self._upstream.hold(_OUTPUT_HELD)

    def _release_output(self, future: asyncio.Future[Any]) -> None:
        if not self._held_output:
            return
        error: BaseException | None = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            reason = error if isinstance(error, Fault) else failure("on_output", "waiting", error)
            self.fail(PluginFault(reason.message, code=reason.code, hint=reason.hint))
            self._close_links()
            return
        latest = self._output_wait
        if latest is not None and latest is not future and not latest.done():
            latest.add_done_callback(self._release_output)
            return
        held, self._held_output, self._held_output_bytes = self._held_output, [], 0
        self._output_wait = None
        self._client.write(held[0] if len(held) == 1 else b"".join(held))
        if self._upstream is not None:
            self._upstream.release(_OUTPUT_HELD)
        if self._closing is not None:
            self._close_links()
        elif self._draining:
            self._shut_down_if_idle()

    # The end.

    def _shut_down_if_idle(self) -> None:
        if self._closing is not None or self._steps is not None or self._held_output or not self._protocol.is_idle:
            return
        fault = ClientFault("the gateway is shutting down", code=FaultCode.SHUTDOWN, hint="Connect again.")
        self.fail(fault, EndCode.SHUTDOWN)

    def _close(self, reason: Reason) -> None:
        if self._closing is not None:
            return
        self._closing = reason
        quiet = reason.code in (EndCode.CLIENT_LEFT, EndCode.CANCEL_REQUEST, EndCode.SHUTDOWN)
        log.log(
            logging.DEBUG if quiet else logging.WARNING,
            "session %s from %s to %s ended: %s: %s",
            self.session.id,
            self.session.client,
            self.session.target,
            reason.code.name.lower(),
            reason.text,
        )
        if not self._held_output or reason.code is EndCode.CLIENT_LEFT:
            self._close_links()
        if self._waiting is not None:
            self._waiting.cancel()
        else:
            self._end_session()

    def _close_links(self) -> None:
        self._client.close()
        if self._upstream is not None:
            self._upstream.close()

    def _end_session(self) -> None:
        self._worker.forget(self)
        if self._spoke and self._closing is not None:
            self._worker.background(self._tell_end(self._closing))

    async def _tell_end(self, reason: Reason) -> None:
        for fault in await finish(self._plugins.session_end(self.session, reason)):
            log.error("%s", fault)
