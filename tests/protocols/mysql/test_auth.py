"""How a client proves who it is: the exchanges, what they are offered for, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from tests import mysql_wire as wire
from tests.protocols.mysql.exchange import EXCHANGES, player

from gatepost import CredentialKind, Deny, EndCode, Identity, Secret, Verifier
from gatepost.adapter import Authenticate, Connect, TlsPolicy
from gatepost.testing import AGENT, TLS, Player, every_split, from_client
from gatepost.testing.sessions import TlsInfo
from gatepost_mysql import handshake

PASSWORD = "correct horse"
OFF = {"client_tls": TlsPolicy.OFF}


def verifier(password: str = PASSWORD) -> Verifier:
    data = password.encode()
    return Verifier(
        identity=AGENT,
        mysql_native=wire.sha1(wire.sha1(data)),
        caching_sha2=wire.sha256(wire.sha256(data)),
    )


def verify(question: Authenticate) -> Verifier | None:
    return verifier() if question.credentials.user == "agent" else None


def judge(question: Authenticate) -> Identity | None:
    """Passwords and tokens."""
    secret = question.credentials.secret
    return AGENT if secret is not None and secret.reveal() == PASSWORD else None


def nonce(greeting: bytes) -> bytes:
    ((_, payload),) = wire.split(greeting)
    rest = payload[payload.index(b"\0", 1) + 1 :]
    return rest[4:12] + rest[31 : 31 + 12]


def greeted(offers: frozenset[CredentialKind], authenticate: Any = verify, **environment: Any) -> Player:
    return player(environment={"offers": offers, **OFF, **environment}, authenticate=authenticate)


def error_of(made: Player) -> str:
    _, payload = wire.split(made.sent()[0])[-1]
    assert payload[0] == 0xFF
    return payload[1:].decode("latin-1")


def test_the_greeting() -> None:
    made = greeted(EXCHANGES)
    ((number, payload),) = wire.split(made.sent()[0])
    assert (number, payload[0]) == (0, 10)
    assert payload.endswith(b"caching_sha2_password\0")
    rest = payload[payload.index(b"\0") + 1 :]
    assert int.from_bytes(rest[:4], "little") == 7  # the session's number
    capabilities = int.from_bytes(rest[13:15], "little")
    assert not capabilities & (1 << 5 | wire.SSL)  # COMPRESS, SSL


def greeting_of(made: Player) -> tuple[str, int]:
    """The version and the capabilities that a client is greeted with."""
    ((_, payload),) = wire.split(made.sent()[0])
    version, _, rest = payload[1:].partition(b"\0")
    low, high = (int.from_bytes(rest[at : at + 2], "little") for at in (13, 18))
    return version.decode(), low | high << 16 | int.from_bytes(rest[27:31], "little") << 32


def known(version: str, capabilities: int) -> Player:
    """In front of a database that was seen before."""
    return greeted(
        EXCHANGES, upstream=handshake.read(wire.greeting(version=version, capabilities=capabilities)[4:]).upstream
    )


def test_a_client_is_greeted_in_the_databases_name() -> None:
    unknown, usual = greeting_of(greeted(EXCHANGES))
    assert unknown == "5.7.44-gatepost"
    assert greeting_of(known("9.7.0", wire.MYSQL)) == ("9.7.0", usual | wire.QUERY_ATTRIBUTES)
    assert greeting_of(known("5.7.44-log", wire.MYSQL & ~wire.QUERY_ATTRIBUTES)) == ("5.7.44-log", usual)
    mariadb = "5.5.5-10.11.14-MariaDB-0+deb12u2"
    own = wire.PROGRESS | wire.EXTENDED_METADATA | wire.CACHE_METADATA
    assert greeting_of(known(mariadb, wire.MARIADB)) == (mariadb, usual & ~wire.IS_MYSQL | own)
    assert (
        greeting_of(known(mariadb, wire.MARIADB & ~wire.PROGRESS))[1] == usual & ~wire.IS_MYSQL | own & ~wire.PROGRESS
    )
    assert greeting_of(known("8.4.0", wire.MYSQL | wire.PROGRESS))[1] == usual | wire.QUERY_ATTRIBUTES


def test_nothing_is_offered_that_the_database_lacks() -> None:
    _, usual = greeting_of(greeted(EXCHANGES))
    _, offered = greeting_of(known("8.4.0", wire.MYSQL & ~wire.DEPRECATE_EOF & ~wire.SESSION_TRACK))
    assert offered == usual & ~wire.DEPRECATE_EOF & ~wire.SESSION_TRACK | wire.QUERY_ATTRIBUTES


@pytest.mark.parametrize(
    ("plugin", "prove", "answer"),
    [
        ("caching_sha2_password", wire.sha2_proof, b"\x01\x03"),
        ("mysql_native_password", wire.native_proof, None),
    ],
)
def test_an_exchange_proves_the_password(plugin: str, prove: Any, answer: bytes | None) -> None:
    for password, proven in ((PASSWORD, True), ("wrong", False)):
        made = greeted(EXCHANGES)
        challenge = nonce(made.sent()[0])
        made.client(wire.login(plugin=plugin, proof=prove(password, challenge)))
        if plugin != "caching_sha2_password":
            # What was proven by another plugin than the greeting's is asked for again.
            ((number, payload),) = wire.split(made.sent()[0])
            assert (number, payload[:1]) == (2, b"\xfe")
            name, again = payload[1:].rstrip(b"\0").split(b"\0")
            assert name.decode() == plugin
            made.client(wire.packet(3, prove(password, again)))
        assert any(isinstance(action, Connect) for action in made.actions) is proven
        if not proven:
            assert "authentication failed" in error_of(made)
            assert made.closed is not None
            assert made.closed.code is EndCode.REFUSED
        elif answer is not None:
            assert wire.split(made.sent()[0])[-1][1] == answer


def test_an_unknown_user_looks_like_a_wrong_password() -> None:
    said = []
    for user in ("agent", "nobody"):
        made = greeted(EXCHANGES)
        made.sent()
        made.client(wire.login(user, proof=b"\1" * 32))
        said.append(made.sent()[0])
    assert said[0] == said[1]


@pytest.mark.parametrize("proof", [b"", b"\1" * 31, b"\1" * 200])
def test_a_proof_of_another_length_is_wrong(proof: bytes) -> None:
    made = greeted(EXCHANGES)
    made.client(wire.login(proof=proof))
    assert made.closed is not None
    assert made.closed.code is EndCode.REFUSED


def test_a_plugin_without_the_verifier_refuses() -> None:
    made = greeted(EXCHANGES, lambda question: Verifier(identity=AGENT, stored_key=b"x"))
    made.client(wire.login(proof=b"\1" * 32))
    assert made.closed is not None
    assert made.closed.code is EndCode.REFUSED


def test_a_plugin_that_answers_with_the_wrong_type_has_failed() -> None:
    made = greeted(EXCHANGES, lambda question: AGENT)
    made.client(wire.login(proof=b"\1" * 32))
    assert made.closed is not None
    assert made.closed.code is EndCode.PLUGIN_FAULT


def test_a_denial_says_why() -> None:
    made = greeted(EXCHANGES, lambda question: Deny(reason="locked", hint="wait"))
    made.client(wire.login(proof=b"\1" * 32))
    assert "locked. Hint: wait" in error_of(made)


def in_tls(offers: frozenset[CredentialKind], authenticate: Any = judge, **changes: Any) -> Player:
    made = player(
        environment={"offers": offers, "client_tls": TlsPolicy.REQUIRED}, authenticate=authenticate, **changes
    )
    return made.client(wire.ssl_request())


def test_a_password_inside_tls() -> None:
    for password, proven in ((PASSWORD, True), ("wrong", False), ("", False)):
        made = in_tls(frozenset({CredentialKind.PASSWORD}))
        made.sent()
        made.client(wire.login(number=2))
        assert wire.split(made.sent()[0]) == [(3, b"\x01\x04")]
        made.client(wire.packet(4, password.encode() + b"\0"))
        assert any(isinstance(action, Connect) for action in made.actions) is proven


def test_a_token_inside_tls() -> None:
    made = in_tls(frozenset({CredentialKind.BEARER}))
    made.client(wire.login(number=2, plugin="mysql_clear_password", proof=PASSWORD.encode() + b"\0"))
    assert any(isinstance(action, Connect) for action in made.actions)


def test_a_token_in_a_passwords_place() -> None:
    kinds = []

    def authenticate(question: Authenticate) -> Identity | None:
        kinds.append(question.credentials.kind)
        return AGENT if question.credentials.kind is CredentialKind.BEARER else None

    made = in_tls(frozenset({CredentialKind.BEARER, CredentialKind.PASSWORD}), authenticate)
    made.client(wire.login(number=2)).client(wire.packet(4, b"token\0"))
    assert kinds == [CredentialKind.PASSWORD, CredentialKind.BEARER]
    assert any(isinstance(action, Connect) for action in made.actions)


def test_a_token_without_tls_is_not_taken() -> None:
    made = greeted(frozenset({CredentialKind.BEARER}), judge)
    made.client(wire.login(plugin="mysql_clear_password", proof=PASSWORD.encode() + b"\0"))
    assert "inside TLS" in error_of(made)
    assert not any(isinstance(action, Authenticate) for action in made.actions)


def test_a_password_is_encrypted_without_tls() -> None:
    made = greeted(frozenset({CredentialKind.PASSWORD}), judge)
    challenge = nonce(made.sent()[0])
    made.client(wire.login())
    assert wire.split(made.sent()[0]) == [(2, b"\x01\x04")]
    made.client(wire.packet(3, b"\x02"))
    ((number, payload),) = wire.split(made.sent()[0])
    assert (number, payload[:1]) == (4, b"\x01")
    key = serialization.load_pem_public_key(payload[1:])
    data = PASSWORD.encode() + b"\0"
    covered = wire.xor(data, (challenge * 5)[: len(data)])
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
    made.client(wire.packet(5, key.encrypt(covered, oaep)))  # type: ignore[union-attr,call-arg]
    assert any(isinstance(action, Connect) for action in made.actions)


def test_a_password_in_the_clear_without_tls_is_refused() -> None:
    made = greeted(frozenset({CredentialKind.PASSWORD}), judge)
    made.client(wire.login()).client(wire.packet(3, PASSWORD.encode() + b"\0"))
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT
    assert not any(isinstance(action, Authenticate) for action in made.actions)


def test_a_certificate_goes_first() -> None:
    info = TlsInfo(version=TLS.version, cipher=TLS.cipher, peer_certificate=b"der")
    made = in_tls(EXCHANGES | {CredentialKind.CERTIFICATE}, lambda question: AGENT, tls=info)
    made.client(wire.login(number=2))
    (question,) = (action for action in made.actions if isinstance(action, Authenticate))
    assert question.credentials.certificate == b"der"
    assert any(isinstance(action, Connect) for action in made.actions)


@pytest.mark.parametrize("offers", [frozenset(), frozenset({CredentialKind.SCRAM_SHA_256})])
def test_where_no_plugin_judges_what_a_client_can_show(offers: frozenset[CredentialKind]) -> None:
    made = greeted(offers)
    made.client(wire.login())
    assert made.closed is not None
    assert made.closed.code is EndCode.PLUGIN_FAULT


def test_where_tls_is_demanded() -> None:
    made = player(environment={"offers": EXCHANGES, "client_tls": TlsPolicy.REQUIRED})
    made.client(wire.login())
    assert "demands TLS" in error_of(made)


@pytest.mark.parametrize("early", [b"\x01\x00\x00\x02x", b"GET / HTTP/1.1"])
def test_unencrypted_bytes_behind_the_request_for_tls(early: bytes) -> None:
    made = player(environment={"offers": EXCHANGES})
    made.client(wire.ssl_request() + early)
    assert made.closed is not None
    assert made.closed.code is EndCode.CLIENT_FAULT


def test_attributes_say_which_application_it_is() -> None:
    made = greeted(EXCHANGES)
    attributes = wire.counted(b"program_name") + wire.counted(b"reporter") + wire.counted(b"_os") + wire.counted(b"x")
    made.client(wire.login(attributes=attributes))
    (question,) = (action for action in made.actions if isinstance(action, Authenticate))
    assert (question.application, question.database, question.credentials.user) == ("reporter", "shop", "agent")


@pytest.mark.parametrize(
    "data",
    [
        wire.packet(0, wire.login()[4:]),  # out of order
        wire.packet(1, b""),
        wire.packet(1, b"\0" * 10),
        wire.login(capabilities=0),
        wire.login(collation=8),  # latin1
        wire.login() + wire.login(),
        wire.packet(1, wire.login()[4:] + b"more"),
        b"\xff\xff\xff\x01",  # longer than a login may be
        wire.login(attributes=wire.counted(b"name")),
        wire.login(user="\udcff".encode("utf-8", "surrogateescape").decode("latin-1")).replace(
            b"\xc3\xbf", b"\xff\xff"
        ),
    ],
)
def test_a_login_that_breaks_the_protocol(data: bytes) -> None:
    made = greeted(EXCHANGES)
    made.client(data)
    assert made.closed is not None
    assert not made.serving


def test_splitting_changes_nothing() -> None:
    def make() -> Player:
        return player(environment={"offers": EXCHANGES, **OFF}, authenticate=verify)

    challenge = nonce(make().sent()[0])
    steps = [from_client(wire.login(proof=wire.sha2_proof(PASSWORD, challenge)))]
    for how, made in every_split(make, steps):
        assert any(isinstance(action, Connect) for action in made.actions), how


def test_no_secret_is_shown() -> None:
    made = in_tls(frozenset({CredentialKind.PASSWORD}))
    made.client(wire.login(number=2)).client(wire.packet(4, PASSWORD.encode() + b"\0"))
    assert PASSWORD not in repr([action for action in made.actions if not hasattr(action, "data")])
    assert PASSWORD not in repr(Secret(PASSWORD))
