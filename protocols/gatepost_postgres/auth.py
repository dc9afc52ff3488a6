"""How a client proves who it is.

Sources: PostgreSQL 18 documentation, 54.2.1 "Start-up" and 54.3 "SASL Authentication"; RFC 7628 (OAUTHBEARER). The
methods follow from the kinds of credentials that plugins judge: a client certificate first, then SASL (SCRAM, and a
bearer token inside TLS), then, where no plugin judges SCRAM, a password or a token in its place inside TLS.
"""

from __future__ import annotations

import hmac
import re
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import ClassVar, Final

from gatepost.adapter import Action, Close, Environment, SendClient, TlsInfo, TlsPolicy
from gatepost.errors import ClientFault, FaultCode, PluginFault
from gatepost.proving import FAILED, Proving
from gatepost.values import CredentialKind, Deny, DenyCode, EndCode, Identity, Reason, Secret, Verifier
from gatepost_postgres import messages, sqlstate
from gatepost_postgres.inbox import Inbox
from gatepost_postgres.scram import (
    SCRAM,
    SCRAM_PLUS,
    ClientFirst,
    ServerExchange,
    parse_client_first,
    server_end_point,
)
from gatepost_postgres.startup_message import StartupRequest

OAUTHBEARER: Final = "OAUTHBEARER"

_NONCE_BYTES: Final = 18
_BEARER: Final = re.compile(
    rb"[ny],(?P<authzid>[^,]*),\x01"
    rb"(?P<pairs>(?:[A-Za-z]+=[\x20-\x7e\r\n\t]*\x01)*)\x01"
)
_TOKEN: Final = re.compile(rb"Bearer +(?P<token>[A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
_BEARER_REFUSED: Final = b'{"status":"invalid_token"}'
_DISMISSAL: Final = b"\x01"

# A plugin that could not judge says nothing of the credentials: the client may try them again.
_DENIED: Final = {DenyCode.UNAVAILABLE: sqlstate.OF_FAULT[FaultCode.PLUGIN]}


class _State(Enum):
    MECHANISM = auto()
    SCRAM_FIRST = auto()
    SCRAM_FINAL = auto()
    BEARER_FIRST = auto()
    BEARER_DISMISSAL = auto()
    PASSWORD = auto()
    OVER = auto()


class Authentication(Proving):
    """Asks a client, and the plugins, who the client is.

    Args:
        inbox: the client's bytes.
        request: the startup message.
        tls: the client's TLS connection, if there is one.
        then: what goes on once the client has proven to be somebody.
    """

    def __init__(
        self,
        environment: Environment,
        inbox: Inbox,
        request: StartupRequest,
        tls: TlsInfo | None,
        then: Callable[[Identity], Iterator[Action]],
    ) -> None:
        super().__init__(
            environment,
            user=request.user,
            database=request.database,
            application=request.settings.get("application_name", ""),
            tls=tls,
            then=then,
        )
        self._inbox = inbox
        self._state = _State.OVER
        self._binding = server_end_point(tls.own_certificate) if tls else None
        self._mechanisms = self._offered_mechanisms()
        self._mechanism = ""
        self._first: ClientFirst | None = None
        self._proof: ServerExchange | None = None
        self._verifier: Verifier | None = None
        self._refusal: Deny | None = None

    def receive(self) -> Iterator[Action]:
        while self._is_judged and self._state is not _State.OVER and (taken := self._inbox.message()) is not None:
            kind, body = taken
            handler = self._STEPS.get((self._state, kind))
            if handler is None:
                raise ClientFault("this message is not allowed during authentication")
            yield from handler(self, body)

    @property
    def departure(self) -> Reason:
        """What it is if the client leaves now. One whose token was refused was refused, and need not confirm it."""
        if self._state is _State.BEARER_DISMISSAL:
            return Reason(code=EndCode.REFUSED, text=FAILED)
        return Reason(code=EndCode.CLIENT_LEFT)

    def _offered_mechanisms(self) -> tuple[str, ...]:
        offers = self._environment.offers
        mechanisms: list[str] = []
        if CredentialKind.SCRAM_SHA_256 in offers:
            mechanisms += [SCRAM_PLUS, SCRAM] if self._binding else [SCRAM]
            if CredentialKind.BEARER in offers and self._tls:
                mechanisms.append(OAUTHBEARER)
        elif CredentialKind.BEARER in offers and CredentialKind.PASSWORD not in offers and self._tls:
            mechanisms.append(OAUTHBEARER)
        return tuple(mechanisms)

    def _demand(self) -> Iterator[Action]:
        offers = self._environment.offers
        if self._mechanisms:
            self._state = _State.MECHANISM
            yield SendClient(messages.authentication_sasl(self._mechanisms))
        elif CredentialKind.PASSWORD in offers and self._tls:
            self._state = _State.PASSWORD
            yield SendClient(messages.authentication(messages.AUTH_CLEARTEXT))
        elif offers & {CredentialKind.PASSWORD, CredentialKind.BEARER} and not self._tls:
            raise ClientFault(
                "passwords and tokens are taken inside TLS alone",
                code=FaultCode.TLS_REQUIRED,
                hint="Connect with sslmode=require or stricter."
                if self._environment.client_tls is not TlsPolicy.OFF
                else "TLS is off in gatepost's configuration for this port.",
            )
        elif CredentialKind.CERTIFICATE in offers:
            yield from self._refuse(
                sqlstate.INVALID_AUTHORIZATION,
                "no client certificate that is known here",
                hint="Connect with sslmode=require or stricter and a client certificate (sslcert, sslkey).",
            )
        else:
            raise PluginFault(
                "no enabled plugin judges credentials that a PostgreSQL client can show",
                hint="Enable a plugin that judges SCRAM, certificates, tokens or passwords.",
            )
        yield from self.receive()

    def _accept(self, identity: Identity) -> Iterator[Action]:
        self._state = _State.OVER
        yield SendClient(messages.authentication(messages.AUTH_OK))
        yield from self._then(identity)

    def _fail(self, deny: Deny | None = None) -> Iterator[Action]:
        if deny is None:
            is_token = self._mechanism == OAUTHBEARER
            code = sqlstate.INVALID_AUTHORIZATION if is_token else sqlstate.INVALID_PASSWORD
            return self._refuse(code, FAILED)
        return self._refuse(_DENIED.get(deny.code, sqlstate.INVALID_AUTHORIZATION), deny.reason, hint=deny.hint)

    def _refuse(self, code: str, text: str, *, hint: str = "") -> Iterator[Action]:
        self._state = _State.OVER
        yield SendClient(messages.error(code, text, severity="FATAL", hint=hint))
        yield Close(Reason(code=EndCode.REFUSED, text=text))

    def _leave(self, body: bytes) -> Iterator[Action]:
        departure = self.departure
        self._state = _State.OVER
        yield Close(departure)

    # SASL.

    def _mechanism_chosen(self, body: bytes) -> Iterator[Action]:
        name, _, rest = body.partition(b"\0")
        mechanism = name.decode("ascii", "replace")
        if mechanism not in self._mechanisms:
            raise ClientFault("the client chose a SASL mechanism that was not offered")
        if len(rest) < 4:
            raise ClientFault("the SASL response is malformed")
        self._mechanism = mechanism
        length, response = struct.unpack_from("!i", rest)[0], rest[4:]
        first = _State.BEARER_FIRST if mechanism == OAUTHBEARER else _State.SCRAM_FIRST
        if length == -1 and not response:
            self._state = first
            yield SendClient(messages.authentication(messages.AUTH_SASL_CONTINUE))
        elif length != len(response):
            raise ClientFault("the SASL response's length is not true")
        else:
            yield from self._STEPS[first, messages.PASSWORD](self, response)

    def _scram_first(self, body: bytes) -> Iterator[Action]:
        self._first = parse_client_first(body, mechanism=self._mechanism, plus_offered=SCRAM_PLUS in self._mechanisms)
        yield self._ask(CredentialKind.SCRAM_SHA_256)

    def _exchange(self, kind: CredentialKind, known: Verifier | None) -> Iterator[Action]:
        assert self._first is not None
        self._verifier = known
        self._proof = ServerExchange(
            self._first,
            known,
            nonce=self._nonce(),
            binding=(self._binding or b"") if self._mechanism == SCRAM_PLUS else b"",
            unknown=(self._environment.gate_secret, self._user),
        )
        self._state = _State.SCRAM_FINAL
        yield SendClient(messages.authentication(messages.AUTH_SASL_CONTINUE, self._proof.challenge))
        yield from self.receive()

    def _scram_final(self, body: bytes) -> Iterator[Action]:
        assert self._proof is not None
        proof = self._proof.verify(body)
        if proof is None or self._verifier is None:
            yield from self._fail()
            return
        yield SendClient(messages.authentication(messages.AUTH_SASL_FINAL, proof))
        yield from self._accept(self._verifier.identity)

    def _nonce(self) -> bytes:
        """Ours in the exchange: not to be guessed, and used once, for a session has its own secret and one exchange."""
        return b64encode(hmac.digest(self._environment.cancel_secret, b"SCRAM server nonce", "sha256")[:_NONCE_BYTES])

    def _bearer_first(self, body: bytes) -> Iterator[Action]:
        match = _BEARER.fullmatch(body)
        if match is None:
            raise ClientFault("the OAUTHBEARER message is malformed")
        if match["authzid"]:
            raise ClientFault("OAUTHBEARER with an authorization identity is not supported", code=FaultCode.UNSUPPORTED)
        headers = [pair[5:] for pair in match["pairs"].split(b"\x01") if pair[:5].lower() == b"auth="]
        if len(headers) != 1:
            raise ClientFault("the OAUTHBEARER message must hold one auth value")
        token = _TOKEN.fullmatch(headers[0])
        if token is not None:
            yield self._ask(CredentialKind.BEARER, secret=Secret(token["token"].decode()))
        elif headers[0]:
            raise ClientFault("the OAUTHBEARER message holds no bearer token")
        else:
            # A client that has no token yet asks in this way where to get one (RFC 7628, section 4.3).
            yield from self._bearer_refused(None)

    def _bearer_refused(self, deny: Deny | None) -> Iterator[Action]:
        """Says why in RFC 7628's form (section 3.2.2); the error follows when the client has taken note."""
        if self._mechanism != OAUTHBEARER:
            yield from self._fail(deny)
            return
        self._refusal = deny
        self._state = _State.BEARER_DISMISSAL
        yield SendClient(messages.authentication(messages.AUTH_SASL_CONTINUE, _BEARER_REFUSED))
        yield from self.receive()

    def _bearer_dismissed(self, body: bytes) -> Iterator[Action]:
        if body != _DISMISSAL:
            raise ClientFault("the OAUTHBEARER message after a refusal is malformed")
        yield from self._fail(self._refusal)

    # What a client may send in which state.
    _STEPS: ClassVar[Mapping[tuple[_State, int], Callable[[Authentication, bytes], Iterator[Action]]]] = {
        (_State.MECHANISM, messages.PASSWORD): _mechanism_chosen,
        (_State.SCRAM_FIRST, messages.PASSWORD): _scram_first,
        (_State.SCRAM_FINAL, messages.PASSWORD): _scram_final,
        (_State.BEARER_FIRST, messages.PASSWORD): _bearer_first,
        (_State.BEARER_DISMISSAL, messages.PASSWORD): _bearer_dismissed,
        (_State.PASSWORD, messages.PASSWORD): Proving.cleartext,
        **dict.fromkeys([(state, messages.TERMINATE) for state in _State], _leave),
    }
