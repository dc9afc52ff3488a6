"""TLS towards the database: asked for, or begun at once.

Source: PostgreSQL 18 documentation, 54.2.11 "SSL Session Encryption".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from gatepost.adapter import UPSTREAM, Action, Environment, SendUpstream, StartTls, TlsInfo, TlsPolicy
from gatepost.errors import FaultCode, UpstreamFault
from gatepost_postgres.inbox import Inbox
from gatepost_postgres.messages import SSL_REQUEST_PACKET
from gatepost_postgres.startup import ALPN

_ACCEPTED: Final = b"S"
_DECLINED: Final = b"N"


class UpstreamTls:
    """Establishes as much encryption as the environment demands.

    Args:
        inbox: the database's bytes.
        then: what goes on once it is settled; told the TLS connection, or None.
    """

    def __init__(
        self, environment: Environment, inbox: Inbox, then: Callable[[TlsInfo | None], Iterator[Action]]
    ) -> None:
        self._policy = environment.upstream_tls
        self._is_direct = environment.upstream_direct_tls
        self._inbox = inbox
        self._then = then
        self._is_asking = False

    def begin(self) -> Iterator[Action]:
        if self._policy is TlsPolicy.OFF:
            yield from self._then(None)
        elif self._is_direct:
            yield StartTls(UPSTREAM)
        else:
            self._is_asking = True
            yield SendUpstream(SSL_REQUEST_PACKET)

    def receive(self) -> Iterator[Action]:
        """The database's answer to the request for TLS, which is one byte."""
        if not self._is_asking:
            raise UpstreamFault("the database has spoken before it was asked")
        answer = self._inbox.byte()
        if not answer:
            return
        self._is_asking = False
        if answer == _ACCEPTED:
            if len(self._inbox):
                raise UpstreamFault("unencrypted bytes follow the database's consent to TLS")
            yield StartTls(UPSTREAM)
        elif answer != _DECLINED:
            raise UpstreamFault(
                "the database has not answered the request for TLS", hint="Is there a PostgreSQL server on that port?"
            )
        elif self._policy is TlsPolicy.REQUIRED:
            raise UpstreamFault(
                "the database offers no TLS, and the configuration demands it",
                code=FaultCode.UPSTREAM_REFUSED,
                hint="Turn on ssl in postgresql.conf.",
            )
        else:
            yield from self._then(None)

    def started(self, info: TlsInfo) -> Iterator[Action]:
        if self._is_direct and info.alpn != ALPN:
            raise UpstreamFault(
                f'the database did not agree on the application protocol "{ALPN}"',
                hint="PostgreSQL takes TLS without an SSLRequest from version 17 on.",
            )
        yield from self._then(info)
