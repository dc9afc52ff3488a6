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
from typing import ClassVar, Final

from gatepost.adapter import Action, Close, Environment
from gatepost.errors import ClientFault, FaultCode, PluginFault
from gatepost.proving import FAILED, Proving
from gatepost.values import CredentialKind, Deny, DenyCode, EndCode, Identity, Reason, Verifier
from gatepost_mysql import codes, messages, proofs
from gatepost_mysql.dialogue import Dialogue
from gatepost_mysql.greeting import Greeting, Login

_FAST_OK: Final = b"\x01\x03"
_FULL: Final = b"\x01\x04"
_KEY_REQUEST: Final = b"\x02"

# A plugin that could not judge says nothing of the credentials: the client may try them again.
_DENIED: Final = {DenyCode.UNAVAILABLE: codes.OF_FAULT[FaultCode.PLUGIN]}


class _State(Enum):
    NATIVE = auto()
    SHA2 = auto()
    SHA2_FULL = auto()
    SHA2_ENCRYPTED = auto()
    CLEAR = auto()
    OVER = auto()


_FIRST: Final = {proofs.NATIVE: _State.NATIVE, proofs.CACHING_SHA2: _State.SHA2, proofs.CLEAR: _State.CLEAR}


class Authentication(Proving):
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
        super().__init__(
            environment,
            user=login.user,
            database=login.database,
            application=login.attributes.get("program_name", ""),
            tls=greeting.tls,
            then=then,
        )
        self._dialogue = dialogue
        self._login = login
        self._usual = greeting.plugin
        self._nonce = greeting.nonce
        self._state = _State.OVER
        self._proof = b""

    def receive(self) -> Iterator[Action]:
        while self._is_judged and self._state is not _State.OVER and (message := self._dialogue.hear()) is not None:
            yield from self._STEPS[self._state](self, message)

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

    def _demand(self) -> Iterator[Action]:
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
        if deny is None:
            return self._refuse(codes.ACCESS_DENIED, FAILED)
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

    def _exchange(self, kind: CredentialKind, known: Verifier | None) -> Iterator[Action]:
        return self._EXCHANGES[kind](self, known)

    def _native_judged(self, known: Verifier | None) -> Iterator[Action]:
        twice = self._twice(known.mysql_native if known else b"", "sha1")
        if proofs.is_native_proof(self._proof, self._nonce, twice) and known is not None:
            yield from self._accept(known.identity)
        else:
            yield from self._fail()

    def _sha2_judged(self, known: Verifier | None) -> Iterator[Action]:
        twice = self._twice(known.caching_sha2 if known else b"", "sha256")
        if proofs.is_sha2_proof(self._proof, self._nonce, twice) and known is not None:
            yield self._dialogue.say(_FAST_OK)
            yield from self._accept(known.identity)
        else:
            yield from self._fail()

    def _twice(self, stored: bytes, digest: str) -> bytes:
        """What a proof is checked by. An unknown user has one that nobody can meet, so that checking takes its time."""
        return stored or hmac.digest(self._environment.gate_secret, self._user.encode(), digest)

    # Passwords and tokens.

    def _sha2_full(self, message: bytes) -> Iterator[Action]:
        if self._tls is not None:
            yield from self.cleartext(message)
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
        yield from self.cleartext(proofs.decrypt(message, self._nonce))

    # What a message is in which state, and which proof it was.
    _STEPS: ClassVar[Mapping[_State, Callable[[Authentication, bytes], Iterator[Action]]]] = {
        _State.NATIVE: _native,
        _State.SHA2: _sha2,
        _State.SHA2_FULL: _sha2_full,
        _State.SHA2_ENCRYPTED: _sha2_encrypted,
        _State.CLEAR: Proving.cleartext,
    }

    _EXCHANGES: ClassVar[Mapping[CredentialKind, Callable[[Authentication, Verifier | None], Iterator[Action]]]] = {
        CredentialKind.MYSQL_NATIVE: _native_judged,
        CredentialKind.CACHING_SHA2: _sha2_judged,
    }
