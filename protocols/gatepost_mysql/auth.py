"""How a client proves who it is.

The methods follow from the kinds of credentials that plugins judge: a client certificate first, then the exchange that
the client asks for if it is offered, else the usual one. A password or a token itself is taken inside TLS, or
encrypted for gatepost's key, and only where no plugin judges an exchange that keeps it secret, or where the client asks
to send it so.

Sources: MySQL internals manual, "Authentication Method"; MySQL 9 source documentation, "Caching_sha2_password
information".
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import ClassVar, Final, TypeAlias

from gatepost.adapter import Action, Authenticate, Close, Environment, TlsInfo
from gatepost.errors import ClientFault, FaultCode, PluginFault
from gatepost.values import CredentialKind, Credentials, Deny, DenyCode, EndCode, Identity, Reason, Secret, Verifier
from gatepost_mysql import codes, messages, proofs
from gatepost_mysql.dialogue import Dialogue
from gatepost_mysql.greeting import Greeting, Login

_FAILED: Final = "authentication failed"
_FAST_OK: Final = b"\x01\x03"
_FULL: Final = b"\x01\x04"
_KEY_REQUEST: Final = b"\x02"

# A plugin that could not judge says nothing of the credentials: the client may try them again.
_DENIED: Final = {DenyCode.UNAVAILABLE: codes.OF_FAULT[FaultCode.PLUGIN]}

_CHALLENGES: Final = frozenset((CredentialKind.MYSQL_NATIVE, CredentialKind.CACHING_SHA2))

Answer: TypeAlias = Identity | Verifier | Deny | None


class _State(Enum):
    PLUGINS = auto()
    NATIVE = auto()
    SHA2 = auto()
    SHA2_FULL = auto()
    SHA2_ENCRYPTED = auto()
    CLEAR = auto()
    OVER = auto()


_HOLDING: Final = frozenset({_State.PLUGINS, _State.OVER})
_FIRST: Final = {proofs.NATIVE: _State.NATIVE, proofs.CACHING_SHA2: _State.SHA2, proofs.CLEAR: _State.CLEAR}


class Authentication:
    """Asks a client, and the plugins, who the client is.

    Args:
        dialogue: with the client.
        greeting: what was said to it.
        login: what it has said.
        then: what goes on once the client has proven to be somebody. The client is told last, by an OK.
    """

    def __init__(
        self,
        environment: Environment,
        dialogue: Dialogue,
        greeting: Greeting,
        login: Login,
        then: Callable[[Identity], Iterator[Action]],
    ) -> None:
        self._environment = environment
        self._dialogue = dialogue
        self._login = login
        self._tls: TlsInfo | None = greeting.tls
        self._usual = greeting.plugin
        self._nonce = greeting.nonce
        self._then = then
        self._state = _State.OVER
        self._proof = b""
        self._asked: Credentials | None = None

    def begin(self) -> Iterator[Action]:
        if self._tls and self._tls.peer_certificate and CredentialKind.CERTIFICATE in self._environment.offers:
            yield self._ask(CredentialKind.CERTIFICATE, certificate=self._tls.peer_certificate)
        else:
            yield from self._demand()

    def receive(self) -> Iterator[Action]:
        while self._state not in _HOLDING and (message := self._dialogue.hear()) is not None:
            yield from self._STEPS[self._state](self, message)

    def answered(self, answer: Answer) -> Iterator[Action]:
        """The plugins have judged what was asked last."""
        asked = self._asked
        assert asked is not None
        proof = Verifier if asked.kind in _CHALLENGES else Identity
        if answer is not None and not isinstance(answer, Deny | proof):
            raise PluginFault(f"a plugin answered credentials of the kind {asked.kind.value} with the wrong type")
        if isinstance(answer, Deny):
            yield from self._fail(answer)
        else:
            yield from self._ANSWERS[asked.kind](self, answer)

    def _offered(self) -> frozenset[str]:
        """The plugins that a client may prove itself by."""
        offers = self._environment.offers
        offered = set()
        if CredentialKind.MYSQL_NATIVE in offers:
            offered.add(proofs.NATIVE)
        if offers & {CredentialKind.CACHING_SHA2, CredentialKind.PASSWORD}:
            offered.add(proofs.CACHING_SHA2)
        if offers & {CredentialKind.PASSWORD, CredentialKind.BEARER} and self._tls:
            offered.add(proofs.CLEAR)
        return frozenset(offered)

    def _ask(self, kind: CredentialKind, *, secret: Secret | None = None, certificate: bytes = b"") -> Authenticate:
        self._state = _State.PLUGINS
        self._asked = Credentials(kind=kind, user=self._login.user, secret=secret, certificate=certificate)
        return Authenticate(
            credentials=self._asked,
            database=self._login.database,
            application=self._login.attributes.get("program_name", ""),
        )

    def _demand(self) -> Iterator[Action]:
        """Ask the client for what it has besides a certificate."""
        offers, offered, wanted = self._environment.offers, self._offered(), self._login.plugin or self._usual
        if wanted == self._usual and wanted in offered:
            yield from self._STEPS[_FIRST[wanted]](self, self._login.proof)
        elif offered:
            plugin = wanted if wanted in offered else self._usual if self._usual in offered else min(offered)
            self._nonce = proofs.nonce(self._environment.cancel_secret, b"MySQL switch")
            self._state = _FIRST[plugin]
            yield self._dialogue.say(b"\xfe" + plugin.encode() + b"\0" + self._nonce + b"\0")
        elif CredentialKind.BEARER in offers:
            raise ClientFault(
                "tokens are taken inside TLS alone",
                code=FaultCode.TLS_REQUIRED,
                hint="Connect with --ssl-mode=REQUIRED or --ssl.",
            )
        elif CredentialKind.CERTIFICATE in offers:
            yield from self._refuse(
                codes.ACCESS_DENIED,
                "no client certificate that is known here",
                "Connect with TLS and a client certificate (--ssl-cert, --ssl-key).",
            )
        else:
            raise PluginFault(
                "no enabled plugin judges credentials that a MySQL client can show",
                hint="Enable a plugin that judges MySQL's exchanges, certificates, tokens or passwords.",
            )
        yield from self.receive()

    def _accept(self, identity: Identity) -> Iterator[Action]:
        self._state = _State.OVER
        yield from self._then(identity)

    def _fail(self, deny: Deny | None = None) -> Iterator[Action]:
        """The same for an unknown user and a wrong password; only a plugin's Deny says more."""
        if deny is None:
            return self._refuse(codes.ACCESS_DENIED, _FAILED)
        return self._refuse(_DENIED.get(deny.code, codes.ACCESS_DENIED), deny.reason, deny.hint)

    def _refuse(self, code: tuple[int, str], text: str, hint: str = "") -> Iterator[Action]:
        self._state = _State.OVER
        yield self._dialogue.say(messages.error(*code, messages.told(text, hint=hint)))
        yield Close(Reason(code=EndCode.REFUSED, text=text))

    # Exchanges that keep the password secret.

    def _native(self, proof: bytes) -> Iterator[Action]:
        self._proof = proof
        yield self._ask(CredentialKind.MYSQL_NATIVE)

    def _sha2(self, proof: bytes) -> Iterator[Action]:
        if CredentialKind.CACHING_SHA2 in self._environment.offers:
            self._proof = proof
            yield self._ask(CredentialKind.CACHING_SHA2)
        else:
            self._state = _State.SHA2_FULL
            yield self._dialogue.say(_FULL)

    def _native_judged(self, answer: Answer) -> Iterator[Action]:
        known = answer if isinstance(answer, Verifier) else None
        twice = self._twice(known.mysql_native if known else b"", "sha1")
        if proofs.is_native_proof(self._proof, self._nonce, twice) and known is not None:
            yield from self._accept(known.identity)
        else:
            yield from self._fail()

    def _sha2_judged(self, answer: Answer) -> Iterator[Action]:
        known = answer if isinstance(answer, Verifier) else None
        twice = self._twice(known.caching_sha2 if known else b"", "sha256")
        if proofs.is_sha2_proof(self._proof, self._nonce, twice) and known is not None:
            yield self._dialogue.say(_FAST_OK)
            yield from self._accept(known.identity)
        else:
            yield from self._fail()

    def _twice(self, stored: bytes, digest: str) -> bytes:
        """What a proof is checked by. An unknown user has one that nobody can meet, so that checking takes its time."""
        return stored or hmac.digest(self._environment.gate_secret, self._login.user.encode(), digest)

    # Passwords and tokens.

    def _sha2_full(self, message: bytes) -> Iterator[Action]:
        if self._tls is not None:
            yield from self._clear(message)
        elif message == _KEY_REQUEST:
            self._state = _State.SHA2_ENCRYPTED
            yield self._dialogue.say(b"\x01" + proofs.own_public_key())
        else:
            raise ClientFault(
                "the client's password was not encrypted",
                code=FaultCode.TLS_REQUIRED,
                hint="Connect with TLS, or let the client ask for the server's public key.",
            )

    def _sha2_encrypted(self, message: bytes) -> Iterator[Action]:
        yield from self._clear(proofs.decrypt(message, self._nonce))

    def _clear(self, message: bytes) -> Iterator[Action]:
        if message[-1:] != b"\0" or b"\0" in message[:-1]:
            raise ClientFault("the client's password is malformed")
        try:
            text = message[:-1].decode()
        except UnicodeDecodeError:
            raise ClientFault("the client's password is not UTF-8") from None
        if not text:
            yield from self._fail()
        elif CredentialKind.PASSWORD in self._environment.offers:
            yield self._ask(CredentialKind.PASSWORD, secret=Secret(text))
        else:
            yield self._ask(CredentialKind.BEARER, secret=Secret(text))

    def _password_judged(self, answer: Answer) -> Iterator[Action]:
        assert self._asked is not None
        if isinstance(answer, Identity):
            yield from self._accept(answer)
        elif CredentialKind.BEARER in self._environment.offers and self._tls is not None:
            # A client has no other place for a token.
            yield self._ask(CredentialKind.BEARER, secret=self._asked.secret)
        else:
            yield from self._fail()

    def _identity_judged(self, answer: Answer) -> Iterator[Action]:
        if isinstance(answer, Identity):
            yield from self._accept(answer)
        elif self._asked is not None and self._asked.kind is CredentialKind.CERTIFICATE:
            yield from self._demand()
        else:
            yield from self._fail()

    # What a message is in which state, and whose answer leads where.
    _STEPS: ClassVar[Mapping[_State, Callable[[Authentication, bytes], Iterator[Action]]]] = {
        _State.NATIVE: _native,
        _State.SHA2: _sha2,
        _State.SHA2_FULL: _sha2_full,
        _State.SHA2_ENCRYPTED: _sha2_encrypted,
        _State.CLEAR: _clear,
    }

    _ANSWERS: ClassVar[Mapping[CredentialKind, Callable[[Authentication, Answer], Iterator[Action]]]] = {
        CredentialKind.MYSQL_NATIVE: _native_judged,
        CredentialKind.CACHING_SHA2: _sha2_judged,
        CredentialKind.PASSWORD: _password_judged,
        CredentialKind.BEARER: _identity_judged,
        CredentialKind.CERTIFICATE: _identity_judged,
    }
