"""The contract that a protocol fulfils: bytes in, actions out; no socket, no clock, no await.

A protocol package has an `Adapter` under the entry point group `gatepost.protocols`. The relay makes one
`ProtocolSession` for each connection and performs the actions that its methods return, in order.

The rules of the exchange:

- At most one question (`Ask`, `Authenticate`, `Connect`, `StartTls`, or the `Cancel` of a session that serves) is open
  at a time for each side, and it is the last action of a list. Until the relay has answered it, it calls
  `receive(CLIENT, …)` no more (upstream bytes still come); what the session had already taken from the client stays in
  the session and is parsed when the answer arrives.
- Splitting the same bytes differently gives the same bytes out and the same questions, up to a fault. Of the bytes that
  raise it, what came ahead of it is dropped too, but for the ends of statements: they are among `fault()`'s actions.
- Methods raise nothing but `Fault`; the relay answers one with `fault()`, whose actions end in `Close`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

from gatepost.errors import Fault
from gatepost.values import (
    CredentialKind,
    Credentials,
    Deny,
    EndCode,
    Facts,
    Identity,
    Interest,
    Notice,
    Outcome,
    Reason,
    Restriction,
    Result,
    RowBatch,
    Shown,
    Statement,
    Target,
    UpstreamCredentials,
    Use,
    Verdict,
    Verifier,
)

if TYPE_CHECKING:
    import ssl


class Side(IntEnum):
    CLIENT = 0
    UPSTREAM = 1


CLIENT = Side.CLIENT
UPSTREAM = Side.UPSTREAM


class SendClient(Struct, frozen=True):
    """Bytes for the client. Once `Serving` was said, plugins see them in `on_output`."""

    data: bytes


class SendUpstream(Struct, frozen=True):
    """Bytes for the database."""

    data: bytes


class Ask(Struct, frozen=True):
    """May this run? Answered by `resolve`."""

    statement: Statement


class Authenticate(Struct, frozen=True, kw_only=True):
    """Who is this? Answered by `authenticated`.

    Asked with a `Credentials` each kind in turn; a session stops asking when one of them is accepted.
    """

    credentials: Credentials
    database: str = ""
    application: str = ""


class Connect(Struct, frozen=True):
    """The client is proven to be `identity`: open the upstream. Answered by `connected`, or by `fault`."""

    identity: Identity


class StartTls(Struct, frozen=True):
    """Speak TLS on this side from the next byte on, behind what was sent before. Answered by `tls_started`.

    Bytes of that side that the session had received but not taken are in `early`; only a TLS hello is ever there, of a
    client that begins with one or waits for no answer (anything else is a smuggled request, and a fault).
    """

    side: Side
    early: bytes = b""


class Serving(Struct, frozen=True):
    """The handshakes are over; statements may come. Said once."""


class Ended(Struct, frozen=True):
    """The server has answered. The relay adds the duration."""

    statement: Statement
    outcome: Outcome


class Redefined(Struct, frozen=True):
    """What the catalogue describes may have changed: a statement that defines something has succeeded.

    Every session of the target, on every worker, finds the catalogue stale until it was read again.
    """


class Recognised(Struct, frozen=True):
    """The database has said what it is: sessions that begin from now on find it in their `Environment.upstream`.

    Said where it is not what this session has found there.
    """

    upstream: object


class Cancel(Struct, frozen=True):
    """This connection asks to cancel what session `number` does; `secret` is its proof.

    With `ends_session` it asks to end that session, which closes with a `FaultCode.KILLED`.

    Of a session that serves it is a question, answered by `cancelled`. Of any other, Close follows, and nobody learns
    what came of it.
    """

    number: int
    secret: bytes
    ends_session: bool = False

    def __repr__(self) -> str:
        return f"Cancel({self.number})"


class Close(Struct, frozen=True):
    """Flush what was sent, close both sides."""

    reason: Reason


Action: TypeAlias = (
    SendClient
    | SendUpstream
    | Ask
    | Authenticate
    | Connect
    | StartTls
    | Serving
    | Ended
    | Redefined
    | Recognised
    | Cancel
    | Close
)


class TlsInfo(Struct, frozen=True, kw_only=True):
    """A TLS connection that was just established.

    Attributes:
        version, cipher: as OpenSSL names them.
        peer_certificate: the other side's certificate in DER, verified, or b"".
        own_certificate: ours in DER, or b"".
        alpn: the application protocol agreed on, or "".
    """

    version: str
    cipher: str
    peer_certificate: bytes = b""
    own_certificate: bytes = b""
    alpn: str = ""


class TlsPolicy(IntEnum):
    """What a side demands. Verification is the business of the relay's TLS context, not of the session."""

    OFF = 0
    OPTIONAL = 1
    REQUIRED = 2


class TlsTerms(Struct, frozen=True, kw_only=True):
    """How a database is spoken to where no session is: `Adapter.inspect`.

    Attributes:
        policy: what is demanded.
        context: with certificates and verification set; None where `policy` is OFF.
        is_direct: begin with TLS without asking first.
    """

    policy: TlsPolicy = TlsPolicy.OFF
    context: ssl.SSLContext | None = None
    is_direct: bool = False


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds that a session checks before it buffers.

    Attributes:
        startup_bytes: one message of a client that is not yet proven.
        message_bytes: one message of a proven client, or a row that a plugin wants to see. A session's prepared
            statements take no more together, nor do its portals, but for the largest.
        prepared: prepared statements and portals, each, that a session may hold.
        pipeline: messages that may be under way to the server without an answer.
    """

    startup_bytes: int = 16 * 1024
    message_bytes: int = 64 * 1024 * 1024
    prepared: int = 4096
    pipeline: int = 65536


class Hooks(Protocol):
    """The plugins, as far as a session calls them itself: in the middle of a chunk, and synchronously.

    Each raises `PluginFault`, which the session lets pass: the relay ends the session.
    """

    @property
    def wants_statements(self) -> bool:
        """A plugin has on_statement, on_verdict or on_statement_end. If not, statements need not be asked about."""

    @property
    def wants_rows(self) -> bool:
        """A plugin has on_row or on_rows. If not, `columns` and `rows` need not be called."""

    @property
    def wants_notices(self) -> bool:
        """A plugin has on_notice. If not, `notice` need not be called."""

    def columns(self, result: Result) -> Interest:
        """The union of what the plugins want of this result's rows.

        A session may keep the answer for statements of the same facts and the same description.
        """

    def rows(self, batch: RowBatch, interest: Interest) -> None:
        """Show a batch to the plugins; they change it in place. `interest` is what `columns` said of this result."""

    def notice(self, notice: Notice) -> None:
        """Show a text to the plugins; they change it in place."""


class Environment(Struct, frozen=True, kw_only=True):
    """What a session is told of the world when it begins.

    Attributes:
        number: the session's number, positive and below 2**31; shown to the client as its connection id.
        cancel_secret: 32 random bytes; what a client must show to cancel this session's statements.
        gate_secret: the same for all sessions of this gate; makes the answers for unknown users stable.
        offers: the kinds of credentials that the enabled plugins judge.
        hooks: the plugins.
        limits: bounds.
        client_tls, upstream_tls: what each side demands.
        upstream_direct_tls: begin TLS towards the database without asking first.
        catalogue: what the database holds; None while that is not known, or stale.
        has_catalogue: whether there is one to be had, known now or not.
        upstream: what the target's database has said last that it is, as a session of this worker (`Recognised`) or
            `Adapter.recognise` has told; None before. Only its protocol looks inside.
    """

    number: int
    cancel_secret: bytes
    gate_secret: bytes
    offers: frozenset[CredentialKind]
    hooks: Hooks
    limits: Limits = Limits()
    client_tls: TlsPolicy = TlsPolicy.OFF
    upstream_tls: TlsPolicy = TlsPolicy.OFF
    upstream_direct_tls: bool = False
    catalogue: Callable[[], Catalogue | None] = lambda: None
    has_catalogue: Callable[[], bool] = lambda: False
    upstream: object = None

    def __repr__(self) -> str:
        return f"Environment(number={self.number})"


class Catalogue(Protocol):
    """What a database holds, as its inspector has read it. Immutable; only its protocol looks inside."""

    @property
    def read_at(self) -> float:
        """Unix seconds."""

    @property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """The columns of every table and view, by its name with its schema."""


class ProtocolSession(Protocol):
    """One connection, seen from between its two sides."""

    @property
    def is_idle(self) -> bool:
        """Serving, nothing under way and no transaction open: may be closed without harm."""

    def begin(self) -> list[Action]:
        """The client has connected. A protocol in which the server speaks first speaks here."""

    def receive(self, side: Side, data: bytes) -> list[Action]:
        """Bytes have come from a side."""

    def eof(self, side: Side) -> list[Action]:
        """A side has closed. The actions end in `Close`; statements under way end incomplete."""

    def tls_started(self, side: Side, info: TlsInfo) -> list[Action]:
        """TLS is established on this side."""

    def authenticated(self, answer: Identity | Verifier | Deny | None) -> list[Action]:
        """The plugins' answer to `Authenticate`. None: nobody knows that user."""

    def connected(self, credentials: UpstreamCredentials, restriction: Restriction) -> list[Action]:
        """The answer to `Connect`: the upstream's transport is open; log in as this, and keep to the restriction."""

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        """The answer to `Ask`. `statement` is what was judged at last (after rewrites); it runs, or is denied."""

    def restate(self, statement: Statement, text: str) -> Statement:
        """`statement` with another text, and that text's facts."""

    def renew(self, statement: Statement) -> Statement:
        """The statement of the open `Ask`, by what the catalogue tells now. A protocol whose facts have no `may_hide`
        need not have this."""
        return statement

    def fault(self, fault: Fault, code: EndCode) -> list[Action]:
        """Something ends this session: tell the client in the protocol's own form, and `Close`."""

    def cancelled(self, found: bool) -> list[Action]:
        """The answer to a `Cancel` while this session serves: whether the proof is that of such a session.

        If it ended this very session, that has closed before. A protocol that does not cancel so need not have this.
        """
        return []

    def owns(self, secret: bytes) -> bool:
        """Is this the proof that a cancel of this session, or its end, needs? Constant time."""

    def cancel_upstream(self) -> ProtocolSession | None:
        """A session for a second upstream connection that cancels what this one runs, or None.

        Only its upstream side is used: `connected` starts it, `Close` ends it.
        """


class Adapter(Protocol):
    """A protocol."""

    @property
    def name(self) -> str: ...

    @property
    def default_port(self) -> int: ...

    @property
    def alpn(self) -> tuple[str, ...]:
        """Application protocols to agree on in TLS, or ()."""

    def session(self, environment: Environment) -> ProtocolSession: ...

    def shown(self, output: Iterable[bytes]) -> Iterator[Shown]:
        """What a client was shown, from the bytes that `on_output` saw. Reads partial recordings up to their end."""

    def facts(self, text: str, catalogue: Catalogue | None = None) -> Facts:
        """What a text means outside of any session: without a catalogue, as far as the text alone tells."""

    async def inspect(self, target: Target, credentials: UpstreamCredentials, tls: TlsTerms) -> Catalogue:
        """Read the catalogue of a target. Raises UpstreamFault if the database cannot be reached or refuses.

        It may take as long as it takes: whoever calls it sets a deadline.
        """

    async def recognise(self, target: Target) -> object:
        """What a target's database says that it is, before any login; None if it says nothing then.

        Asked once by each worker, before its first client. Raises UpstreamFault if the database cannot be reached or
        refuses. Whoever calls it sets a deadline.
        """
        return None

    def grants(self, role: str, uses: Iterable[Use], catalogue: Catalogue) -> list[str]:
        """The statements that give a database role what `uses` say, and nothing else, in this database's SQL.

        The catalogue is that of the database; it tells what else a use takes, such as a sequence for an insert.
        """
