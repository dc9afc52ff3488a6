"""The begin of a connection: gatepost greets, the client says who it claims to be, inside TLS or not.

Source: MySQL internals manual, "Connection Phase".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from gatepost.adapter import CLIENT, Action, Environment, StartTls, TlsInfo, TlsPolicy
from gatepost.errors import ClientFault, FaultCode
from gatepost.values import CredentialKind
from gatepost_mysql import charsets, messages, proofs
from gatepost_mysql.capabilities import NEEDED, OFFERED, Capability, offered
from gatepost_mysql.dialogue import Dialogue
from gatepost_mysql.frames import Reader
from gatepost_mysql.handshake import Upstream

# Drivers take from the version what they may say. While the database's is not known, they are told one of a server that
# says and understands what every supported MySQL and MariaDB does.
UNKNOWN: Final = Upstream(b"5.7.44-gatepost", OFFERED)

_PROTOCOL: Final = 10
_FIRST_NONCE_BYTES: Final = 8
_TLS_REQUEST_BYTES: Final = 32
_TLS_HANDSHAKE: Final = 0x16
_FILLER_BYTES: Final = 18
_MAX_ATTRIBUTES: Final = 256

_tail = struct.Struct("<HBHHB6xI").pack


class Login(Struct, frozen=True, kw_only=True):
    """What a client says of itself.

    Attributes:
        capabilities: those that both sides have.
        collation: what its texts are written in.
        user, database: as claimed.
        plugin: by what it would prove itself, "" if it does not say.
        proof: its answer to the greeting's nonce, by that plugin.
        attributes: what else it says of itself.
    """

    capabilities: Capability
    collation: int
    user: str
    database: str = ""
    plugin: str = ""
    proof: bytes = b""
    attributes: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return "Login(…)"


class _State(Enum):
    SILENT = auto()
    GREETED = auto()
    STARTING_TLS = auto()
    ENCRYPTED = auto()
    OVER = auto()


class Greeting:
    """Greets a client and reads its answer.

    Args:
        dialogue: with the client.
        then: what goes on once the client's answer has been read.

    Attributes:
        tls: the client's TLS connection, if there is one.
        nonce: what a proof in the client's answer is made with.
        plugin: what the client is asked to prove itself by.
    """

    def __init__(self, environment: Environment, dialogue: Dialogue, then: Callable[[Login], Iterator[Action]]) -> None:
        self._environment = environment
        self._dialogue = dialogue
        self._then = then
        self._state = _State.SILENT
        self._upstream = environment.upstream if isinstance(environment.upstream, Upstream) else UNKNOWN
        self._offered = offered(self._upstream.capabilities)
        self.tls: TlsInfo | None = None
        self.nonce = proofs.nonce(environment.cancel_secret, b"MySQL greeting")
        self.plugin = usual_plugin(environment.offers)

    @property
    def can_tell(self) -> bool:
        """The client would understand an ERR now."""
        return self._state is not _State.STARTING_TLS

    @property
    def knows_client(self) -> bool:
        """The client has said which protocol it speaks."""
        return self._state is _State.OVER

    def begin(self) -> Iterator[Action]:
        capabilities = self._offered
        if self._environment.client_tls is not TlsPolicy.OFF:
            capabilities |= Capability.SSL
        greeting = (
            bytes((_PROTOCOL,))
            + self._upstream.version
            + b"\0"
            + self._environment.number.to_bytes(4, "little")
            + self.nonce[:_FIRST_NONCE_BYTES]
            + b"\0"
            + _tail(
                capabilities & 0xFFFF,
                charsets.UTF8MB4,
                messages.AUTOCOMMIT,
                capabilities >> 16 & 0xFFFF,
                len(self.nonce) + 1,
                capabilities >> 32,
            )
            + self.nonce[_FIRST_NONCE_BYTES:]
            + b"\0"
            + self.plugin.encode()
            + b"\0"
        )
        self._state = _State.GREETED
        yield self._dialogue.say(greeting)

    def receive(self) -> Iterator[Action]:
        if self._state not in (_State.GREETED, _State.ENCRYPTED):
            return
        message = self._dialogue.hear()
        if message is None:
            return
        reader = Reader(message, ClientFault)
        said = Capability(reader.number(4))
        if said & Capability.SSL and len(message) == _TLS_REQUEST_BYTES:
            yield from self._start_tls()
            return
        if self.tls is None and said & Capability.SSL:
            raise ClientFault("the client asked for TLS and did not wait for it")
        self._state = _State.OVER
        if said & NEEDED != NEEDED:
            raise ClientFault("the client speaks an older protocol than 4.1's", code=FaultCode.UNSUPPORTED)
        if self.tls is None and self._environment.client_tls is TlsPolicy.REQUIRED:
            raise ClientFault(
                "this port demands TLS", code=FaultCode.TLS_REQUIRED, hint="Connect with --ssl-mode=REQUIRED or --ssl."
            )
        yield from self._then(_login(said, self._offered, reader))

    def tls_started(self, info: TlsInfo) -> Iterator[Action]:
        self._state = _State.ENCRYPTED
        self.tls = info
        yield from self.receive()

    def _start_tls(self) -> Iterator[Action]:
        if self._state is not _State.GREETED or self._environment.client_tls is TlsPolicy.OFF:
            raise ClientFault("the client asked for TLS where it is not offered")
        # A client does not wait for an answer: its hello may be here, and nothing else can.
        early = self._dialogue.inbox.drain()
        if early and early[0] != _TLS_HANDSHAKE:
            raise ClientFault("unencrypted bytes follow the request for TLS")
        self._state = _State.STARTING_TLS
        yield StartTls(CLIENT, early=early)


def usual_plugin(offers: frozenset[CredentialKind]) -> str:
    """What most clients can prove themselves by, of what plugins judge."""
    if CredentialKind.CACHING_SHA2 in offers:
        return proofs.CACHING_SHA2
    if CredentialKind.MYSQL_NATIVE in offers:
        return proofs.NATIVE
    if CredentialKind.PASSWORD not in offers and CredentialKind.BEARER in offers:
        return proofs.CLEAR
    return proofs.CACHING_SHA2


def _login(said: Capability, offered: Capability, reader: Reader) -> Login:
    """The rest of a client's answer, behind the capabilities that it has said."""
    reader.number(4)  # how long a message may be, which both sides' own limits decide
    collation = reader.number(2)
    reader.take(_FILLER_BYTES)
    extended = reader.number(4)
    # Who knows MariaDB's own capabilities says so by leaving out what MariaDB leaves out.
    if not (said | offered) & Capability.LONG_PASSWORD:
        said |= Capability(extended << 32)
    capabilities = said & offered
    user = _text(reader.zero_ended())
    proof = reader.counted() if capabilities & Capability.PLUGIN_AUTH_LENENC else reader.take(reader.number(1))
    database = _text(reader.zero_ended()) if capabilities & Capability.CONNECT_WITH_DB and reader.left else ""
    plugin = _text(reader.zero_ended()) if capabilities & Capability.PLUGIN_AUTH and reader.left else ""
    attributes = _attributes(reader.counted()) if capabilities & Capability.CONNECT_ATTRS and reader.left else {}
    reader.end()
    if not charsets.is_readable(collation):
        raise ClientFault(
            "the client's character set is not UTF-8",
            code=FaultCode.UNSUPPORTED,
            hint="Connect with the character set utf8mb4.",
        )
    return Login(
        capabilities=capabilities,
        collation=collation,
        user=user,
        database=database,
        plugin=plugin,
        proof=proof,
        attributes=attributes,
    )


def _attributes(data: bytes) -> dict[str, str]:
    reader = Reader(data, ClientFault)
    attributes: dict[str, str] = {}
    while reader.left:
        if len(attributes) == _MAX_ATTRIBUTES:
            raise ClientFault("the client names too many connection attributes", code=FaultCode.TOO_LARGE)
        name = _text(reader.counted())
        attributes[name] = _text(reader.counted())
    return attributes


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ClientFault("a name in the client's login is not UTF-8") from None
