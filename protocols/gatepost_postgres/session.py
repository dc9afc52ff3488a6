"""One client's connection: startup, authentication, login to the database, and then statements.

Each phase is a module of its own; this one keeps the order, and what holds through all of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from typing import Final

from gatepost.adapter import (
    CLIENT,
    UPSTREAM,
    Action,
    Close,
    Connect,
    Environment,
    ProtocolSession,
    SendClient,
    Serving,
    Side,
    TlsInfo,
)
from gatepost.errors import ClientFault, Fault, FaultCode, PluginFault, UpstreamFault
from gatepost.values import (
    Deny,
    EndCode,
    Identity,
    Reason,
    Restriction,
    Statement,
    UpstreamCredentials,
    Verdict,
    Verifier,
)
from gatepost_postgres import messages, sqlstate
from gatepost_postgres.auth import Authentication
from gatepost_postgres.cancel import CancelUpstream
from gatepost_postgres.inbox import Inbox
from gatepost_postgres.login import LoggedIn, Login
from gatepost_postgres.messages import PROTOCOL_3_2
from gatepost_postgres.passing import PassingPhase
from gatepost_postgres.serving import ServingPhase
from gatepost_postgres.settings import Demands
from gatepost_postgres.startup import Startup
from gatepost_postgres.startup_message import StartupRequest

_KEY_BYTES_3_0: Final = 4


class PostgresSession(ProtocolSession):
    """A connection that speaks PostgreSQL's protocol, 3.0 or 3.2, as `gatepost.adapter` prescribes.

    It holds no randomness: nonces derive from the environment's secrets, so that the same bytes give the same actions.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._client = Inbox(environment.limits.startup_bytes, ClientFault)
        self._upstream = Inbox(environment.limits.startup_bytes, UpstreamFault)
        self._startup = Startup(environment, self._client, self._started)
        self._request: StartupRequest | None = None
        self._authentication: Authentication | None = None
        self._login: Login | None = None
        self._restriction = Restriction()
        self._key = (0, b"")
        self._issued = b""
        self._serving: ServingPhase | PassingPhase | None = None
        self._unsent: list[Action] = []

    @property
    def is_idle(self) -> bool:
        return self._serving is not None and self._serving.is_idle

    def begin(self) -> list[Action]:
        return []

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if self._serving is not None:
            return self._serving.receive(side, data)
        if side is UPSTREAM:
            self._upstream.feed(data)
            return self._collect(self._login.receive() if self._login else ())
        self._client.feed(data)
        if self._login is not None:
            return self._wait()
        return self._collect(self._authentication.receive() if self._authentication else self._startup.receive())

    def tls_started(self, side: Side, info: TlsInfo) -> list[Action]:
        if side is CLIENT:
            return self._collect(self._startup.tls_started(info))
        return self._collect(self._login.tls_started(info) if self._login else ())

    def authenticated(self, answer: Identity | Verifier | Deny | None) -> list[Action]:
        return self._collect(self._authentication.answered(answer) if self._authentication else ())

    def connected(self, credentials: UpstreamCredentials, restriction: Restriction) -> list[Action]:
        assert self._request is not None
        password = credentials.password.reveal() if credentials.password else ""
        if "\0" in credentials.user + credentials.database + password:
            raise PluginFault("a plugin gave credentials for the database that hold a NUL")
        self._restriction = restriction
        demands = Demands(restriction)
        self._login = Login(self._environment, self._upstream, self._request, credentials, demands, self._logged_in)
        return self._collect(self._login.begin())

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        assert self._serving is not None
        return self._serving.resolve(statement, verdict)

    def restate(self, statement: Statement, text: str) -> Statement:
        assert self._serving is not None
        return self._serving.restate(statement, text)

    def eof(self, side: Side) -> list[Action]:
        if side is CLIENT or (self._serving is not None and self._serving.is_over):
            left = Reason(code=EndCode.CLIENT_LEFT)
            return [*self._abort(), Close(self._authentication.departure if self._authentication else left)]
        fault = UpstreamFault(
            "the database closed the connection", hint="Connect again; if it happens again, see the database's log."
        )
        return self.fault(fault, EndCode.SERVER_CLOSED if self._serving else EndCode.UPSTREAM_FAULT)

    def fault(self, fault: Fault, code: EndCode) -> list[Action]:
        actions = self._abort()
        if self._startup.can_tell and not (self._serving is not None and self._serving.is_amid_message):
            text = messages.error(sqlstate.OF_FAULT[fault.code], fault.message, severity="FATAL", hint=fault.hint)
            actions.append(SendClient(text))
        return [*actions, Close(Reason(code=code, text=fault.message))]

    def owns(self, secret: bytes) -> bool:
        return bool(self._issued) and hmac.compare_digest(secret, self._issued)

    def cancel_upstream(self) -> ProtocolSession | None:
        number, secret = self._key
        return CancelUpstream(self._environment, number, secret) if secret else None

    def _collect(self, steps: Iterable[Action]) -> list[Action]:
        """Take the steps. What came before one that raises is kept, for `fault` to do it first."""
        for action in steps:
            self._unsent.append(action)
        actions, self._unsent = self._unsent, []
        return actions

    def _abort(self) -> list[Action]:
        """What is left to do before a Close. Once statements may come, nothing leaves that plugins have not seen."""
        actions, self._unsent = self._unsent, []
        return self._serving.abort() if self._serving else actions

    def _wait(self) -> list[Action]:
        """Statements that come before the database is ready wait, within the bounds of a startup."""
        if len(self._client) > self._environment.limits.startup_bytes:
            raise ClientFault("too much was sent before the database was ready", code=FaultCode.TOO_LARGE)
        return []

    def _started(self, request: StartupRequest) -> Iterator[Action]:
        self._request = request
        self._authentication = Authentication(self._environment, self._client, request, self._startup.tls, self._proven)
        return self._authentication.begin()

    def _proven(self, identity: Identity) -> Iterator[Action]:
        yield Connect(identity)

    def _logged_in(self, login: LoggedIn) -> Iterator[Action]:
        assert self._request is not None
        protocol = self._request.protocol
        secret = self._environment.cancel_secret
        self._issued = secret if protocol == PROTOCOL_3_2 else secret[:_KEY_BYTES_3_0]
        self._key = (login.number, login.secret)
        hooks = self._environment.hooks
        serving: ServingPhase | PassingPhase
        is_watched = hooks.wants_statements or hooks.wants_rows or hooks.wants_notices
        if is_watched or self._restriction.read_only:
            serving = ServingPhase(self._environment, Demands(self._restriction), login)
        else:
            serving = PassingPhase(self._environment)
        yield SendClient(messages.backend_key_data(self._environment.number, self._issued))
        yield SendClient(messages.message(messages.READY, b"I"))
        yield Serving()
        self._serving = serving
        # They have done their part, and hold secrets.
        self._authentication = self._login = None
        for side, inbox in ((UPSTREAM, self._upstream), (CLIENT, self._client)):
            if data := inbox.drain():
                yield from serving.receive(side, data)
