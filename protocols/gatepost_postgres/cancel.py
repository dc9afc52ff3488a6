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
    SendUpstream,
    Side,
    TlsInfo,
)
from gatepost.errors import UpstreamFault
from gatepost.phases import CancelSession
from gatepost.values import (
    EndCode,
    Reason,
    Restriction,
    UpstreamCredentials,
)
from gatepost_postgres.inbox import Inbox
from gatepost_postgres.messages import cancel_request
from gatepost_postgres.upstream_tls import UpstreamTls


class CancelUpstream(CancelSession):
    """Sends a cancel request for the session of this number and secret at the database."""

    def __init__(self, environment: Environment, number: int, secret: bytes) -> None:
        self._request = cancel_request(number, secret)
        self._inbox = Inbox(environment.limits.startup_bytes, UpstreamFault)
        self._tls = UpstreamTls(environment, self._inbox, self._send)

    def connected(self, credentials: UpstreamCredentials, restriction: Restriction) -> list[Action]:
        return list(self._tls.begin())

    def receive(self, side: Side, data: bytes) -> list[Action]:
        if side is CLIENT:
            return []
        self._inbox.feed(data)
        return list(self._tls.receive())

    def tls_started(self, side: Side, info: TlsInfo) -> list[Action]:
        return list(self._tls.started(info))

    def _send(self, tls: TlsInfo | None) -> Iterator[Action]:
        yield SendUpstream(self._request)
        yield Close(Reason(code=EndCode.CANCEL_REQUEST))
