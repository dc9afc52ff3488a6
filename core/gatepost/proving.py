"""How a client of any protocol proves who it is, for adapters to build on.

What a client can show, and the exchanges that keep its password secret, are its protocol's. What plugins are asked, in
which order, and where their answers lead is alike everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Final, TypeAlias

from gatepost.adapter import Action, Authenticate, Environment, TlsInfo
from gatepost.errors import ClientFault, PluginFault
from gatepost.values import CredentialKind, Credentials, Deny, Identity, Secret, Verifier

FAILED: Final = "authentication failed"
"""All that a client is told of an unknown user, a wrong password and a token that is not known."""

Answer: TypeAlias = Identity | Verifier | Deny | None


class Proving(ABC):
    """Asks the plugins who a client is: by its certificate first, then by what it is asked for.

    Args:
        user, database, application: what the client has said; see `gatepost.adapter.Authenticate`.
        tls: the client's TLS connection, if there is one.
        then: what goes on once the client has proven to be somebody.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        user: str,
        database: str,
        application: str,
        tls: TlsInfo | None,
        then: Callable[[Identity], Iterator[Action]],
    ) -> None:
        self._environment = environment
        self._user = user
        self._database = database
        self._application = application
        self._tls = tls
        self._then = then
        self._asked: Credentials | None = None
        self._is_judged = True

    def begin(self) -> Iterator[Action]:
        if self._tls and self._tls.peer_certificate and CredentialKind.CERTIFICATE in self._environment.offers:
            yield self._ask(CredentialKind.CERTIFICATE, certificate=self._tls.peer_certificate)
        else:
            yield from self._demand()

    @abstractmethod
    def receive(self) -> Iterator[Action]:
        """Take what the client has sent, unless plugins judge what came before."""

    def answered(self, answer: Answer) -> Iterator[Action]:
        """The plugins have judged what was asked last.

        Raises PluginFault if a plugin gave an identity for an exchange, or a verifier for anything else.
        """
        asked = self._asked
        assert asked is not None
        self._is_judged = True
        refused = self._REFUSED.get(asked.kind)
        match answer:
            case Identity() if refused is not None:
                return self._accept(answer)
            case Verifier() | None if refused is None:
                return self._exchange(asked.kind, answer)
            case Deny() | None:
                return refused(self, answer) if refused is not None else self._fail(answer)
            case _:
                raise PluginFault(f"a plugin answered credentials of the kind {asked.kind.value} with the wrong type")

    @abstractmethod
    def _demand(self) -> Iterator[Action]:
        """Ask the client for what it has besides a certificate."""

    @abstractmethod
    def _exchange(self, kind: CredentialKind, known: Verifier | None) -> Iterator[Action]:
        """Check a proof, or go on to ask for it; None is somebody unknown, who must not notice the difference."""

    @abstractmethod
    def _accept(self, identity: Identity) -> Iterator[Action]: ...

    @abstractmethod
    def _fail(self, deny: Deny | None = None) -> Iterator[Action]:
        """The same for an unknown user and a wrong password; only a plugin's Deny says more."""

    def _ask(self, kind: CredentialKind, *, secret: Secret | None = None, certificate: bytes = b"") -> Authenticate:
        self._is_judged = False
        self._asked = Credentials(kind=kind, user=self._user, secret=secret, certificate=certificate)
        return Authenticate(credentials=self._asked, database=self._database, application=self._application)

    def cleartext(self, message: bytes) -> Iterator[Action]:
        """A password or a token as it is: UTF-8, and a NUL at its end alone."""
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

    def _certificate_refused(self, deny: Deny | None) -> Iterator[Action]:
        return self._fail(deny) if deny else self._demand()

    def _password_refused(self, deny: Deny | None) -> Iterator[Action]:
        """A client that has no other place for a token sends it as a password."""
        assert self._asked is not None
        if deny is None and CredentialKind.BEARER in self._environment.offers and self._tls is not None:
            yield self._ask(CredentialKind.BEARER, secret=self._asked.secret)
        else:
            yield from self._fail(deny)

    def _bearer_refused(self, deny: Deny | None) -> Iterator[Action]:
        return self._fail(deny)

    # What plugins answer by an identity; all else are exchanges, which they give a verifier for.
    _REFUSED: ClassVar[Mapping[CredentialKind, Callable[[Proving, Deny | None], Iterator[Action]]]] = {
        CredentialKind.CERTIFICATE: lambda self, deny: self._certificate_refused(deny),
        CredentialKind.PASSWORD: lambda self, deny: self._password_refused(deny),
        CredentialKind.BEARER: lambda self, deny: self._bearer_refused(deny),
    }
