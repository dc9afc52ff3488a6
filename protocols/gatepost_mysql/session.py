"""One client's connection: greeting, authentication, login to the database, and then statements.

Each phase is a module of its own; this one keeps the order, and what holds through all of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from gatepost.adapter import (
    CLIENT,
    UPSTREAM,
    Action,
    Connect,
    Environment,
    ProtocolSession,
    SendClient,
    SendUpstream,
    Serving,
    Side,
    TlsInfo,
)
from gatepost.errors import ClientFault, Fault, FaultCode, UpstreamFault
from gatepost.phases import PhasedSession, check
from gatepost.values import (
    Deny,
    Identity,
    Restriction,
    UpstreamCredentials,
    Verifier,
)
from gatepost_mysql import codes, greeting, messages
from gatepost_mysql.auth import Authentication
from gatepost_mysql.cancel import CancelUpstream
from gatepost_mysql.commands import kill_proof
from gatepost_mysql.dialogue import Dialogue
from gatepost_mysql.frames import frame
from gatepost_mysql.login import LoggedIn, Login, Wish
from gatepost_mysql.passing import PassingPhase
from gatepost_mysql.serving import ServingPhase


class MySqlSession(PhasedSession[ServingPhase | PassingPhase]):
    """A connection that speaks MySQL's protocol as `gatepost.adapter` prescribes.

    But for the RSA key of `gatepost_mysql.proofs` it holds no randomness: nonces derive from the environment's secrets,
    so that the same bytes give the same actions.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        limit = environment.limits.startup_bytes
        self._client = Dialogue(limit, ClientFault, SendClient)
        self._upstream = Dialogue(limit, UpstreamFault, SendUpstream)
        self._greeting = greeting.Greeting(environment, self._client, self._greeted)
        self._request: greeting.Login | None = None
        self._authentication: Authentication | None = None
        self._identity: Identity | None = None
        self._login: Login | None = None
        self._credentials: UpstreamCredentials | None = None
        self._read_only = False
        self._upstream_number = 0

    def begin(self) -> list[Action]:
        return self._collect(self._greeting.begin())

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if self._serving is not None:
            return self._serving.receive(side, data)
        if side is UPSTREAM:
            self._upstream.inbox.feed(data)
            return self._collect(self._login.receive() if self._login else ())
        self._client.inbox.feed(data)
        if self._login is not None:
            return self._wait()
        return self._collect(self._authentication.receive() if self._authentication else self._greeting.receive())

    def tls_started(self, side: Side, info: TlsInfo) -> list[Action]:
        if side is CLIENT:
            return self._collect(self._greeting.tls_started(info))
        return self._collect(self._login.tls_started(info) if self._login else ())

    def authenticated(self, answer: Identity | Verifier | Deny | None) -> list[Action]:
        return self._collect(self._authentication.answered(answer) if self._authentication else ())

    def connected(self, credentials: UpstreamCredentials, restriction: Restriction) -> list[Action]:
        assert self._request is not None
        check(credentials)
        self._credentials = credentials
        self._read_only = restriction.read_only
        wish = Wish(
            capabilities=self._request.capabilities,
            collation=self._request.collation,
            database=self._request.database,
            read_only=restriction.read_only,
        )
        self._login = Login(self._environment, self._upstream, wish, credentials, self._logged_in)
        return self._collect(self._login.begin())

    def cancelled(self, found: bool) -> list[Action]:
        assert self._serving is not None
        return self._serving.cancelled(found)

    def owns(self, secret: bytes) -> bool:
        if self._identity is None:
            return False
        return hmac.compare_digest(secret, kill_proof(self._environment.gate_secret, self._identity))

    def cancel_upstream(self) -> ProtocolSession | None:
        if self._credentials is None or self._serving is None:
            return None
        return CancelUpstream(self._environment, self._credentials, self._upstream_number)

    def _told(self, fault: Fault) -> list[SendClient]:
        if not self._greeting.can_tell:
            return []
        text = messages.error(
            *codes.OF_FAULT[fault.code],
            messages.told(fault.message, hint=fault.hint),
            has_sqlstate=self._greeting.knows_client,
        )
        return [SendClient(frame(text, self._serving.next_number if self._serving else self._client.number))]

    def _wait(self) -> list[Action]:
        """Statements that come before the database is ready wait, within the bounds of a startup."""
        if len(self._client.inbox.data) > self._environment.limits.startup_bytes:
            raise ClientFault("too much was sent before the database was ready", code=FaultCode.TOO_LARGE)
        return []

    def _greeted(self, request: greeting.Login) -> Iterator[Action]:
        self._request = request
        self._authentication = Authentication(self._environment, self._client, self._greeting, request, self._proven)
        return self._authentication.begin()

    def _proven(self, identity: Identity) -> Iterator[Action]:
        self._identity = identity
        yield Connect(identity)

    def _logged_in(self, login: LoggedIn) -> Iterator[Action]:
        assert self._request is not None
        assert self._identity is not None
        self._upstream_number = login.number
        yield self._client.say(messages.ok(login.status))
        yield Serving()
        hooks, capabilities = self._environment.hooks, self._request.capabilities
        judging = ServingPhase(self._environment, capabilities, login, self._identity, read_only=self._read_only)
        is_watched = hooks.wants_statements or hooks.wants_rows or hooks.wants_notices or self._read_only
        serving = judging if is_watched else PassingPhase(self._environment, capabilities, judging)
        self._serving = serving
        # They have done their part, and hold secrets.
        self._authentication = self._login = None
        if data := self._client.inbox.drain():
            yield from serving.receive(CLIENT, data)
