"""gatepost's own login to the database.

Sources: MySQL internals manual, "Connection Phase"; MariaDB Knowledge Base, "Connecting".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import ClassVar, Final

from msgspec import Struct

from gatepost.adapter import UPSTREAM, Action, Environment, Recognised, StartTls, TlsInfo, TlsPolicy
from gatepost.errors import FaultCode, UpstreamFault
from gatepost.values import UpstreamCredentials
from gatepost_mysql import charsets, handshake, messages, proofs, settings
from gatepost_mysql.capabilities import OWN, SHARED, Capability
from gatepost_mysql.dialogue import Dialogue
from gatepost_mysql.frames import Reader, counted

_MAX_PACKET: Final = 1 << 30
_LOW: Final = (1 << 32) - 1
_FAST_OK: Final = b"\x03"
_FULL: Final = b"\x04"
_KEY_REQUEST: Final = b"\x02"


class Wish(Struct, frozen=True, kw_only=True):
    """What a session is to be like, as far as the client decides.

    Attributes:
        capabilities: what the client and gatepost have agreed on.
        collation: the client's.
        database: the one that it asks for.
        read_only: nothing may be changed in it.
    """

    capabilities: Capability
    collation: int = charsets.UTF8MB4
    database: str = ""
    read_only: bool = False


class LoggedIn(Struct, frozen=True, kw_only=True):
    """A session of the database.

    Attributes:
        number: its own, at the database.
        status: its status flags.
        database: the current one, or "".
    """

    number: int
    status: int
    database: str


class _State(Enum):
    GREETING = auto()
    STARTING_TLS = auto()
    AUTHENTICATION = auto()
    SHA2_RESULT = auto()
    SHA2_KEY = auto()
    PROVEN = auto()
    CHECKING = auto()
    RESTRICTING = auto()
    OVER = auto()


class Login:
    """Logs in as gatepost, and sees that statements will be read as they are judged.

    Args:
        dialogue: with the database.
        then: what goes on once it serves.
    """

    def __init__(
        self,
        environment: Environment,
        dialogue: Dialogue,
        wish: Wish,
        credentials: UpstreamCredentials,
        then: Callable[[LoggedIn], Iterator[Action]],
    ) -> None:
        self._environment = environment
        self._dialogue = dialogue
        self._wish = wish
        self._credentials = credentials
        self._then = then
        self._state = _State.GREETING
        self._tls: TlsInfo | None = None
        self._capabilities = OWN | wish.capabilities & SHARED
        if self._capabilities >> 32:
            # By leaving it out, a client says that it knows MariaDB's own capabilities.
            self._capabilities &= ~Capability.LONG_PASSWORD
        self._collation = wish.collation
        self._number = self._status = 0
        self._plugin = proofs.NATIVE
        self._nonce = b""
        self._checking: settings.Checking | None = None

    def begin(self) -> Iterator[Action]:
        if self._environment.upstream_direct_tls:
            raise UpstreamFault(
                "MySQL's protocol does not begin with TLS",
                code=FaultCode.UNSUPPORTED,
                hint="Leave out upstream_tls.direct for this target.",
            )
        yield from self.receive()  # the greeting may have come before

    def receive(self) -> Iterator[Action]:
        while self._state not in (_State.STARTING_TLS, _State.OVER) and (message := self._dialogue.hear()) is not None:
            if not message:
                raise UpstreamFault("the database sent an empty message at login")
            yield from self._STEPS[self._state](self, message)

    def tls_started(self, info: TlsInfo) -> Iterator[Action]:
        self._tls = info
        yield self._respond()

    # The greeting.

    def _greeting(self, message: bytes) -> Iterator[Action]:
        if message[0] == messages.ERROR:
            raise _refusal(message)
        said = handshake.read(message)
        upstream, offered = said.upstream, said.upstream.capabilities
        self._number, self._nonce = said.number, said.nonce
        self._plugin = said.plugin or self._plugin
        if upstream != self._environment.upstream:
            yield Recognised(upstream)
        if upstream.is_mariadb:
            self._collation = self._collation if charsets.is_shared(self._collation) else charsets.UTF8MB4
        if not offered & Capability.LOCAL_FILES:
            self._capabilities &= ~Capability.LOCAL_FILES
        if self._capabilities & ~offered & ~Capability.LONG_PASSWORD:
            raise self._mismatch(upstream)
        if self._credentials.database or self._wish.database:
            self._capabilities |= Capability.CONNECT_WITH_DB
        yield from self._encrypt(offered)

    def _mismatch(self, upstream: handshake.Upstream) -> UpstreamFault:
        known = self._environment.upstream
        if known is not None and known != upstream:
            return UpstreamFault(
                "the database is not the one any more that the client was greeted for", hint="Connect again."
            )
        return UpstreamFault(
            "the database is too old for what the client speaks",
            code=FaultCode.UNSUPPORTED,
            hint="MySQL 5.7 and MariaDB 10.2 are the oldest that gatepost speaks to.",
        )

    def _encrypt(self, offered: Capability) -> Iterator[Action]:
        policy = self._environment.upstream_tls
        if policy is not TlsPolicy.OFF and offered & Capability.SSL:
            if self._dialogue.inbox.data:
                raise UpstreamFault("unencrypted bytes follow the database's greeting")
            self._capabilities |= Capability.SSL
            self._state = _State.STARTING_TLS
            yield self._dialogue.say(self._header())
            yield StartTls(UPSTREAM)
        elif policy is TlsPolicy.REQUIRED:
            raise UpstreamFault(
                "the database offers no TLS, and the configuration demands it",
                code=FaultCode.UPSTREAM_REFUSED,
                hint="Give the database a certificate.",
            )
        else:
            yield self._respond()

    def _header(self) -> bytes:
        return (
            (self._capabilities & _LOW).to_bytes(4, "little")
            + _MAX_PACKET.to_bytes(4, "little")
            + self._collation.to_bytes(2, "little")
            + bytes(18)
            + (self._capabilities >> 32).to_bytes(4, "little")
        )

    def _respond(self) -> Action:
        self._state = _State.AUTHENTICATION
        database = self._credentials.database or self._wish.database
        return self._dialogue.say(
            self._header()
            + self._credentials.user.encode()
            + b"\0"
            + counted(self._prove() or b"")
            + (database.encode() + b"\0" if database else b"")
            + self._plugin.encode()
            + b"\0"
        )

    # Authentication.

    def _password(self) -> bytes:
        return self._credentials.password.reveal().encode() if self._credentials.password else b""

    def _prove(self) -> bytes | None:
        """What proves the password by the plugin that the database names; None if that is not known here."""
        password = self._password()
        nonce = self._nonce[: proofs.NONCE_BYTES]
        if self._plugin == proofs.NATIVE:
            return proofs.prove_native(password, nonce) if password else b""
        if self._plugin == proofs.CACHING_SHA2:
            return proofs.prove_sha2(password, nonce) if password else b""
        if self._plugin == proofs.ED25519:
            return proofs.prove_ed25519(password, self._nonce[: proofs.ED25519_NONCE_BYTES])
        if self._plugin == proofs.CLEAR and self._tls is not None:
            return password + b"\0"
        return None

    def _answer(self, message: bytes) -> Iterator[Action]:
        kind = message[0]
        if kind == messages.ERROR:
            raise _refusal(message)
        if kind == messages.OK:
            yield from self._proven(message)
        elif kind == messages.EOF:
            yield from self._switch(message)
        elif kind == messages.MORE_DATA and self._plugin == proofs.CACHING_SHA2:
            yield from self._sha2(message[1:])
        else:
            raise UpstreamFault("the database broke the protocol at login")

    def _switch(self, message: bytes) -> Iterator[Action]:
        reader = Reader(message[1:])
        self._plugin = reader.zero_ended().decode("ascii", "replace")
        self._nonce = reader.rest()
        if len(self._nonce) < proofs.NONCE_BYTES and self._plugin != proofs.CLEAR:
            raise UpstreamFault("the database's challenge is too short")
        proof = self._prove()
        if proof is None:
            raise UpstreamFault(
                "the database asks for a kind of authentication that gatepost does not support there",
                code=FaultCode.UPSTREAM_REFUSED,
                hint="Use caching_sha2_password, mysql_native_password or ed25519 for gatepost's user; a clear password"
                " goes inside TLS alone.",
            )
        yield self._dialogue.say(proof)

    def _sha2(self, data: bytes) -> Iterator[Action]:
        if data == _FAST_OK:
            self._state = _State.SHA2_RESULT
        elif data == _FULL and self._tls is not None:
            self._state = _State.SHA2_RESULT
            yield self._dialogue.say(self._password() + b"\0")
        elif data == _FULL:
            self._state = _State.SHA2_KEY
            yield self._dialogue.say(_KEY_REQUEST)
        else:
            raise UpstreamFault("the database broke the protocol at login")

    def _sha2_key(self, message: bytes) -> Iterator[Action]:
        if message[0] == messages.ERROR:
            raise _refusal(message)
        if message[0] != messages.MORE_DATA:
            raise UpstreamFault("the database broke the protocol at login")
        self._state = _State.SHA2_RESULT
        nonce = self._nonce[: proofs.NONCE_BYTES]
        yield self._dialogue.say(proofs.encrypt(self._password(), nonce, message[1:]))

    def _sha2_result(self, message: bytes) -> Iterator[Action]:
        if message[0] == messages.ERROR:
            raise _refusal(message)
        if message[0] != messages.OK:
            raise UpstreamFault("the database broke the protocol at login")
        yield from self._proven(message)

    # The session's settings.

    def _proven(self, message: bytes) -> Iterator[Action]:
        reader = Reader(message[1:])
        reader.counted_number()
        reader.counted_number()
        self._status = reader.number(2)
        self._checking = settings.Checking(has_eof=not self._capabilities & Capability.DEPRECATE_EOF)
        self._state = _State.CHECKING
        yield self._command(settings.CHECK)

    def _command(self, text: bytes) -> Action:
        self._dialogue.number = 0
        return self._dialogue.say(messages.query(text, self._capabilities))

    def _checked(self, message: bytes) -> Iterator[Action]:
        assert self._checking is not None
        if not self._checking.take(message):
            return
        if self._wish.read_only:
            self._state = _State.RESTRICTING
            yield self._command(settings.READ_ONLY)
        else:
            yield from self._serve()

    def _restricted(self, message: bytes) -> Iterator[Action]:
        if message[0] != messages.OK:
            raise UpstreamFault("the database does not make the session read-only", code=FaultCode.UPSTREAM_REFUSED)
        yield from self._serve()

    def _serve(self) -> Iterator[Action]:
        self._state = _State.OVER
        database = self._checking.database if self._checking else ""
        if self._dialogue.inbox.data:
            raise UpstreamFault("the database has spoken before it was asked")
        yield from self._then(LoggedIn(number=self._number, status=self._status, database=database))

    # What the database's message is in which state.
    _STEPS: ClassVar[Mapping[_State, Callable[[Login, bytes], Iterator[Action]]]] = {
        _State.GREETING: _greeting,
        _State.AUTHENTICATION: _answer,
        _State.SHA2_RESULT: _sha2_result,
        _State.SHA2_KEY: _sha2_key,
        _State.CHECKING: _checked,
        _State.RESTRICTING: _restricted,
    }


def _refusal(message: bytes) -> UpstreamFault:
    """Never shown as it is: it names the database's user."""
    number = int.from_bytes(message[1:3], "little")
    return UpstreamFault(
        f"the database refused gatepost's login (error {number})",
        code=FaultCode.UPSTREAM_REFUSED,
        hint=_HINTS.get(number, "The gateway's operator can check the target's credentials and the database's log."),
    )


_HINTS: Final[Mapping[int, str]] = {
    1040: "The database has no connection left; try again later.",
    1044: "The database that you asked for is not open to gatepost's user; connect to another.",
    1049: "No database has the name that you asked for; connect to another.",
    1053: "The database is stopping; try again later.",
}
