"""gatepost's own login to the database."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres.handshake import (
    AGENT,
    AUTH_OK,
    STARTUP,
    ScramClient,
    ScramServer,
    asked_of_database,
    auth_request,
    certificate,
    client_final,
    database_ready,
    error,
    make_player,
    prove,
    same_however_cut,
    split,
    status,
)
from tests.wire import SSL_REQUEST, message

from gatepost.adapter import UPSTREAM, StartTls, TlsInfo, TlsPolicy
from gatepost.errors import UpstreamFault
from gatepost.testing import Player, RecordingHooks, from_client, from_upstream
from gatepost.values import CredentialKind, EndCode, Notice, Secret, UpstreamCredentials

PASSWORD = "upstream-password"
CREDENTIALS = UpstreamCredentials(user="service", password=Secret(PASSWORD))
THEIR_CERTIFICATE = certificate(hashes.SHA256())
TLS = TlsInfo(version="TLSv1.3", cipher="any", peer_certificate=THEIR_CERTIFICATE, alpn="postgresql")
CERTIFICATES = {"offers": frozenset({CredentialKind.CERTIFICATE}), "client_tls": TlsPolicy.REQUIRED}
SASL = b"SCRAM-SHA-256\0\0"
SASL_PLUS = b"SCRAM-SHA-256-PLUS\0" + SASL


def begin(credentials: UpstreamCredentials = CREDENTIALS, tls: TlsInfo = TLS, **environment: Any) -> Player:
    """A session whose client is proven; the database has not said anything."""
    return make_player(player={"credentials": credentials, "tls": tls}, **environment)


def begin_in_tls(credentials: UpstreamCredentials = CREDENTIALS, tls: TlsInfo = TLS) -> Player:
    return prove(begin(credentials, tls, upstream_tls=TlsPolicy.REQUIRED)).upstream(b"S")


def parameters(packet: bytes) -> dict[str, str]:
    """The parameters of a StartupMessage."""
    length, version = struct.unpack_from("!II", packet)
    assert (length, version) == (len(packet), 3 << 16)
    texts = packet[8:].decode().split("\0")
    assert texts[-2:] == ["", ""]
    return dict(zip(texts[:-2:2], texts[1:-2:2], strict=True))


def refused(player: Player) -> dict[str, str]:
    """What the client is told when the login has failed; never whose login it was."""
    assert player.closed is not None
    assert player.closed.code is EndCode.UPSTREAM_FAULT
    fields = error(bytes(player.to_client))
    assert fields["S"] == "FATAL"
    assert "service" not in str(fields)
    return fields


# As whom, and with which settings.


def test_the_login_is_gatepost_s_and_the_settings_are_the_clients():
    player = prove(begin(), database="shop", application_name="report", options="-c statement_timeout=5s")
    assert parameters(bytes(player.to_upstream)) == {
        "user": "service",
        "database": "shop",
        "application_name": "report",
        "statement_timeout": "5s",
        "client_encoding": "UTF8",
        "standard_conforming_strings": "on",
    }


def test_the_credentials_may_name_the_database():
    player = prove(begin(UpstreamCredentials(user="service", database="ledger")), database="shop")
    assert parameters(bytes(player.to_upstream))["database"] == "ledger"


@pytest.mark.parametrize(
    "credentials",
    [
        UpstreamCredentials(user="ser\0vice"),
        UpstreamCredentials(user="service", database="shop\0"),
        UpstreamCredentials(user="service", password=Secret("pass\0word")),
    ],
)
def test_credentials_that_the_protocol_cannot_carry_are_the_plugins_fault(credentials):
    player = prove(begin(credentials))
    assert player.closed.code is EndCode.PLUGIN_FAULT
    assert not player.to_upstream


# TLS.


def test_required_tls_is_asked_for_and_the_login_is_inside():
    player = prove(begin(upstream_tls=TlsPolicy.REQUIRED))
    assert player.to_upstream == SSL_REQUEST
    startup_packet = asked_of_database(player, b"S")
    assert StartTls(UPSTREAM) in player.actions
    assert parameters(startup_packet)["user"] == "service"


def test_required_tls_that_is_declined_ends_the_session():
    player = prove(begin(upstream_tls=TlsPolicy.REQUIRED)).upstream(b"N")
    assert refused(player)["C"] == "08006"
    assert player.to_upstream == SSL_REQUEST


def test_optional_tls_that_is_declined_goes_on_without():
    player = prove(begin(upstream_tls=TlsPolicy.OPTIONAL))
    assert parameters(asked_of_database(player, b"N"))["user"] == "service"


@pytest.mark.parametrize("answer", [b"E", b"H", b"\0", b"R\0\0\0\x08\0\0\0\0", b"S" + AUTH_OK, b"SE"])
@pytest.mark.parametrize("policy", [TlsPolicy.OPTIONAL, TlsPolicy.REQUIRED])
def test_answers_to_the_request_for_tls_that_are_refused(policy, answer):
    player = prove(begin(upstream_tls=policy)).upstream(answer)
    refused(player)
    assert player.to_upstream == SSL_REQUEST


def test_direct_tls_begins_without_asking():
    player = prove(begin(upstream_tls=TlsPolicy.REQUIRED, upstream_direct_tls=True))
    assert parameters(bytes(player.to_upstream))["user"] == "service"
    assert StartTls(UPSTREAM) in player.actions


def test_direct_tls_needs_the_application_protocol():
    tls = TlsInfo(version="TLSv1.3", cipher="any")
    player = prove(begin(tls=tls, upstream_tls=TlsPolicy.REQUIRED, upstream_direct_tls=True))
    refused(player)
    assert not player.to_upstream


# Authentication.


def test_a_database_that_trusts_is_taken_at_its_word():
    steps = [
        from_client(STARTUP),
        from_client(ScramClient().initial()),
        from_client(client_final()),
        from_upstream(AUTH_OK + database_ready()),
    ]
    assert same_however_cut(begin, steps).serving


@pytest.mark.parametrize("plus", [True, False])
def test_scram_with_a_database(plus):
    player = begin_in_tls()
    server = ScramServer(PASSWORD, binding=tls_binding() if plus else b"")
    initial = asked_of_database(player, auth_request(10, SASL_PLUS if plus else SASL))
    mechanism, rest = split(initial)[0][1].split(b"\0", 1)
    assert mechanism == (b"SCRAM-SHA-256-PLUS" if plus else b"SCRAM-SHA-256")
    first = rest[4:]
    assert first.startswith(b"p=tls-server-end-point,," if plus else b"y,,")
    final = asked_of_database(player, auth_request(11, server.challenge(first)))
    verdict = server.verdict(split(final)[0][1])
    assert player.upstream(auth_request(12, verdict) + AUTH_OK + database_ready()).serving


def tls_binding() -> bytes:
    return hashlib.sha256(THEIR_CERTIFICATE).digest()


def test_scram_without_tls_says_that_it_cannot_bind():
    player = prove(begin())
    initial = asked_of_database(player, auth_request(10, SASL_PLUS))
    assert split(initial)[0][1].split(b"\0", 1)[1][4:].startswith(b"n,,")


def test_a_database_that_skips_its_proof_is_not_believed():
    player = prove(begin())
    server = ScramServer(PASSWORD)
    initial = asked_of_database(player, auth_request(10, SASL))
    player.upstream(auth_request(11, server.challenge(split(initial)[0][1].split(b"\0", 1)[1][4:])))
    refused(player.upstream(AUTH_OK + database_ready()))


def test_a_database_that_proves_nothing_is_not_believed():
    player = prove(begin())
    server = ScramServer(PASSWORD)
    initial = asked_of_database(player, auth_request(10, SASL))
    player.upstream(auth_request(11, server.challenge(split(initial)[0][1].split(b"\0", 1)[1][4:])))
    refused(player.upstream(auth_request(12, b"v=" + b"A" * 44)))


def test_md5():
    player = prove(begin())
    answer = asked_of_database(player, auth_request(5, b"salt"))
    inner = hashlib.md5(f"{PASSWORD}service".encode()).hexdigest().encode()
    assert answer == message("p", b"md5" + hashlib.md5(inner + b"salt").hexdigest().encode() + b"\0")
    assert player.upstream(AUTH_OK + database_ready()).serving


def test_a_password_is_shown_inside_tls():
    player = begin_in_tls()
    assert asked_of_database(player, auth_request(3)) == message("p", PASSWORD.encode() + b"\0")
    assert player.upstream(AUTH_OK + database_ready()).serving


def test_a_password_is_not_shown_outside_tls():
    player = prove(begin())
    assert not asked_of_database(player, auth_request(3))
    assert "TLS" in refused(player)["H"]


@pytest.mark.parametrize("request_", [auth_request(3), auth_request(5, b"salt"), auth_request(10, SASL)])
def test_a_password_that_is_not_configured_is_named_as_the_cause(request_):
    player = begin_in_tls(UpstreamCredentials(user="service")).upstream(request_)
    assert "none is configured" in refused(player)["M"]


@pytest.mark.parametrize(
    "answer",
    [
        auth_request(2),
        auth_request(7),
        auth_request(9),
        auth_request(10, b"SCRAM-SHA-1\0\0"),
        auth_request(10, b"OAUTHBEARER\0\0"),
        auth_request(10, b"SCRAM-SHA-256"),
        auth_request(10, b""),
        auth_request(11, b"r=x"),
        auth_request(12, b"v=x"),
        auth_request(5, b"sal"),
        message("R", b"\0\0"),
        message("v", struct.pack("!II", 3 << 16, 0)),
        message("Z", b"I"),
        message("K", bytes(8)),
        message("S", b"client_encoding\0UTF8\0"),
        message("T", b"\0\0"),
        b"R\0\0\0\x03",
        b"R\x7f\xff\xff\xff",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        AUTH_OK + message("S", b"name\0"),
        AUTH_OK + message("S", b"name\0value"),
        AUTH_OK + message("S", b"name\0value\0more\0"),
        AUTH_OK + message("K", bytes(7)),
        AUTH_OK + message("K", bytes(36)),
        AUTH_OK + message("Z", b"T"),
        AUTH_OK + AUTH_OK,
        AUTH_OK + message("D", b"\0\0"),
    ],
)
def test_answers_of_a_database_that_break_the_protocol(answer):
    player = prove(begin()).upstream(answer)
    assert refused(player)["C"] == "08006"
    assert not player.serving


def test_a_database_that_speaks_before_tls_is_not_believed():
    session = prove(begin(upstream_tls=TlsPolicy.REQUIRED)).session
    session.receive(UPSTREAM, b"S")
    with pytest.raises(UpstreamFault):
        session.receive(UPSTREAM, AUTH_OK)


@given(st.binary(max_size=100), st.sampled_from([b"", AUTH_OK, auth_request(10, SASL), AUTH_OK + database_ready()]))
def test_whatever_a_database_says_the_session_waits_serves_or_closes(data, before):
    player = make_player(answer=lambda question: AGENT, player={"tls": TLS}, **CERTIFICATES).client(SSL_REQUEST)
    player.client(STARTUP).upstream(before).upstream(data)
    if player.closed:
        assert error(bytes(player.to_client[1:]))["S"] == "FATAL"


# Errors.


@pytest.mark.parametrize(
    ("sqlstate", "hint"),
    [
        ("28P01", "operator"),
        ("28000", "operator"),
        ("3D000", "No database has the name"),
        ("53300", "try again"),
        ("57P03", "try again"),
        ("XX000", "operator"),
    ],
)
def test_an_error_of_the_database_is_not_shown_but_its_code_is(sqlstate, hint):
    body = f'SFATAL\0VFATAL\0C{sqlstate}\0Mrole "service" failed C99999\0\0'.encode()
    fields = refused(prove(begin()).upstream(message("E", body)))
    assert fields["C"] == "08006"
    assert f"SQLSTATE {sqlstate}" in fields["M"]
    assert hint in fields["H"]


@pytest.mark.parametrize("body", [b"", b"\0", b"Mnothing else\0\0", b"C28p01\0\0", b"C28P0\0\0"])
def test_an_error_without_a_code_is_told_without(body):
    assert "SQLSTATE" not in refused(prove(begin()).upstream(message("E", body)))["M"]


def test_a_setting_that_the_database_refuses_is_the_clients_to_mend():
    body = b'SFATAL\0C22023\0Minvalid value for parameter "TimeZone": "Mars"\0\0'
    player = prove(begin(), TimeZone="Mars").upstream(AUTH_OK + message("E", body))
    assert player.closed.code is EndCode.CLIENT_FAULT
    fields = error(bytes(player.to_client))
    assert fields["C"] == "0A000"
    assert "TimeZone" in fields["H"]
    assert "Mars" not in str(fields)


# What the database says of itself.


def test_the_clients_name_stands_where_the_databases_user_would():
    extra = (status("session_authorization", "service"), status("is_superuser", "off"), status("in_hot_standby", "off"))
    player = prove(begin()).upstream(AUTH_OK + database_ready(*extra))
    assert player.serving
    for expected in (status("session_authorization", "agent"), *extra[1:]):
        assert expected in player.to_client
    assert b"service" not in player.to_client


@pytest.mark.parametrize(
    ("name", "value"),
    [("client_encoding", "SJIS"), ("client_encoding", "utf8"), ("standard_conforming_strings", "off")],
)
def test_a_database_that_would_read_statements_otherwise_is_refused(name, value):
    assert name in refused(prove(begin()).upstream(AUTH_OK + status(name, value)))["M"]


def test_texts_at_login_pass_the_plugins():
    def mask(notice: Notice) -> None:
        for name, text in notice.fields.items():
            notice.fields[name] = text.replace("4111111111111111", "************1111")

    hooks = RecordingHooks(wants_rows=False, change_notice=mask)
    notice = message("N", b"SNOTICE\0C00000\0Mhello 4111111111111111\0\0")
    player = prove(begin(hooks=hooks)).upstream(
        AUTH_OK + notice + database_ready(status("application_name", "4111111111111111"))
    )
    assert player.serving
    assert b"4111111111111111" not in player.to_client
    assert message("N", b"SNOTICE\0C00000\0Mhello ************1111\0\0") in player.to_client
    assert status("application_name", "************1111") in player.to_client
    assert [kind for kind, _ in hooks.notices] == ["notice", *["parameter"] * 3]


def test_texts_at_login_pass_unchanged_where_no_plugin_looks():
    notice = message("N", b"SNOTICE\0C00000\0Mhello\0\0")
    player = prove(begin()).upstream(AUTH_OK + notice + database_ready(status("TimeZone", "UTC")))
    assert notice + status("client_encoding", "UTF8") in player.to_client
    assert status("TimeZone", "UTC") in player.to_client
