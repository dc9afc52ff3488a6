"""How any protocol's client proves who it is, as a table: what was asked, what a plugin answers, what follows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gatepost.adapter import Action, Authenticate, Close, TlsInfo
from gatepost.errors import ClientFault, PluginFault
from gatepost.proving import FAILED, Answer, Proving
from gatepost.testing import make_environment
from gatepost.values import CredentialKind, Deny, DenyCode, EndCode, Identity, Reason, Secret, Verifier

BOB = Identity(name="bob")
TLS = TlsInfo(version="TLSv1.3", cipher="a", peer_certificate=b"a certificate")
DENY = Deny(reason="not now", code=DenyCode.UNAVAILABLE)
PASSWORD, BEARER, CERTIFICATE = CredentialKind.PASSWORD, CredentialKind.BEARER, CredentialKind.CERTIFICATE
SCRAM = CredentialKind.SCRAM_SHA_256


class Spoken(Proving):
    """Tells in words what it would do; a reason stands for each step."""

    def __init__(self, offers: set[CredentialKind], tls: TlsInfo | None) -> None:
        world = make_environment(offers=frozenset(offers))
        super().__init__(world, user="bob", database="shop", application="psql", tls=tls, then=self._welcome)

    def receive(self) -> Iterator[Action]:
        raise NotImplementedError

    def ask(self, kind: CredentialKind) -> None:
        self._ask(kind, secret=Secret("hunter2"))

    def _demand(self) -> Iterator[Action]:
        yield _said("demanded")

    def _exchange(self, kind: CredentialKind, known: Verifier | None) -> Iterator[Action]:
        yield _said(f"{kind.value} with {known.identity.name if known else 'nobody'}")

    def _accept(self, identity: Identity) -> Iterator[Action]:
        return self._then(identity)

    def _welcome(self, identity: Identity) -> Iterator[Action]:
        yield _said(f"welcome {identity.name}")

    def _fail(self, deny: Deny | None = None) -> Iterator[Action]:
        yield _said(deny.reason if deny else FAILED)


def _said(text: str) -> Close:
    return Close(Reason(code=EndCode.REFUSED, text=text))


def _told(actions: Iterator[Action]) -> list[str]:
    return [action.reason.text if isinstance(action, Close) else _asked(action) for action in actions]


def _asked(action: Action) -> str:
    assert isinstance(action, Authenticate)
    assert (action.credentials.user, action.database, action.application) == ("bob", "shop", "psql")
    return f"asked for {action.credentials.kind.value}"


@pytest.mark.parametrize(
    ("kind", "answer", "told"),
    [
        (CERTIFICATE, BOB, "welcome bob"),
        (CERTIFICATE, None, "demanded"),
        (CERTIFICATE, DENY, "not now"),
        (PASSWORD, BOB, "welcome bob"),
        (PASSWORD, None, "asked for bearer"),
        (PASSWORD, DENY, "not now"),
        (BEARER, BOB, "welcome bob"),
        (BEARER, None, FAILED),
        (BEARER, DENY, "not now"),
        (SCRAM, Verifier(identity=BOB), "scram-sha-256 with bob"),
        (SCRAM, None, "scram-sha-256 with nobody"),
        (SCRAM, DENY, "not now"),
    ],
)
def test_a_plugins_answer_leads_on(kind: CredentialKind, answer: Answer, told: str) -> None:
    proving = Spoken({PASSWORD, BEARER}, TLS)
    proving.ask(kind)
    assert _told(proving.answered(answer)) == [told]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [(SCRAM, BOB), (PASSWORD, Verifier(identity=BOB)), (BEARER, Verifier(identity=BOB)), (PASSWORD, True)],
)
def test_an_answer_of_the_wrong_type_is_the_plugins_fault(kind: CredentialKind, answer: Answer) -> None:
    proving = Spoken({PASSWORD, BEARER}, TLS)
    proving.ask(kind)
    with pytest.raises(PluginFault, match=f"{kind.value} with the wrong type"):
        list(proving.answered(answer))


@pytest.mark.parametrize(("offers", "tls"), [({PASSWORD}, TLS), ({PASSWORD, BEARER}, None)])
def test_a_password_is_no_token_where_none_is_judged_or_nothing_keeps_it_secret(
    offers: set[CredentialKind], tls: TlsInfo | None
) -> None:
    proving = Spoken(offers, tls)
    proving.ask(PASSWORD)
    assert _told(proving.answered(None)) == [FAILED]


@pytest.mark.parametrize(
    ("offers", "tls", "told"),
    [
        ({CERTIFICATE}, TLS, "asked for certificate"),
        ({PASSWORD}, TLS, "demanded"),
        ({CERTIFICATE}, None, "demanded"),
    ],
)
def test_a_certificate_comes_first(offers: set[CredentialKind], tls: TlsInfo | None, told: str) -> None:
    assert _told(Spoken(offers, tls).begin()) == [told]


@pytest.mark.parametrize(
    ("message", "told"),
    [(b"hunter2\0", "asked for password"), (b"\0", FAILED)],
)
def test_a_password_ends_in_a_nul(message: bytes, told: str) -> None:
    assert _told(Spoken({PASSWORD}, TLS).cleartext(message)) == [told]


@pytest.mark.parametrize("message", [b"", b"hunter2", b"hun\0ter2\0", b"\xff\0"])
def test_a_malformed_password_is_the_clients_fault(message: bytes) -> None:
    with pytest.raises(ClientFault):
        list(Spoken({PASSWORD}, TLS).cleartext(message))
