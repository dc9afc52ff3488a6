"""What a client says before it is asked who it is."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.protocols.postgres.handshake import STARTUP, error, make_player, questions, same_however_cut, split, startup
from tests.wire import GSSENC_REQUEST, SSL_REQUEST

from gatepost.adapter import CLIENT, Cancel, Limits, SendClient, StartTls, TlsInfo, TlsPolicy
from gatepost.errors import ClientFault, FaultCode
from gatepost.testing import Player, from_client
from gatepost.values import CredentialKind, EndCode
from gatepost_postgres.messages import PROTOCOL_3_0, PROTOCOL_3_2
from gatepost_postgres.startup_message import StartupRequest, parse_startup

OVER_TLS = {"tls": TlsInfo(version="TLSv1.3", cipher="any")}
OVER_DIRECT_TLS = {"tls": TlsInfo(version="TLSv1.3", cipher="any", alpn="postgresql")}
ASKED = b"R"


def tls_asked(player: Player) -> list[StartTls]:
    return [action for action in player.actions if isinstance(action, StartTls)]


def parsed(version: int = PROTOCOL_3_0, /, **parameters: str) -> StartupRequest:
    return parse_startup(version, startup(version, **parameters)[8:])


# Encryption.


def test_plaintext_is_served_where_it_is_allowed():
    player = same_however_cut(make_player, [from_client(STARTUP)])
    assert player.to_client[:1] == ASKED


def test_tls_is_declined_where_it_is_off():
    player = same_however_cut(make_player, [from_client(SSL_REQUEST), from_client(STARTUP)])
    assert player.to_client[:2] == b"N" + ASKED


def test_tls_is_started_where_it_is_asked_for():
    player = make_player(client_tls=TlsPolicy.OPTIONAL, player=OVER_TLS)
    player.client(SSL_REQUEST)
    assert player.actions == [SendClient(b"S"), StartTls(CLIENT)]
    player.client(STARTUP)
    assert player.to_client[:2] == b"S" + ASKED


@pytest.mark.parametrize("behind", [STARTUP, b"\0", b"\x16\x03\x01"])
def test_plaintext_smuggled_behind_a_request_for_tls_is_refused(behind):
    player = make_player(client_tls=TlsPolicy.OPTIONAL, player=OVER_TLS).client(SSL_REQUEST + behind)
    assert error(bytes(player.to_client))["C"] == "08P01"
    assert not tls_asked(player)
    assert player.closed.code is EndCode.CLIENT_FAULT


def test_plaintext_is_refused_where_tls_is_required():
    player = same_however_cut(lambda: make_player(client_tls=TlsPolicy.REQUIRED), [from_client(STARTUP)])
    fields = error(bytes(player.to_client))
    assert fields["C"] == "28000"
    assert "sslmode=require" in fields["H"]
    assert not questions(player)


def test_direct_tls_hands_on_the_hello():
    hello = b"\x16\x03\x01\x02\x00\x01"
    player = make_player(client_tls=TlsPolicy.REQUIRED, player=OVER_DIRECT_TLS).client(hello)
    assert tls_asked(player) == [StartTls(CLIENT, early=hello)]
    assert player.client(STARTUP).to_client[:1] == ASKED


@pytest.mark.parametrize("alpn", ["", "http/1.1"])
def test_direct_tls_without_the_application_protocol_is_refused(alpn):
    tls = TlsInfo(version="TLSv1.3", cipher="any", alpn=alpn)
    player = make_player(client_tls=TlsPolicy.OPTIONAL, player={"tls": tls}).client(b"\x16\x03")
    assert not player.to_client
    assert "ALPN" in player.closed.text


def test_direct_tls_where_it_is_off_gets_no_plaintext_in_return():
    player = make_player().client(b"\x16\x03\x01")
    assert not player.to_client
    assert player.closed.code is EndCode.CLIENT_FAULT


def test_a_fault_while_tls_is_being_established_is_not_told_in_plaintext():
    session = make_player(client_tls=TlsPolicy.OPTIONAL).session
    session.receive(CLIENT, SSL_REQUEST)
    actions = session.fault(ClientFault("too slow", code=FaultCode.TIMEOUT), EndCode.TIMEOUT)
    assert not [action for action in actions if isinstance(action, SendClient)]


def test_gss_encryption_is_declined_and_tls_may_follow():
    steps = [from_client(GSSENC_REQUEST), from_client(SSL_REQUEST), from_client(STARTUP)]
    assert same_however_cut(make_player, steps).to_client[:3] == b"NN" + ASKED


@pytest.mark.parametrize(
    "requests",
    [
        (SSL_REQUEST, SSL_REQUEST),
        (GSSENC_REQUEST, GSSENC_REQUEST),
        (SSL_REQUEST, GSSENC_REQUEST, SSL_REQUEST),
        (GSSENC_REQUEST, SSL_REQUEST, GSSENC_REQUEST),
    ],
)
def test_a_request_is_not_made_twice(requests):
    player = same_however_cut(make_player, [from_client(request) for request in requests])
    assert bytes(player.to_client).startswith(b"N" * (len(requests) - 1) + b"E")
    assert player.closed.code is EndCode.CLIENT_FAULT


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST])
def test_no_encryption_inside_encryption(request_):
    player = make_player(client_tls=TlsPolicy.OPTIONAL, player=OVER_TLS).client(SSL_REQUEST).client(request_)
    assert error(bytes(player.to_client[1:]))["C"] == "08P01"


# Cancellation.


@pytest.mark.parametrize("policy", TlsPolicy)
@pytest.mark.parametrize("key", [b"1234", bytes(range(32)), bytes(256)], ids=len)
def test_a_cancel_request_is_passed_on_and_never_answered(policy, key):
    request = struct.pack("!IIi", 12 + len(key), 80877102, 4711) + key
    player = same_however_cut(lambda: make_player(client_tls=policy), [from_client(request)])
    assert player.cancelled == [Cancel(4711, key)]
    assert player.closed.code is EndCode.CANCEL_REQUEST
    assert not player.to_client


@pytest.mark.parametrize("key", [b"", b"123", bytes(257)], ids=len)
def test_a_cancel_key_has_4_to_256_bytes(key):
    player = make_player().client(struct.pack("!IIi", 12 + len(key), 80877102, 4711) + key)
    assert not player.cancelled
    assert player.closed.code is EndCode.CLIENT_FAULT


# What is no startup.


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: db\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x03\x00\x00\x2c\x27\xe0",
        b"\xff" * 64,
        b"Q\0\0\0\x0dselect 1\0",
    ],
)
def test_what_is_no_postgres_client_gets_no_answer(data):
    player = same_however_cut(make_player, [from_client(data)])
    assert not player.to_client
    assert player.closed.code is EndCode.CLIENT_FAULT


@pytest.mark.parametrize(
    ("data", "sqlstate"),
    [
        (struct.pack("!I", 0), "08P01"),
        (struct.pack("!I", 7), "08P01"),
        (struct.pack("!I", 16 * 1024 + 1), "54000"),
        (struct.pack("!I", 0xFFFFFF), "54000"),
        (struct.pack("!II", 8, 2 << 16), "0A000"),
        (struct.pack("!II", 8, 4 << 16), "0A000"),
        (struct.pack("!II", 8, 1234 << 16 | 5), "0A000"),
        (struct.pack("!II", 9, 80877103) + b"x", "08P01"),
        (startup(database="shop"), "28000"),
        (startup(user=""), "28000"),
        (struct.pack("!II", 8, PROTOCOL_3_0), "08P01"),
        (STARTUP[:3] + b"\x20" + STARTUP[4:], "08P01"),
        (b"\0\0\0\x10" + STARTUP[4:], "08P01"),
    ],
)
def test_malformed_startups_are_refused_in_the_protocols_own_form(data, sqlstate):
    player = same_however_cut(make_player, [from_client(data)])
    assert error(bytes(player.to_client))["C"] == sqlstate
    assert player.closed.code is EndCode.CLIENT_FAULT


def test_a_startup_is_as_long_as_the_limit_says():
    limits = Limits(startup_bytes=len(STARTUP))
    assert make_player(limits=limits).client(STARTUP).closed is None
    refused = make_player(limits=limits).client(struct.pack("!I", len(STARTUP) + 1))
    assert error(bytes(refused.to_client))["C"] == "54000"


def test_a_half_startup_is_waited_for_until_the_client_leaves():
    player = make_player().client(STARTUP[:-1])
    assert not player.actions
    assert player.eof(CLIENT).closed.code is EndCode.CLIENT_LEFT


@given(st.binary(max_size=64))
@example(SSL_REQUEST + STARTUP)
@example(STARTUP[:-1] + b"\0\0")
def test_no_bytes_are_beyond_a_startup(data):
    """Whatever comes: the session waits, asks who it is, passes a cancel on, or closes; it raises nothing else."""
    player = make_player().client(data)
    if player.closed and player.to_client:
        code = {b"N": 1}.get(bytes(player.to_client[:1]), 0)
        assert error(bytes(player.to_client[code:]))["S"] == "FATAL"


# Versions.


@pytest.mark.parametrize(
    ("asked", "options", "agreed", "unknown"),
    [
        (3 << 16 | 1, {}, PROTOCOL_3_0, []),
        (3 << 16 | 3, {}, PROTOCOL_3_2, []),
        (3 << 16 | 9999, {"_pq_.grease": ""}, PROTOCOL_3_2, [b"_pq_.grease"]),
        (PROTOCOL_3_0, {"_pq_.a": "1", "_pq_.b": "2"}, PROTOCOL_3_0, [b"_pq_.a", b"_pq_.b"]),
        (PROTOCOL_3_2, {"_pq_.a": "1"}, PROTOCOL_3_2, [b"_pq_.a"]),
    ],
)
def test_a_version_or_option_that_we_do_not_know_is_negotiated(asked, options, agreed, unknown):
    player = make_player().client(startup(asked, user="agent", **options))
    (kind, body), (then, _) = split(bytes(player.to_client))
    assert (kind, then) == ("v", "R")
    assert body == struct.pack("!II", agreed, len(unknown)) + b"".join(name + b"\0" for name in unknown)


@pytest.mark.parametrize("version", [PROTOCOL_3_0, PROTOCOL_3_2])
def test_a_version_that_we_speak_needs_no_negotiation(version):
    player = make_player().client(startup(version, user="agent"))
    assert [kind for kind, _ in split(bytes(player.to_client))] == ["R"]


# The startup message.


def test_plugins_are_told_what_the_client_claims():
    player = make_player(
        client_tls=TlsPolicy.OPTIONAL, player=OVER_TLS, offers=frozenset({CredentialKind.PASSWORD})
    ).client(SSL_REQUEST)
    player.client(startup(user="agent", database="shop", application_name="report")).client(b"p\0\0\0\x06x\0")
    (question,) = questions(player)
    assert (question.credentials.user, question.database, question.application) == ("agent", "shop", "report")


def test_the_database_is_named_as_the_user_unless_it_is_said():
    assert parsed(user="agent").database == "agent"
    assert parsed(user="agent", database="").database == "agent"


@pytest.mark.parametrize("value", ["UTF8", "utf8", "UTF-8", "utf_8", "'utf-8'", '"UTF8"', "unicode"])
def test_utf8_by_any_of_its_names(value):
    assert parsed(user="agent", client_encoding=value).settings == {"client_encoding": "UTF8"}


@pytest.mark.parametrize("value", ["", "LATIN1", "SJIS", "SQL_ASCII", "utf16", "utf-8,SJIS"])
def test_other_encodings_are_refused(value):
    with pytest.raises(ClientFault, match="client_encoding must be UTF8") as caught:
        parsed(user="agent", client_encoding=value)
    assert caught.value.code is FaultCode.UNSUPPORTED
    assert "PGCLIENTENCODING" in caught.value.hint


def test_settings_are_known_by_any_case_and_passed_on_by_their_own():
    assert parsed(user="agent", datestyle="ISO", TIMEZONE="UTC").settings == {"DateStyle": "ISO", "TimeZone": "UTC"}


@pytest.mark.parametrize(
    "name", ["role", "session_authorization", "search_path", "replication", "Search_Path", "sql_mode", "USER"]
)
def test_settings_that_could_change_who_or_what_are_refused_by_name(name):
    with pytest.raises(ClientFault, match=f'"{name}"') as caught:
        parsed(user="agent", **{name: "x"})
    assert caught.value.code is FaultCode.UNSUPPORTED
    assert "statement_timeout" in caught.value.hint


def test_a_refused_name_that_could_be_data_is_not_quoted():
    with pytest.raises(ClientFault) as caught:
        parsed(user="agent", **{"my.4111111111111111": "x"})
    assert "4111" not in caught.value.message


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("", {}),
        ("  ", {}),
        ("-c statement_timeout=5s", {"statement_timeout": "5s"}),
        ("-cstatement_timeout=5s", {"statement_timeout": "5s"}),
        ("--statement-timeout=5s", {"statement_timeout": "5s"}),
        (" -c  lock_timeout=1\t--datestyle=ISO,\\ MDY ", {"lock_timeout": "1", "DateStyle": "ISO, MDY"}),
        ("-c application_name=a\\\\b\\ c", {"application_name": "a\\b c"}),
        ("--application_name=a=b", {"application_name": "a=b"}),
        ("-c application_name=", {"application_name": ""}),
    ],
)
def test_options_bring_settings(options, settings):
    assert parsed(user="agent", options=options).settings == settings


@pytest.mark.parametrize(
    "options",
    [
        "-c role=admin -c search_path=evil",
        "-c search_path=evil",
        "--role=admin",
        "-c client_encoding=SJIS",
        "-c",
        "-c -c",
        "-c statement_timeout",
        "--",
        "-c =5",
        "-d 5",
        "-E",
        "-ec statement_timeout=5",
        "statement_timeout=5",
        "-c statement_timeout=5\\",
        "-c statement_timeout=1 -c statement_timeout=2",
        "-c\\ role=admin",
        "-c statement_timeout=1 -c ro\\le=admin",
    ],
)
def test_options_that_are_refused(options):
    with pytest.raises(ClientFault):
        parsed(user="agent", options=options)


def test_a_parameter_is_given_once():
    twice = b"user\0agent\0user\0root\0\0"
    with pytest.raises(ClientFault, match="twice"):
        parse_startup(PROTOCOL_3_0, twice)
    with pytest.raises(ClientFault, match="twice"):
        parsed(user="agent", datestyle="ISO", DateStyle="German")
    with pytest.raises(ClientFault, match="twice"):
        parsed(user="agent", options="-c datestyle=ISO", DateStyle="German")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0",
        b"user\0agent\0",
        b"user\0agent",
        b"user\0agent\0\0\0",
        b"user\0agent\0\0trailing",
        b"user\0agent\0database\0\0",
        b"\0value\0user\0agent\0\0",
        b"user\0\xff\0\0",
    ],
)
def test_lists_of_parameters_that_are_malformed(body):
    with pytest.raises(ClientFault):
        parse_startup(PROTOCOL_3_0, body)


@given(st.binary(max_size=200))
def test_any_body_is_parsed_or_refused(body):
    try:
        request = parse_startup(PROTOCOL_3_0, body)
    except ClientFault:
        return
    assert request.user
    assert request.database


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(user=names, database=names, application=names)
def test_names_are_taken_as_they_are(user, database, application):
    request = parsed(user=user, database=database, application_name=application)
    assert (request.user, request.database) == (user, database)
    assert request.settings == {"application_name": application}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_an_escaped_option_says_what_was_meant(value):
    escaped = "".join(f"\\{char}" for char in value)
    assert parsed(user="agent", options=f"-c application_name={escaped}").settings == {"application_name": value}
