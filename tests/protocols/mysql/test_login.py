"""gatepost's own login to the database: exchanges, TLS, settings, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests import mysql_wire as wire
from tests.protocols.mysql.exchange import player

from gatepost import EndCode, Restriction, Secret, UpstreamCredentials
from gatepost.adapter import UPSTREAM, Recognised, StartTls, TlsPolicy
from gatepost.testing import Player, every_split, from_upstream
from gatepost_mysql import handshake

PASSWORD = "upstream-password"  # of the player's credentials
OFFERED = 0xFFFFFFFF


def connecting(**environment: Any) -> Player:
    """A session whose client is proven."""
    made = player(environment=environment)
    made.client(wire.ssl_request()).client(wire.login(number=2)).client(wire.packet(4, b"secret\0"))
    made.sent()
    return made


def proof_in(payload: bytes) -> bytes:
    """The proof in gatepost's own answer to a greeting."""
    rest = payload[32:]
    rest = rest[rest.index(b"\0") + 1 :]
    return rest[1 : 1 + rest[0]]


def finish(made: Player, number: int = 2) -> Player:
    return made.upstream(wire.packet(number, wire.ok())).upstream(wire.settings())


def refusal(made: Player) -> str:
    assert made.closed is not None
    assert made.closed.code is EndCode.UPSTREAM_FAULT
    assert not made.serving
    return made.closed.text


@pytest.mark.parametrize(
    ("plugin", "prove"), [("mysql_native_password", wire.native_proof), ("caching_sha2_password", wire.sha2_proof)]
)
def test_the_greetings_plugin(plugin: str, prove: Any) -> None:
    made = connecting().upstream(wire.greeting(plugin=plugin))
    ((number, payload),) = wire.split(made.sent()[1])
    assert number == 1
    assert proof_in(payload) == prove(PASSWORD, wire.NONCE)
    assert b"service\0" in payload
    assert b"shop\0" in payload
    assert b"agent" not in payload
    made.upstream(wire.packet(2, wire.ok()))
    assert wire.split(made.sent()[1])[0][1].startswith(b"\x03SELECT @@sql_mode")
    made.upstream(wire.settings())
    assert made.serving
    assert wire.split(made.sent()[0])[-1][1][0] == 0


def test_what_the_database_is_is_told_once() -> None:
    made = finish(connecting().upstream(wire.greeting(version="9.7.0")))
    (told,) = (action for action in made.actions if isinstance(action, Recognised))
    assert told.upstream == handshake.read(wire.greeting(version="9.7.0")[4:]).upstream
    again = finish(connecting(upstream=told.upstream).upstream(wire.greeting(version="9.7.0")))
    assert not any(isinstance(action, Recognised) for action in again.actions)
    other = finish(connecting(upstream=told.upstream).upstream(wire.greeting(version="9.7.1")))
    assert any(isinstance(action, Recognised) for action in other.actions)


def test_the_database_is_another_than_the_client_was_greeted_for() -> None:
    before = handshake.read(wire.greeting()[4:]).upstream
    made = connecting(upstream=before)
    made.upstream(wire.greeting(version="8.0.0", capabilities=wire.MYSQL & ~wire.DEPRECATE_EOF))
    assert "not the one any more" in refusal(made)
    assert b"Connect again" in made.sent()[0]
    assert any(isinstance(action, Recognised) for action in made.actions)


def test_another_plugin() -> None:
    made = connecting().upstream(wire.greeting(plugin="sha256_password"))
    made.sent()
    made.upstream(wire.packet(2, b"\xfemysql_native_password\0" + b"n" * 20 + b"\0"))
    assert wire.split(made.sent()[1]) == [(3, wire.native_proof(PASSWORD, b"n" * 20))]
    assert finish(made, 4).serving


def test_ed25519() -> None:
    # A signature that MariaDB's own client makes of this password and challenge; the real server is asked elsewhere.
    made = connecting().upstream(wire.greeting(plugin="mysql_native_password"))
    made.sent()
    made.upstream(wire.packet(2, b"\xfeclient_ed25519\0" + b"n" * 32))
    ((number, signature),) = wire.split(made.sent()[1])
    assert (number, len(signature)) == (3, 64)


def test_the_whole_password_inside_tls() -> None:
    made = connecting(upstream_tls=TlsPolicy.OPTIONAL).upstream(wire.greeting(capabilities=OFFERED))
    sent = wire.split(made.sent()[1])
    assert [(number, len(payload)) for number, payload in sent[:1]] == [(1, 32)]
    assert StartTls(UPSTREAM) in made.actions
    made.upstream(wire.packet(3, b"\x01\x04"))
    assert made.sent()[1] == wire.packet(4, PASSWORD.encode() + b"\0")
    assert finish(made, 5).serving


def test_the_password_is_encrypted_without_tls() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    made = connecting().upstream(wire.greeting()).upstream(wire.packet(2, b"\x01\x04"))
    assert wire.split(made.sent()[1])[-1] == (3, b"\x02")
    made.upstream(wire.packet(4, b"\x01" + pem))
    ((_, encrypted),) = wire.split(made.sent()[1])
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
    covered = key.decrypt(encrypted, oaep)
    assert wire.xor(covered, wire.NONCE[: len(covered)]) == PASSWORD.encode() + b"\0"
    assert finish(made, 6).serving


@pytest.mark.parametrize("key", [b"", b"nonsense", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_key_that_is_none(key: bytes) -> None:
    made = connecting().upstream(wire.greeting()).upstream(wire.packet(2, b"\x01\x04"))
    assert refusal(made.upstream(wire.packet(4, b"\x01" + key)))


def test_a_clear_password_goes_inside_tls_alone() -> None:
    switch = wire.packet(2, b"\xfemysql_clear_password\0")
    made = connecting().upstream(wire.greeting())
    made.sent()
    assert "kind of authentication" in refusal(made.upstream(switch))
    assert PASSWORD.encode() not in made.sent()[1]
    made = connecting(upstream_tls=TlsPolicy.REQUIRED).upstream(wire.greeting(capabilities=OFFERED))
    made.sent()
    made.upstream(wire.packet(3, b"\xfemysql_clear_password\0"))
    assert made.sent()[1] == wire.packet(4, PASSWORD.encode() + b"\0")


def test_tls_that_is_demanded_and_not_offered() -> None:
    made = connecting(upstream_tls=TlsPolicy.REQUIRED)
    assert "no TLS" in refusal(made.upstream(wire.greeting(capabilities=OFFERED & ~wire.SSL)))
    assert not made.sent()[1]


def test_unencrypted_bytes_behind_the_greeting() -> None:
    made = connecting(upstream_tls=TlsPolicy.OPTIONAL)
    assert refusal(made.upstream(wire.greeting(capabilities=OFFERED) + wire.packet(1, b"x")))


def test_what_the_database_says_of_a_refusal_is_not_shown() -> None:
    made = connecting().upstream(wire.greeting())
    made.sent()
    made.upstream(wire.packet(2, wire.err(1045, "Access denied for user 'service'@'gate'", "28000")))
    assert "error 1045" in refusal(made)
    assert b"service" not in made.sent()[0]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"mode": "ANSI_QUOTES"}, "sql_mode"),
        ({"mode": "STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES"}, "sql_mode"),
        ({"mode": "A_MODE_OF_NEXT_YEAR"}, "sql_mode"),
        ({"client": "gbk"}, "character_set_client"),
        ({"results": "latin1"}, "character_set_results"),
        ({"results": None}, "character_set_results"),
    ],
)
def test_settings_under_which_nothing_can_be_judged(settings: dict[str, Any], name: str) -> None:
    made = connecting().upstream(wire.greeting()).upstream(wire.packet(2, wire.ok()))
    assert name in refusal(made.upstream(wire.settings(**settings)))


def test_a_read_only_session() -> None:
    made = player(restriction=Restriction(read_only=True))
    made.client(wire.ssl_request()).client(wire.login(number=2)).client(wire.packet(4, b"secret\0"))
    made.upstream(wire.greeting()).upstream(wire.packet(2, wire.ok())).upstream(wire.settings())
    assert made.sent()[1].endswith(b"SET SESSION TRANSACTION READ ONLY")
    assert not made.serving
    made.upstream(wire.packet(1, wire.ok()))
    assert made.serving
    made.sent()
    for text in (
        "DELETE FROM cards",
        "SET SESSION TRANSACTION READ WRITE",
        "SET transaction_read_only = 0",
        "CALL p()",
    ):
        made.client(wire.query(text))
        client, upstream = made.sent()
        assert not upstream, text
        assert b"may only read" in client
    made.client(wire.query("SELECT 1"))
    assert made.sent()[1] == wire.query("SELECT 1")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        wire.packet(1, wire.greeting()[4:]),
        wire.packet(0, b""),
        wire.packet(0, b"\x0a8.4"),
        wire.greeting(version=""),
        wire.greeting(version="8" * 200),
        wire.greeting(version="8.4\n"),
        wire.packet(0, b"\x09" + wire.greeting()[5:]),
        wire.packet(0, wire.err(1040, "Too many connections")),
        wire.greeting(capabilities=0x200),
        wire.greeting() + wire.packet(2, b"\x07"),
        wire.greeting() + wire.packet(2, b"\x01\x09"),
        wire.greeting() + wire.packet(2, b"\xfemysql_native_password\0short"),
        wire.greeting() + wire.packet(2, wire.ok()) + wire.packet(1, wire.err()),
        wire.greeting() + wire.packet(2, wire.ok()) + wire.settings() + wire.packet(1, wire.ok()),
    ],
)
def test_a_database_that_breaks_the_protocol(data: bytes) -> None:
    assert refusal(connecting().upstream(data))


def test_splitting_changes_nothing() -> None:
    steps = [from_upstream(wire.greeting()), from_upstream(wire.packet(2, wire.ok())), from_upstream(wire.settings())]
    for how, made in every_split(connecting, steps):
        assert made.serving, how


def test_a_greeting_that_comes_before_the_credentials() -> None:
    made = player()
    session = made.session
    session.receive(UPSTREAM, wire.greeting())
    made.client(wire.ssl_request()).client(wire.login(number=2)).client(wire.packet(4, b"secret\0"))
    assert finish(made).serving


def test_a_cancel_is_a_kill_on_a_second_connection() -> None:
    made = finish(connecting().upstream(wire.greeting(number=4711)))
    request = made.session.cancel_upstream()
    assert request is not None
    request.connected(UpstreamCredentials(user="", password=Secret("")), Restriction())
    request.receive(UPSTREAM, wire.greeting(number=4712))
    request.receive(UPSTREAM, wire.packet(2, wire.ok()))
    definitions, rows = wire.SETTINGS
    actions = request.receive(UPSTREAM, wire.packets(1, b"\x04", *definitions, wire.eof(), *rows, wire.eof()))
    assert [action.data for action in actions if hasattr(action, "data")] == [wire.query("KILL QUERY 4711")]
    (close,) = request.receive(UPSTREAM, wire.packet(1, wire.ok()))
    assert close.reason.code is EndCode.CANCEL_REQUEST  # type: ignore[union-attr]
