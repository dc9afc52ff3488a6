"""SCRAM against clients and servers written from the RFCs."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres.handshake import ScramClient, ScramServer, certificate, verifier

from gatepost.errors import ClientFault, UpstreamFault
from gatepost_postgres.scram import (
    BOUND,
    MAX_ITERATIONS,
    SCRAM,
    SCRAM_PLUS,
    ClientExchange,
    ServerExchange,
    parse_client_first,
    saslprep,
    server_end_point,
)

# RFC 7677, section 3: an exchange of the user "user" with the password "pencil".
CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
NONCE = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def begin(client: ScramClient, *, password: str | None = "pencil", binding: bytes = b"", user: str = "nobody"):
    first = parse_client_first(client.first, mechanism=SCRAM_PLUS if binding else SCRAM, plus_offered=bool(binding))
    known = verifier(password, salt=SALT) if password is not None else None
    return ServerExchange(first, known, nonce=NONCE, binding=binding, unknown=(b"gate secret", user))


def test_the_server_side_follows_rfc_7677():
    exchange = begin(ScramClient(user="user", nonce=CLIENT_NONCE))
    assert exchange.challenge == CHALLENGE
    assert exchange.verify(CLIENT_FINAL) == SERVER_FINAL


@given(st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1))
def test_both_sides_agree_on_any_password(password):
    client = ClientExchange(password, nonce=b"abc", flag=b"n")
    first = parse_client_first(client.first, mechanism=SCRAM, plus_offered=False)
    server = ServerExchange(
        first, verifier(password, iterations=1), nonce=NONCE, binding=b"", unknown=(b"gate secret", "nobody")
    )
    proof = server.verify(client.prove(server.challenge))
    assert proof is not None
    client.verify(proof)


@pytest.mark.parametrize("password", ["pencil ", "Pencil", "", "pencilpencil"])
def test_a_wrong_password_proves_nothing(password):
    client = ScramClient(password)
    exchange = begin(client)
    assert exchange.verify(client.final(exchange.challenge)) is None


def test_an_unknown_user_is_challenged_as_any_other_and_in_vain():
    client = ScramClient("pencil")
    exchange = begin(client, password=None)
    _, salt, iterations = exchange.challenge.split(b",")
    assert (len(base64.b64decode(salt[2:])), iterations) == (16, b"i=4096")
    assert exchange.verify(client.final(exchange.challenge)) is None
    assert begin(client, password=None).challenge == exchange.challenge
    assert begin(client, password=None, user="other").challenge != exchange.challenge


def test_channel_binding_proves_the_same_channel():
    client = ScramClient("pencil", flag=BOUND.decode(), binding=b"the server's certificate")
    exchange = begin(client, binding=b"the server's certificate")
    assert exchange.verify(client.final(exchange.challenge)) == client.signature


def test_a_binding_to_another_channel_is_refused():
    client = ScramClient("pencil", flag=BOUND.decode(), binding=b"somebody else's certificate")
    exchange = begin(client, binding=b"the server's certificate")
    with pytest.raises(ClientFault, match="channel binding"):
        exchange.verify(client.final(exchange.challenge))


@pytest.mark.parametrize(
    ("data", "mechanism", "plus_offered", "said"),
    [
        (b"", SCRAM, False, "malformed"),
        (b"n,,", SCRAM, False, "malformed"),
        (b"n,,n=user,r=", SCRAM, False, "malformed"),
        (b"n,,r=abc,n=user", SCRAM, False, "malformed"),
        (b"n,,n=user,r=a b", SCRAM, False, "malformed"),
        (b"n,,m=ext,n=user,r=abc", SCRAM, False, "malformed"),
        (b"x,,n=user,r=abc", SCRAM, False, "malformed"),
        (b"n,,n=user,r=abc\0", SCRAM, False, "malformed"),
        (b"n,,n=user,r=abc,", SCRAM, False, "malformed"),
        (b"n,a=root,n=user,r=abc", SCRAM, False, "authorization identity"),
        (b"y,,n=user,r=abc", SCRAM, True, "shown no channel binding"),
        (b"n,,n=user,r=abc", SCRAM_PLUS, True, "contradict"),
        (b"y,,n=user,r=abc", SCRAM_PLUS, True, "contradict"),
        (b"p=tls-server-end-point,,n=user,r=abc", SCRAM, True, "contradict"),
        (b"p=tls-unique,,n=user,r=abc", SCRAM_PLUS, True, "tls-server-end-point"),
    ],
)
def test_first_messages_that_are_refused(data, mechanism, plus_offered, said):
    with pytest.raises(ClientFault, match=said):
        parse_client_first(data, mechanism=mechanism, plus_offered=plus_offered)


def test_a_client_that_could_bind_may_say_so_where_binding_is_not_offered():
    assert parse_client_first(b"y,,n=,r=abc", mechanism=SCRAM, plus_offered=False).flag == b"y"


@pytest.mark.parametrize(
    "final",
    [
        b"",
        CLIENT_FINAL.replace(b",p=", b",q="),
        CLIENT_FINAL + b"x",
        CLIENT_FINAL[:-4],
        CLIENT_FINAL.replace(b"p=dHzb", b"p=d!zb"),
        CLIENT_FINAL.replace(b"c=biws", b"c="),
        CLIENT_FINAL.replace(b"c=biws", b"c=eSws"),
        CLIENT_FINAL.replace(b"r=rOpr", b"r=sOpr"),
    ],
)
def test_last_messages_that_are_refused(final):
    exchange = begin(ScramClient(user="user", nonce=CLIENT_NONCE))
    with pytest.raises(ClientFault):
        exchange.verify(final)


def test_a_proof_that_was_changed_proves_nothing():
    exchange = begin(ScramClient(user="user", nonce=CLIENT_NONCE))
    assert exchange.verify(CLIENT_FINAL.replace(b"p=dHzb", b"p=eHzb")) is None


@pytest.mark.parametrize("binding", [b"", b"certificate"])
def test_the_client_side_convinces_a_database_and_checks_it(binding):
    database = ScramServer("s3cret", binding=binding)
    client = ClientExchange("s3cret", nonce=b"abc", flag=BOUND if binding else b"n", binding=binding)
    client.verify(database.verdict(client.prove(database.challenge(client.first))))


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"e=other-error",
        b"r=abcX,s=,i=4096",
        b"r=abcX,s=!!!!,i=4096",
        b"r=abcX,s=c2FsdA==,i=0",
        b"r=abcX,s=c2FsdA==,i=-1",
        b"r=abcX,s=c2FsdA==,i=04096",
        b"r=abcX,s=c2FsdA==",
        b"r=abc,s=c2FsdA==,i=4096",
        b"r=xyzX,s=c2FsdA==,i=4096",
        b"m=must,r=abcX,s=c2FsdA==,i=4096",
        b"r=abcX,s=c2FsdA==,i=%d" % (MAX_ITERATIONS + 1),
        b"r=abcX,s=c2FsdA==,i=99999999999999999999",
    ],
)
def test_challenges_that_are_refused(challenge):
    with pytest.raises(UpstreamFault):
        ClientExchange("s3cret", nonce=b"abc", flag=b"n").prove(challenge)


@pytest.mark.parametrize("verdict", [b"", b"e=invalid-proof", b"v=", b"v=AAAA", SERVER_FINAL])
def test_a_database_that_does_not_know_the_password_is_not_believed(verdict):
    database = ScramServer("s3cret")
    client = ClientExchange("s3cret", nonce=b"abc", flag=b"n")
    database.verdict(client.prove(database.challenge(client.first)))
    with pytest.raises(UpstreamFault, match="has not proven"):
        client.verify(verdict)


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        # RFC 4013, section 3; what SASLprep refuses is taken as it is.
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", "\u0007"),
        ("\u0627\u0031", "\u0627\u0031"),
        ("pass\u00a0word", "pass word"),
        ("caf\u00e9\u0007", "caf\u00e9\u0007"),
        ("\u00ad", "\u00ad"),
    ],
)
def test_saslprep(text, prepared):
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    ("algorithm", "name"), [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512")]
)
def test_the_end_point_is_hashed_as_its_certificate_is_signed(algorithm, name):
    der = certificate(algorithm)
    assert server_end_point(der) == hashlib.new(name, der).digest()


@pytest.mark.parametrize("der", [b"", b"no certificate", certificate(None)], ids=["none", "garbage", "ed25519"])
def test_certificates_that_cannot_be_bound_to(der):
    assert server_end_point(der) is None
