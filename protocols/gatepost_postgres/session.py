"""One client's connection: startup, authentication, login to the database, and then statements.

Each phase is a module of its own; this one keeps the order, and what holds through all of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Final

from gatepost.adapter import (
    CLIENT,
    UPSTREAM,
    Action,
    Connect,
    Environment,
    ProtocolSession,
    SendClient,
    Serving,
    Side,
    TlsInfo,
)
from gatepost.errors import ClientFault, Fault, FaultCode, UpstreamFault
from gatepost.phases import PhasedSession, check
from gatepost.values import (
    Deny,
    Identity,
    Reason,
    Restriction,
    UpstreamCredentials,
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


class PostgresSession(PhasedSession[ServingPhase | PassingPhase]):
    """A connection that speaks PostgreSQL's protocol, 3.0 or 3.2, as `gatepost.adapter` prescribes.

    It holds no randomness: nonces derive from the environment's secrets, so that the same bytes give the same actions.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._client = Inbox(environment.limits.startup_bytes, ClientFault)
        self._upstream = Inbox(environment.limits.startup_bytes, UpstreamFault)
        self._startup = Startup(environment, self._client, self._started)
        self._request: StartupRequest | None = None
        self._authentication: Authentication | None = None
        self._login: Login | None = None
        self._restriction = Restriction()
        self._key = (0, b"")
        self._issued = b""

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
        check(credentials)
        self._restriction = restriction
        demands = Demands(restriction)
        self._login = Login(self._environment, self._upstream, self._request, credentials, demands, self._logged_in)
        return self._collect(self._login.begin())

    def owns(self, secret: bytes) -> bool:
        return bool(self._issued) and hmac.compare_digest(secret, self._issued)

    def cancel_upstream(self) -> ProtocolSession | None:
        number, secret = self._key
        return CancelUpstream(self._environment, number, secret) if secret else None

    def _told(self, fault: Fault) -> list[SendClient]:
        if not self._startup.can_tell:
            return []
        text = messages.error(sqlstate.OF_FAULT[fault.code], fault.message, severity="FATAL", hint=fault.hint)
        return [SendClient(text)]

    def _departure(self) -> Reason:
        return self._authentication.departure if self._authentication else super()._departure()

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
