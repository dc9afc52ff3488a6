"""What a client says before it is asked who it is: encryption, cancellation, and the startup message.

Source: PostgreSQL 18 documentation, 54.2.1 "Start-up", 54.2.9 "Canceling Requests in Progress", 54.2.11 and 54.2.12
on session encryption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import ClassVar, Final

from gatepost.adapter import (
    CLIENT,
    Action,
    Cancel,
    Close,
    Environment,
    SendClient,
    StartTls,
    TlsInfo,
    TlsPolicy,
)
from gatepost.errors import ClientFault, FaultCode
from gatepost.values import EndCode, Reason
from gatepost_postgres import messages
from gatepost_postgres.inbox import Inbox
from gatepost_postgres.startup_message import StartupRequest, parse_startup

ALPN: Final = "postgresql"

_TLS_HANDSHAKE: Final = 0x16
_CANCEL_KEY_BYTES: Final = range(4, 257)


class _Request(Enum):
    HELLO = auto()
    TLS = auto()
    GSSENC = auto()
    CANCEL = auto()
    STARTUP = auto()


class _State(Enum):
    FRESH = auto()
    TLS_DECLINED = auto()
    GSSENC_DECLINED = auto()
    BOTH_DECLINED = auto()
    STARTING_TLS = auto()
    ENCRYPTED = auto()
    STARTED = auto()
    CANCELLING = auto()
    FOREIGN = auto()


_REQUESTS: Final = {
    messages.SSL_REQUEST: _Request.TLS,
    messages.GSSENC_REQUEST: _Request.GSSENC,
    messages.CANCEL_REQUEST: _Request.CANCEL,
}
_MUTE: Final = frozenset({_State.STARTING_TLS, _State.CANCELLING, _State.FOREIGN})
_READY: Final = frozenset(
    {_State.FRESH, _State.TLS_DECLINED, _State.GSSENC_DECLINED, _State.BOTH_DECLINED, _State.ENCRYPTED}
)
_OVER: Final = frozenset({_State.STARTED}) | _MUTE


class Startup:
    """Reads a client's requests up to its startup message.

    Args:
        inbox: the client's bytes.
        then: what goes on once the startup message has been read.
    """

    def __init__(
        self, environment: Environment, inbox: Inbox, then: Callable[[StartupRequest], Iterator[Action]]
    ) -> None:
        self._environment = environment
        self._inbox = inbox
        self._then = then
        self._state = _State.FRESH
        self._is_direct = False
        self.tls: TlsInfo | None = None

    @property
    def can_tell(self) -> bool:
        """The client would understand an ErrorResponse now."""
        return self._state not in _MUTE

    def receive(self) -> Iterator[Action]:
        while self._state not in _OVER and (taken := self._take()) is not None:
            request, code, body = taken
            step = self._STEPS.get((self._state, request))
            if step is None:
                raise ClientFault("this request is not allowed at this point of a startup")
            handler, self._state = step
            yield from handler(self, code, body)

    def tls_started(self, info: TlsInfo) -> Iterator[Action]:
        self._state = _State.ENCRYPTED
        self.tls = info
        if self._is_direct and info.alpn != ALPN:
            # As PostgreSQL does: nothing is said to a client of another protocol that was led here.
            self._state = _State.FOREIGN
            raise ClientFault(f'TLS without an SSLRequest came without the application protocol "{ALPN}" (ALPN)')
        yield from self.receive()

    def _take(self) -> tuple[_Request, int, bytes] | None:
        first = self._inbox.first
        if first == _TLS_HANDSHAKE and self._state is _State.FRESH:
            return _Request.HELLO, 0, b""
        if first:
            # A length of 16 MB and more: HTTP, SSH, noise, but no PostgreSQL client.
            self._state = _State.FOREIGN
            raise ClientFault("the client does not speak the PostgreSQL protocol")
        packet = self._inbox.packet()
        if packet is None:
            return None
        code = int.from_bytes(packet[:4])
        return _REQUESTS.get(code, _Request.STARTUP), code, packet[4:]

    def _hello(self, code: int, body: bytes) -> Iterator[Action]:
        if self._environment.client_tls is TlsPolicy.OFF:
            self._state = _State.FOREIGN
            raise ClientFault("TLS is not offered on this port", hint="Use sslmode=disable, or configure TLS.")
        self._is_direct = True
        yield StartTls(CLIENT, early=self._inbox.drain())

    def _tls(self, code: int, body: bytes) -> Iterator[Action]:
        _must_be_empty(body)
        if self._environment.client_tls is TlsPolicy.OFF:
            yield SendClient(b"N")
            return
        if len(self._inbox):
            raise ClientFault("unencrypted bytes follow the request for TLS")
        self._state = _State.STARTING_TLS
        yield SendClient(b"S")
        yield StartTls(CLIENT)

    def _gssenc(self, code: int, body: bytes) -> Iterator[Action]:
        _must_be_empty(body)
        yield SendClient(b"N")

    def _cancel(self, code: int, body: bytes) -> Iterator[Action]:
        number, secret = int.from_bytes(body[:4], signed=True), body[4:]
        if len(secret) not in _CANCEL_KEY_BYTES:
            raise ClientFault("a cancel request's key must have 4 to 256 bytes")
        # Allowed without TLS wherever it comes from, as PostgreSQL does: older clients cancel in the clear always.
        yield Cancel(number, secret)
        yield Close(Reason(code=EndCode.CANCEL_REQUEST))

    def _startup(self, code: int, body: bytes) -> Iterator[Action]:
        if self.tls is None and self._environment.client_tls is TlsPolicy.REQUIRED:
            raise ClientFault(
                "this port demands TLS", code=FaultCode.TLS_REQUIRED, hint="Connect with sslmode=require or stricter."
            )
        request = parse_startup(code, body)
        if request.is_renegotiated:
            yield SendClient(messages.negotiate_version(request.protocol, request.unrecognized))
        yield from self._then(request)

    # What may come in which state, who handles it, and the state that it leads to (where the handler knows no better).
    _STEPS: ClassVar[
        Mapping[tuple[_State, _Request], tuple[Callable[[Startup, int, bytes], Iterator[Action]], _State]]
    ] = {
        (_State.FRESH, _Request.HELLO): (_hello, _State.STARTING_TLS),
        (_State.FRESH, _Request.TLS): (_tls, _State.TLS_DECLINED),
        (_State.FRESH, _Request.GSSENC): (_gssenc, _State.GSSENC_DECLINED),
        (_State.GSSENC_DECLINED, _Request.TLS): (_tls, _State.BOTH_DECLINED),
        (_State.TLS_DECLINED, _Request.GSSENC): (_gssenc, _State.BOTH_DECLINED),
        **dict.fromkeys([(state, _Request.STARTUP) for state in _READY], (_startup, _State.STARTED)),
        **dict.fromkeys([(state, _Request.CANCEL) for state in _READY], (_cancel, _State.CANCELLING)),
    }


def _must_be_empty(body: bytes) -> None:
    if body:
        raise ClientFault("a request for encryption is longer than 8 bytes")
