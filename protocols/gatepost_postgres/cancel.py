"""A second connection to the database, which cancels what the first one runs.

Source: PostgreSQL 18 documentation, 54.2.9 "Canceling Requests in Progress".
"""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.adapter import (
    CLIENT,
    Action,
    Close,
    Environment,
    ProtocolSession,
    SendUpstream,
    Side,
    TlsInfo,
)
from gatepost.errors import Fault, UpstreamFault
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
from gatepost_postgres.inbox import Inbox
from gatepost_postgres.messages import cancel_request
from gatepost_postgres.upstream_tls import UpstreamTls


class CancelUpstream(ProtocolSession):
    """Has an upstream side alone: `connected` starts it; the relay neither reads a client nor asks plugins for it."""

    def __init__(self, environment: Environment, number: int, secret: bytes) -> None:
        self._request = cancel_request(number, secret)
        self._inbox = Inbox(environment.limits.startup_bytes, UpstreamFault)
        self._tls = UpstreamTls(environment, self._inbox, self._send)

    @property
    def is_idle(self) -> bool:
        return False

    def begin(self) -> list[Action]:
        return []

    def connected(self, credentials: UpstreamCredentials, restriction: Restriction) -> list[Action]:
        return list(self._tls.begin())

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if side is CLIENT:
            return []
        self._inbox.feed(data)
        return list(self._tls.receive())

    def tls_started(self, side: Side, info: TlsInfo) -> list[Action]:
        return list(self._tls.started(info))

    def eof(self, side: Side) -> list[Action]:
        return [
            Close(
                Reason(code=EndCode.UPSTREAM_FAULT, text="the database closed the connection before it took the cancel")
            )
        ]

    def fault(self, fault: Fault, code: EndCode) -> list[Action]:
        return [Close(Reason(code=code, text=fault.message))]

    def authenticated(self, answer: Identity | Verifier | Deny | None) -> list[Action]:
        return []

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        return []

    def restate(self, statement: Statement, text: str) -> Statement:
        return statement

    def owns(self, secret: bytes) -> bool:
        return False

    def cancel_upstream(self) -> ProtocolSession | None:
        return None

    def _send(self, tls: TlsInfo | None) -> Iterator[Action]:
        yield SendUpstream(self._request)
        yield Close(Reason(code=EndCode.CANCEL_REQUEST))
