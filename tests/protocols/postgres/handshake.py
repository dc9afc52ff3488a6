"""Plays handshakes: a wire without sockets, and clients and a database written from the specifications alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from collections.abc import Callable

from gatepost.adapter import (
    CLIENT,
    UPSTREAM,
    Action,
    Authenticate,
    Cancel,
    Close,
    Connect,
    Environment,
    SendClient,
    SendUpstream,
    Serving,
    Side,
    StartTls,
    TlsInfo,
)
from gatepost.errors import ClientFault, Fault
from gatepost.values import (
    CredentialKind,
    Deny,
    EndCode,
    Identity,
    Interest,
    Notice,
    Reason,
    Result,
    RowBatch,
    Secret,
    Statement,
    UpstreamCredentials,
    Verdict,
    Verifier,
)
from gatepost_postgres.session import PostgresSession

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)
PASSWORD = "correct horse"
AGENT = Identity(name="agent-7", roles=("reader",))
PIECES = (1, 2, 3, 7, 1 << 20)


class Hooks:
    """Plugins that look at no rows, and write what `notices` says over each text."""

    wants_rows = False

    def __init__(self, rewrite: Callable[[str], str] | None = None) -> None:
        self.wants_notices = rewrite is not None
        self._rewrite = rewrite
        self.seen: list[Notice] = []

    def columns(self, result: Result) -> Interest:
        return Interest.NOTHING

    def rows(self, batch: RowBatch) -> None:
        raise AssertionError("nobody wants rows")

    def notice(self, notice: Notice) -> None:
        assert self._rewrite is not None
        self.seen.append(notice)
        for name, text in notice.fields.items():
            notice.fields[name] = self._rewrite(text)


class Serving_:  # noqa: N801
    """Stands for the phase that serves statements: says what reached it."""

    def __init__(self, environment: Environment, started: object) -> None:
        self.started = started
        self.is_idle = True

    def receive(self, side: Side, data: bytes) -> list[Action]:
        return [SendUpstream(data) if side is CLIENT else SendClient(data)]

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        return []

    def restate(self, statement: Statement, text: str) -> Statement:
        return statement

    def abort(self) -> list[Action]:
        return []


def environment(**changes: object) -> Environment:
    settings: dict[str, object] = {
        "number": 4711,
        "cancel_secret": bytes(range(32)),
        "gate_secret": bytes(32),
        "offers": frozenset({CredentialKind.SCRAM_SHA_256}),
        "hooks": Hooks(),
    }
    return Environment(**{**settings, **changes})  # type: ignore[arg-type]


class Wire:
    """A session, the plugins' answers, and what came out of it.

    Args:
        answer: what plugins say of credentials.
        credentials: as whom to log in.
        tls: what TLS turns out to be, for each side that asks for it.
        piece: into how long pieces everything is cut.
    """

    def __init__(
        self,
        settings: Environment | None = None,
        *,
        answer: Callable[[Authenticate], Identity | Verifier | Deny | None] = lambda question: None,
        credentials: UpstreamCredentials | None = None,
        tls: dict[Side, TlsInfo] | None = None,
        piece: int = 1 << 20,
    ) -> None:
        self.session = PostgresSession(settings or environment())
        self.client = b""
        self.upstream = b""
        self.questions: list[Authenticate] = []
        self.events: list[str] = []
        self.cancel: Cancel | None = None
        self.closed: Reason | None = None
        self.fault: Fault | None = None
        self._answer = answer
        self._credentials = credentials or UpstreamCredentials(user="dbuser", password=Secret(PASSWORD))
        self._tls = tls or {}
        self._piece = piece

    @property
    def outcome(self) -> tuple[object, ...]:
        """Everything that must not depend on how the bytes were cut."""
        return self.client, self.upstream, self.questions, self.events, self.cancel, self.closed, str(self.fault)

    def send(self, side: Side, data: bytes) -> None:
        for at in range(0, len(data), self._piece):
            if self.closed is None:
                piece = data[at : at + self._piece]
                self._call(lambda piece=piece: self.session.receive(side, piece))

    def from_client(self, data: bytes) -> bytes:
        """What the client is told for that."""
        before = len(self.client)
        self.send(CLIENT, data)
        return self.client[before:]

    def from_upstream(self, data: bytes) -> bytes:
        """What the database is told for that."""
        before = len(self.upstream)
        self.send(UPSTREAM, data)
        return self.upstream[before:]

    def eof(self, side: Side) -> None:
        self._call(lambda: self.session.eof(side))

    def _call(self, call: Callable[[], list[Action]]) -> None:
        try:
            actions = call()
        except Fault as fault:
            self.fault = fault
            code = EndCode.CLIENT_FAULT if isinstance(fault, ClientFault) else EndCode.UPSTREAM_FAULT
            actions = self.session.fault(fault, code)
        self._perform(actions)

    def _perform(self, actions: list[Action]) -> None:
        for at, action in enumerate(actions):
            match action:
                case SendClient(data):
                    self.client += data
                case SendUpstream(data):
                    self.upstream += data
                case Authenticate():
                    assert at == len(actions) - 1
                    self.questions.append(action)
                    self._call(lambda action=action: self.session.authenticated(self._answer(action)))
                case Connect(identity):
                    assert at == len(actions) - 1
                    self.events.append(f"connect {identity.name}")
                    self._call(lambda: self.session.connected(self._credentials))
                case StartTls(side, early):
                    assert at == len(actions) - 1
                    self.events.append(f"tls {side.name} {early[:1]!r}")
                    if side in self._tls:
                        self._call(lambda side=side: self.session.tls_started(side, self._tls[side]))
                case Serving():
                    self.events.append("serving")
                case Cancel():
                    self.cancel = action
                case Close(reason):
                    assert at == len(actions) - 1
                    self.closed = reason


def however_cut(scenario: Callable[[int], Wire]) -> Wire:
    """Play a scenario with its bytes cut into pieces of several lengths; all must come out the same."""
    wires = [scenario(piece) for piece in PIECES]
    for wire in wires:
        assert wire.outcome == wires[-1].outcome
    return wires[-1]


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def split(data: bytes) -> list[tuple[str, bytes]]:
    """The messages that the bytes are made of; nothing may be left."""
    found: list[tuple[str, bytes]] = []
    while data:
        length = struct.unpack("!I", data[1:5])[0]
        assert len(data) >= 1 + length
        found.append((chr(data[0]), data[5 : 1 + length]))
        data = data[1 + length :]
    return found


def startup(version: int = 3 << 16, **parameters: str) -> bytes:
    pairs = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items())
    return struct.pack("!II", len(pairs) + 9, version) + pairs + b"\0"


def error(data: bytes) -> dict[str, str]:
    """The fields of the ErrorResponse that the bytes end in."""
    kind, body = split(data)[-1]
    assert kind == "E"
    return {field[:1].decode(): field[1:].decode() for field in body.split(b"\0") if field}


def verifier(password: str = PASSWORD, identity: Identity = AGENT) -> Verifier:
    salt, iterations = b"sixteen bytes...", 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    return Verifier(
        identity=identity,
        salt=salt,
        iterations=iterations,
        stored_key=hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest(),
        server_key=hmac.digest(salted, b"Server Key", "sha256"),
    )


class ScramClient:
    """The client's side of SCRAM-SHA-256 as RFC 5802, section 3, puts it."""

    def __init__(
        self,
        password: str = PASSWORD,
        *,
        flag: str = "n",
        binding: bytes = b"",
        nonce: str = "fyko+d2lbbFgONRv9qkxdawL",
    ) -> None:
        self.password, self.binding, self.nonce = password, binding, nonce
        self.header = f"{flag},,"
        self.bare = f"n=,r={nonce}"
        self.signature = b""

    def initial(self, mechanism: str = "SCRAM-SHA-256") -> bytes:
        first = (self.header + self.bare).encode()
        return message("p", mechanism.encode() + b"\0" + struct.pack("!i", len(first)) + first)

    def final(self, challenge: bytes) -> bytes:
        text = challenge.decode()
        nonce, salt, iterations = (part[2:] for part in text.split(","))
        assert nonce.startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(salt), int(iterations))
        client_key = hmac.new(salted, b"Client Key", "sha256").digest()
        stored_key = hashlib.sha256(client_key).digest()
        bound = base64.b64encode(self.header.encode() + self.binding).decode()
        unproven = f"c={bound},r={nonce}"
        auth_message = f"{self.bare},{text},{unproven}".encode()
        client_signature = hmac.new(stored_key, auth_message, "sha256").digest()
        proof = (int.from_bytes(client_key) ^ int.from_bytes(client_signature)).to_bytes(32)
        server_key = hmac.new(salted, b"Server Key", "sha256").digest()
        self.signature = hmac.new(server_key, auth_message, "sha256").digest()
        return message("p", f"{unproven},p={base64.b64encode(proof).decode()}".encode())


AUTH_OK = message("R", struct.pack("!I", 0))
READY = message("Z", b"I")


def database_ready(**parameters: str) -> bytes:
    """What a database says after AuthenticationOk, its cancel key being 99 and b"sesa"."""
    settings = {"client_encoding": "UTF8", "standard_conforming_strings": "on", **parameters}
    statuses = [message("S", f"{name}\0{value}\0".encode()) for name, value in settings.items()]
    return b"".join(statuses) + message("K", struct.pack("!i", 99) + b"sesa") + READY


def log_in(wire: Wire, *, password: str = PASSWORD, **parameters: str) -> None:
    """Bring a session through SCRAM and a trusting database to its first statement."""
    wire.from_client(startup(**{"user": "agent", "database": "shop", **parameters}))
    client = ScramClient(password)
    challenge = split(wire.from_client(client.initial()))
    wire.from_client(client.final(challenge[0][1][4:]))
    wire.from_upstream(AUTH_OK + database_ready(session_authorization="dbuser"))
