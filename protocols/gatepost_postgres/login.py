"""gatepost's own login to the database, up to the first ReadyForQuery.

Source: PostgreSQL 18 documentation, 54.2.1 "Start-up". Protocol 3.0 is asked for: 3.2 brings longer cancel keys alone,
and the key towards the database never leaves gatepost, while poolers in between often know 3.0 only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import ClassVar, Final

from msgspec import Struct

from gatepost.adapter import Action, Environment, SendClient, SendUpstream, TlsInfo
from gatepost.errors import ClientFault, Fault, FaultCode, UpstreamFault
from gatepost.values import UpstreamCredentials
from gatepost_postgres import messages
from gatepost_postgres.inbox import Inbox
from gatepost_postgres.scram import BOUND, SCRAM, SCRAM_PLUS, ClientExchange, server_end_point
from gatepost_postgres.settings import Demands
from gatepost_postgres.startup_message import StartupRequest
from gatepost_postgres.texts import Texts
from gatepost_postgres.upstream_tls import UpstreamTls

_NONCE_BYTES: Final = 18
_SQLSTATE: Final = re.compile(rb"(?:\A|\0)C([0-9A-Z]{5})\0")
_IDLE: Final = b"I"


class LoggedIn(Struct, frozen=True, kw_only=True):
    """The database is ready.

    Attributes:
        number, secret: the database's own cancel key; `secret` is b"" if it gave none.
        user, database: as whom and to what.
        search_path: as the database has reported it, None if it has not.
    """

    number: int
    secret: bytes
    user: str
    database: str
    search_path: str | None = None

    def __repr__(self) -> str:
        return "LoggedIn()"


class _State(Enum):
    TLS = auto()
    AUTHENTICATION = auto()
    PASSWORD_SENT = auto()
    SCRAM_CHALLENGE = auto()
    SCRAM_FINAL = auto()
    SCRAM_OK = auto()
    SETTINGS = auto()
    OVER = auto()


class Login:
    """Logs in to the database.

    Args:
        inbox: the database's bytes.
        request: what the client asked for; its settings are passed on.
        credentials: as whom to log in.
        demands: what the settings must be.
        then: what goes on once the database is ready.
    """

    def __init__(
        self,
        environment: Environment,
        inbox: Inbox,
        request: StartupRequest,
        credentials: UpstreamCredentials,
        demands: Demands,
        then: Callable[[LoggedIn], Iterator[Action]],
    ) -> None:
        self._environment = environment
        self._inbox = inbox
        self._request = request
        self._credentials = credentials
        self._demands = demands
        self._then = then
        self._state = _State.TLS
        self._negotiation = UpstreamTls(environment, inbox, self._start)
        self._tls: TlsInfo | None = None
        self._exchange: ClientExchange | None = None
        self._texts = Texts(environment.hooks)
        self._key = (0, b"")
        self._search_path: str | None = None

    def begin(self) -> Iterator[Action]:
        return self._negotiation.begin()

    def tls_started(self, info: TlsInfo) -> Iterator[Action]:
        return self._negotiation.started(info)

    def receive(self) -> Iterator[Action]:
        if self._state is _State.TLS:
            yield from self._negotiation.receive()
        while self._state not in {_State.TLS, _State.OVER} and (taken := self._inbox.message()) is not None:
            kind, body = taken
            request = _authentication_request(body) if kind == messages.AUTHENTICATION else None
            handler = self._STEPS.get((self._state, kind, request))
            if handler is None:
                raise _unsupported(request) if request else UpstreamFault("the database broke the protocol at login")
            yield from handler(self, body[4:] if kind == messages.AUTHENTICATION else body)

    def _start(self, tls: TlsInfo | None) -> Iterator[Action]:
        self._tls = tls
        self._state = _State.AUTHENTICATION
        parameters = {
            "user": self._credentials.user,
            "database": self._database,
            **self._request.settings,
            **self._demands.required,
        }
        yield SendUpstream(messages.startup(parameters))

    @property
    def _database(self) -> str:
        return self._credentials.database or self._request.database

    # Authentication.

    def _password(self) -> str:
        if self._credentials.password is None:
            raise UpstreamFault(
                "the database demands a password, and none is configured for it",
                code=FaultCode.UPSTREAM_REFUSED,
                hint="Give the target's credentials a password in gatepost's configuration.",
            )
        return self._credentials.password.reveal()

    def _ok(self, body: bytes) -> Iterator[Action]:
        self._state = _State.SETTINGS
        return iter(())

    def _cleartext(self, body: bytes) -> Iterator[Action]:
        if self._tls is None:
            raise UpstreamFault(
                "the database demands the password in clear text without TLS",
                code=FaultCode.UPSTREAM_REFUSED,
                hint="Turn on TLS to the database, or use scram-sha-256 in pg_hba.conf.",
            )
        self._state = _State.PASSWORD_SENT
        yield SendUpstream(messages.message(messages.PASSWORD, messages.cstring(self._password())))

    def _md5(self, salt: bytes) -> Iterator[Action]:
        if len(salt) != 4:
            raise UpstreamFault("the database's MD5 salt is malformed")
        inner = _md5_hex(self._password().encode() + self._credentials.user.encode())
        self._state = _State.PASSWORD_SENT
        yield SendUpstream(messages.message(messages.PASSWORD, b"md5" + _md5_hex(inner + salt) + b"\0"))

    def _sasl(self, body: bytes) -> Iterator[Action]:
        offered = body.split(b"\0")
        if len(offered) < 3 or offered[-2:] != [b"", b""]:
            raise UpstreamFault("the database's list of SASL mechanisms is malformed")
        binding = server_end_point(self._tls.peer_certificate) if self._tls else None
        if binding and SCRAM_PLUS.encode() in offered:
            mechanism, flag = SCRAM_PLUS, BOUND
        elif SCRAM.encode() in offered:
            mechanism, flag, binding = SCRAM, b"y" if binding else b"n", b""
        else:
            raise _unsupported(messages.AUTH_SASL)
        nonce = hmac.digest(self._environment.cancel_secret, b"SCRAM client nonce", "sha256")[:_NONCE_BYTES]
        self._exchange = ClientExchange(self._password(), nonce=b64encode(nonce), flag=flag, binding=binding or b"")
        self._state = _State.SCRAM_CHALLENGE
        yield SendUpstream(messages.sasl_initial_response(mechanism, self._exchange.first))

    def _sasl_continue(self, body: bytes) -> Iterator[Action]:
        assert self._exchange is not None
        self._state = _State.SCRAM_FINAL
        yield SendUpstream(messages.message(messages.PASSWORD, self._exchange.prove(body)))

    def _sasl_final(self, body: bytes) -> Iterator[Action]:
        assert self._exchange is not None
        self._exchange.verify(body)
        self._state = _State.SCRAM_OK
        return iter(())

    # What the database says of itself.

    def _refused(self, body: bytes) -> Iterator[Action]:
        """Never shown as it is: it names the database's user."""
        match = _SQLSTATE.search(body)
        raise _refusal(match[1].decode() if match else "", self._request)

    def _notice(self, body: bytes) -> Iterator[Action]:
        yield SendClient(self._texts.notice(body) or messages.message(messages.NOTICE, body))

    def _parameter(self, body: bytes) -> Iterator[Action]:
        if body.startswith(b"session_authorization\0"):
            # It names the database's user, which is none of the client's business.
            body = messages.cstring("session_authorization") + messages.cstring(self._request.user)
        name, value, encoded = self._texts.parameter(body)
        demanded = self._demands.required.get(name, value)
        if value != demanded:
            raise UpstreamFault(
                f"the database keeps {name} from being {demanded}",
                hint="Statements can be judged under that setting alone. Is there a pooler in between?",
            )
        if name == "search_path":
            self._search_path = value
        yield SendClient(encoded or messages.message(messages.PARAMETER_STATUS, body))

    def _key_data(self, body: bytes) -> Iterator[Action]:
        if len(body) != 8:
            raise UpstreamFault("the database's cancel key is malformed")
        self._key = (int.from_bytes(body[:4], signed=True), body[4:])
        return iter(())

    def _ready(self, body: bytes) -> Iterator[Action]:
        if body != _IDLE:
            raise UpstreamFault("the database is not idle after its login")
        self._state = _State.OVER
        number, secret = self._key
        yield from self._then(
            LoggedIn(
                number=number,
                secret=secret,
                user=self._credentials.user,
                database=self._database,
                search_path=self._search_path,
            )
        )

    # What the database may send in which state; an AuthenticationXXX with what it asks for.
    _STEPS: ClassVar[Mapping[tuple[_State, int, int | None], Callable[[Login, bytes], Iterator[Action]]]] = {
        (_State.AUTHENTICATION, messages.AUTHENTICATION, messages.AUTH_OK): _ok,
        (_State.AUTHENTICATION, messages.AUTHENTICATION, messages.AUTH_CLEARTEXT): _cleartext,
        (_State.AUTHENTICATION, messages.AUTHENTICATION, messages.AUTH_MD5): _md5,
        (_State.AUTHENTICATION, messages.AUTHENTICATION, messages.AUTH_SASL): _sasl,
        (_State.PASSWORD_SENT, messages.AUTHENTICATION, messages.AUTH_OK): _ok,
        (_State.SCRAM_CHALLENGE, messages.AUTHENTICATION, messages.AUTH_SASL_CONTINUE): _sasl_continue,
        (_State.SCRAM_FINAL, messages.AUTHENTICATION, messages.AUTH_SASL_FINAL): _sasl_final,
        (_State.SCRAM_OK, messages.AUTHENTICATION, messages.AUTH_OK): _ok,
        (_State.SETTINGS, messages.PARAMETER_STATUS, None): _parameter,
        (_State.SETTINGS, messages.BACKEND_KEY_DATA, None): _key_data,
        (_State.SETTINGS, messages.READY, None): _ready,
        **dict.fromkeys([(state, messages.ERROR, None) for state in _State], _refused),
        **dict.fromkeys([(state, messages.NOTICE, None) for state in _State], _notice),
    }


def _authentication_request(body: bytes) -> int:
    if len(body) < 4:
        raise UpstreamFault("the database's request for authentication is malformed")
    return int.from_bytes(body[:4])


def _md5_hex(data: bytes) -> bytes:
    # The database chose MD5; it proves the password, and protects nothing of ours.
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()


def _unsupported(request: int | None) -> UpstreamFault:
    return UpstreamFault(
        f"the database demands authentication request {request} at this point, which gatepost does not support there",
        code=FaultCode.UPSTREAM_REFUSED,
        hint="Use scram-sha-256 in pg_hba.conf for gatepost's user.",
    )


def _refusal(code: str, request: StartupRequest) -> Fault:
    """What the client is told of an error at login: what it can act on, and nothing that the database wrote."""
    if code.startswith("22") and request.settings:
        return ClientFault(
            f"the database refused the value of a startup parameter (SQLSTATE {code})",
            code=FaultCode.UNSUPPORTED,
            hint=f"Check {', '.join(request.settings)}.",
        )
    hint = _HINTS.get(code, "The gateway's operator can check the target's credentials and the database's log.")
    text = "the database refused gatepost's login" + (f" (SQLSTATE {code})" if code else "")
    return UpstreamFault(text, code=FaultCode.UPSTREAM_REFUSED, hint=hint)


_HINTS: Final[Mapping[str, str]] = {
    "3D000": "No database has the name that you asked for; connect to another.",
    "53300": "The database has no connection left; try again later.",
    "57P03": "The database is starting or stopping; try again later.",
}
