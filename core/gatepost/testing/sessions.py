"""Protocol sessions without sockets: a relay that plays transcripts, and hooks that keep what they saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

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
    Redefined,
    SendClient,
    SendUpstream,
    Serving,
    Side,
    StartTls,
    TlsInfo,
)
from gatepost.errors import ClientFault, Fault, UpstreamFault
from gatepost.testing.values import AGENT
from gatepost.values import (
    ALLOW,
    CredentialKind,
    Deny,
    EndCode,
    Identity,
    Interest,
    Limit,
    Notice,
    Outcome,
    Reason,
    Restriction,
    Result,
    Rewrite,
    Row,
    RowBatch,
    Secret,
    Statement,
    UpstreamCredentials,
    Verdict,
    Verifier,
)


class RecordingHooks:
    """An `adapter.Hooks` that keeps what it saw.

    Attributes:
        interest: what `columns` answers; `Interest.NOTHING` leaves every row alone.
        change_row, change_batch, change_notice: called with what is shown, to change it.
        results: the results whose columns were shown.
        rows_seen: the cells of each row that was shown, as they travelled.
        notices: each notice that was shown, before it was changed, as (kind, fields).
    """

    def __init__(
        self,
        interest: Interest = Interest.NOTHING,
        *,
        change_row: Callable[[Row], None] | None = None,
        change_batch: Callable[[RowBatch], None] | None = None,
        change_notice: Callable[[Notice], None] | None = None,
        wants_statements: bool = True,
        wants_rows: bool = True,
        wants_notices: bool = True,
    ) -> None:
        self.interest = interest
        self.change_row = change_row
        self.change_batch = change_batch
        self.change_notice = change_notice
        self.wants_statements = wants_statements
        self.wants_rows = wants_rows
        self.wants_notices = wants_notices
        self.results: list[Result] = []
        self.rows_seen: list[tuple[bytes | None, ...]] = []
        self.notices: list[tuple[str, dict[str, str]]] = []

    def columns(self, result: Result) -> Interest:
        self.results.append(result)
        return self.interest

    def rows(self, batch: RowBatch, interest: Interest) -> None:
        for index in range(len(batch)):
            row = batch.row(index)
            self.rows_seen.append(tuple(row.raw(column) for column in range(len(row))))
            if self.change_row is not None:
                self.change_row(row)
        if self.change_batch is not None:
            self.change_batch(batch)

    def notice(self, notice: Notice) -> None:
        self.notices.append((notice.kind.value, dict(notice.fields)))
        if self.change_notice is not None:
            self.change_notice(notice)


def make_environment(hooks: RecordingHooks | None = None, **changes: Any) -> Environment:
    """The world of a session; `changes` are attributes of `Environment`."""
    values: dict[str, Any] = {
        "number": 7,
        "cancel_secret": bytes(range(32)),
        "gate_secret": bytes(range(32, 64)),
        "offers": frozenset({CredentialKind.PASSWORD}),
        "hooks": hooks or RecordingHooks(wants_rows=False, wants_notices=False),
    }
    return Environment(**(values | changes))


def _accept(question: Authenticate) -> Identity | Verifier | Deny | None:
    return AGENT


def _allow(statement: Statement) -> Verdict | None:
    return ALLOW


def _find(request: Cancel) -> bool:
    return True


UPSTREAM_CREDENTIALS: Final = UpstreamCredentials(user="service", password=Secret("upstream-password"))
_UNRESTRICTED: Final = Restriction()
TLS: Final = TlsInfo(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384")

_LAST: Final = (Ask, Authenticate, Connect, StartTls, Close)
_END_CODES: Final = {ClientFault: EndCode.CLIENT_FAULT, UpstreamFault: EndCode.UPSTREAM_FAULT}


class Player:
    """The relay's part, without sockets: feeds a session bytes, answers its questions, keeps what it does.

    Args:
        session: the session; it is begun.
        judge: the verdict on a statement, a limit on its rows to allow it with, or None to leave the question open
            until `resolve`.
        authenticate: the answer to `Authenticate`.
        credentials: the answer to `Connect`, or the fault for which there is no connection.
        restriction: what the session may not do upstream.
        tls: what a TLS handshake comes to.
        finds: the answer to a `Cancel` of a session that serves.

    Attributes:
        actions: all actions, in order.
        to_client, to_upstream: the bytes sent to each side.
        asked: each statement that was asked for.
        ended: each statement that ended, with its outcome.
        serving: the handshakes are over.
        cancelled: the cancel requests that were made.
        redefined: how often the catalogue was said to be stale.
        closed: why the session closed, or None.
    """

    def __init__(
        self,
        session: ProtocolSession,
        *,
        judge: Callable[[Statement], Verdict | Limit | None] = _allow,
        authenticate: Callable[[Authenticate], Identity | Verifier | Deny | None] = _accept,
        credentials: UpstreamCredentials | Fault = UPSTREAM_CREDENTIALS,
        restriction: Restriction = _UNRESTRICTED,
        tls: TlsInfo = TLS,
        finds: Callable[[Cancel], bool] = _find,
    ) -> None:
        self.session = session
        self.actions: list[Action] = []
        self.to_client = bytearray()
        self.to_upstream = bytearray()
        self.asked: list[Statement] = []
        self.ended: list[tuple[Statement, Outcome]] = []
        self.serving = False
        self.cancelled: list[Cancel] = []
        self.redefined = 0
        self.closed: Reason | None = None
        self._judge = judge
        self._authenticate = authenticate
        self._credentials = credentials
        self._restriction = restriction
        self._tls = tls
        self._finds = finds
        self._open: Statement | None = None
        self._held = bytearray()
        self._seen = (0, 0)
        self._run(session.begin)

    def client(self, data: bytes) -> Player:
        """Bytes come from the client. While a question is open they are held, as the relay does."""
        if self._open is not None:
            self._held += data
        else:
            self._run(lambda: self.session.receive(CLIENT, data))
        return self

    def upstream(self, data: bytes) -> Player:
        """Bytes come from the database."""
        self._run(lambda: self.session.receive(UPSTREAM, data))
        return self

    def eof(self, side: Side) -> Player:
        """A side closes."""
        self._run(lambda: self.session.eof(side))
        return self

    def fault(self, fault: Fault) -> Player:
        """Something else ends the session."""
        self._run(lambda: self.session.fault(fault, _END_CODES.get(type(fault), EndCode.PLUGIN_FAULT)))
        return self

    def resolve(self, verdict: Verdict | Limit) -> Player:
        """Answer the question that `judge` left open."""
        statement, self._open = self._open, None
        assert statement is not None, "no question is open"
        self._run(lambda: self._resolved(statement, verdict))
        held = bytes(self._held)
        self._held.clear()
        return self.client(held) if held else self

    @property
    def is_waiting(self) -> bool:
        """A question is open."""
        return self._open is not None

    def sent(self) -> tuple[bytes, bytes]:
        """What was sent to the client and to the database since this was last asked."""
        sent = bytes(self.to_client[self._seen[0] :]), bytes(self.to_upstream[self._seen[1] :])
        self._seen = len(self.to_client), len(self.to_upstream)
        return sent

    def _run(self, call: Callable[[], list[Action]]) -> None:
        pending: Callable[[], list[Action]] | None = call
        while pending is not None and self.closed is None:
            try:
                actions = pending()
            except Fault as fault:
                actions = self.session.fault(fault, _END_CODES.get(type(fault), EndCode.PLUGIN_FAULT))
            pending = None
            last = (*_LAST, Cancel) if self.serving else _LAST
            early = [type(action).__name__ for action in actions[:-1] if isinstance(action, last)]
            assert not early, f"{early} must be the last of its actions"
            for action in actions:
                self.actions.append(action)
                pending = self._perform(action)

    def _perform(self, action: Action) -> Callable[[], list[Action]] | None:
        """Keep what was done. Returns how to answer a question, unless the test does."""
        match action:
            case SendClient():
                self.to_client += action.data
            case SendUpstream():
                self.to_upstream += action.data
            case Serving():
                self.serving = True
            case Ended():
                self.ended.append((action.statement, action.outcome))
            case Cancel():
                self.cancelled.append(action)
                if self.serving:
                    return partial(self.session.cancelled, self._finds(action))
            case Redefined():
                self.redefined += 1
            case Close():
                self.closed = action.reason
            case StartTls():
                return partial(self.session.tls_started, action.side, self._tls)
            case Authenticate():
                return partial(self.session.authenticated, self._authenticate(action))
            case Connect():
                if isinstance(self._credentials, Fault):
                    return partial(self.session.fault, self._credentials, EndCode.UPSTREAM_FAULT)
                return partial(self.session.connected, self._credentials, self._restriction)
            case Ask():
                self.asked.append(action.statement)
                verdict = self._judge(action.statement)
                if verdict is not None:
                    return partial(self._resolved, action.statement, verdict)
                self._open = action.statement
        return None

    def _resolved(self, statement: Statement, verdict: Verdict | Limit) -> list[Action]:
        if isinstance(verdict, Limit):
            statement, verdict = replace(statement, limit=verdict), ALLOW
        if isinstance(verdict, Rewrite):
            statement = self.session.restate(statement, verdict.text)
        return self.session.resolve(statement, verdict)


class Step(Struct, frozen=True):
    """A step of a transcript: bytes from a side, or its end where `data` is None."""

    side: Side
    data: bytes | None

    def __repr__(self) -> str:
        return f"Step({self.side.name}, {'eof' if self.data is None else f'{len(self.data)} bytes'})"


def from_client(data: bytes | None) -> Step:
    return Step(CLIENT, data)


def from_upstream(data: bytes | None) -> Step:
    return Step(UPSTREAM, data)


def play(player: Player, steps: Iterable[Step]) -> Player:
    """Play a transcript."""
    for step in steps:
        if step.data is None:
            player.eof(step.side)
        elif step.side is CLIENT:
            player.client(step.data)
        else:
            player.upstream(step.data)
    return player


def every_split(make: Callable[[], Player], steps: Sequence[Step]) -> Iterator[tuple[str, Player]]:
    """Play a transcript whole, byte by byte, and cut in two at each byte of each step.

    Yields what was done and the player that did it, the whole one first; all of them should have sent the same.
    """
    yield "whole", play(make(), steps)
    yield "byte by byte", play(make(), _bytewise(steps))
    for index, step in enumerate(steps):
        for at in range(1, len(step.data or b"")):
            assert step.data is not None
            cut = (Step(step.side, step.data[:at]), Step(step.side, step.data[at:]))
            yield f"step {index} cut at {at}", play(make(), [*steps[:index], *cut, *steps[index + 1 :]])


def _bytewise(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        if step.data is None:
            yield step
        else:
            for at in range(len(step.data)):
                yield Step(step.side, step.data[at : at + 1])


class Said(Struct, frozen=True):
    """What came of a transcript, however its bytes were cut."""

    to_client: bytes
    to_upstream: bytes
    asked: tuple[Statement, ...]
    ended: tuple[tuple[Statement, Outcome], ...]
    closed: Reason | None


def said(player: Player) -> Said:
    """Two players did the same if this is equal."""
    return Said(
        bytes(player.to_client), bytes(player.to_upstream), tuple(player.asked), tuple(player.ended), player.closed
    )
