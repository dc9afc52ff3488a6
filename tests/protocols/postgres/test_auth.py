"""How a client proves who it is, by each kind of credentials."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres.handshake import (
    AGENT,
    AUTH_OK,
    PASSWORD,
    STARTUP,
    Answer,
    ScramClient,
    certificate,
    error,
    make_player,
    prove,
    questions,
    same_however_cut,
    sasl_initial,
    split,
    told,
)
from tests.wire import SSL_REQUEST, TERMINATE, message

from gatepost.adapter import CLIENT, Authenticate, Connect, TlsInfo, TlsPolicy
from gatepost.errors import FaultCode, PluginFault
from gatepost.testing import Player, from_client
from gatepost.values import CredentialKind, Deny, DenyCode, EndCode
from gatepost_postgres.scram import server_end_point

SCRAM, BEARER = CredentialKind.SCRAM_SHA_256, CredentialKind.BEARER
CLEARTEXT, CERTIFICATE = CredentialKind.PASSWORD, CredentialKind.CERTIFICATE
OUR_CERTIFICATE = certificate(hashes.SHA256())
BOUND = "p=tls-server-end-point"
TOKEN = "eyJhbGciOi.J9-_~+/x=="
LOCKED = Deny(reason="the account is locked", hint="Try again in half an hour.")


def over_tls(*offers: CredentialKind, answer: Callable[[Authenticate], Answer] | None = None, peer: bytes = b""):
    """A session whose client has sent its startup message inside TLS."""
    tls = TlsInfo(version="TLSv1.3", cipher="any", own_certificate=OUR_CERTIFICATE, peer_certificate=peer)
    player = make_player(answer=answer, offers=frozenset(offers), client_tls=TlsPolicy.REQUIRED, player={"tls": tls})
    return player.client(SSL_REQUEST).client(STARTUP)


def offered(player: Player) -> list[bytes]:
    """What the first AuthenticationXXX asks for: the SASL mechanisms, or its number."""
    (_, body), *_ = split(bytes(player.to_client).removeprefix(b"S"))
    kind = struct.unpack_from("!I", body)[0]
    return body[4:].split(b"\0")[:-2] if kind == 10 else [b"%d" % kind]


def is_proven(player: Player) -> bool:
    return AUTH_OK in player.to_client and Connect(AGENT) in player.actions


def refusal(player: Player) -> tuple[str, str]:
    """SQLSTATE and message of a refused login."""
    assert not is_proven(player)
    assert player.closed is not None
    assert player.closed.code is EndCode.REFUSED
    fields = error(player.sent()[0])
    assert fields["S"] == "FATAL"
    return fields["C"], fields["M"]


def bearer(token: str = TOKEN, *, header: str = "n,,", pairs: str = "") -> bytes:
    return sasl_initial("OAUTHBEARER", f"{header}\x01auth={token}\x01{pairs}\x01".encode())


# What is offered.


@pytest.mark.parametrize(
    ("offers", "mechanisms"),
    [
        ({SCRAM}, [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"]),
        ({SCRAM, BEARER, CLEARTEXT}, [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256", b"OAUTHBEARER"]),
        ({BEARER}, [b"OAUTHBEARER"]),
        ({CLEARTEXT}, [b"3"]),
        ({CLEARTEXT, BEARER}, [b"3"]),
        ({CERTIFICATE, CLEARTEXT}, [b"3"]),
    ],
)
def test_what_is_offered_inside_tls(offers, mechanisms):
    assert offered(over_tls(*offers)) == mechanisms


def test_outside_tls_scram_alone_is_offered():
    player = make_player(offers=frozenset({SCRAM, BEARER, CLEARTEXT})).client(STARTUP)
    assert offered(player) == [b"SCRAM-SHA-256"]


@pytest.mark.parametrize("offers", [{CLEARTEXT}, {BEARER}, {CLEARTEXT, BEARER}])
def test_passwords_and_tokens_are_not_asked_for_outside_tls(offers):
    player = make_player(offers=frozenset(offers), client_tls=TlsPolicy.OPTIONAL).client(STARTUP)
    fields = error(bytes(player.to_client))
    assert (fields["C"], fields["H"]) == ("28000", "Connect with sslmode=require or stricter.")


@pytest.mark.parametrize("offers", [set(), {CredentialKind.MYSQL_NATIVE}])
def test_without_a_plugin_that_judges_anything_the_operator_is_told(offers):
    player = make_player(offers=frozenset(offers)).client(STARTUP)
    assert error(bytes(player.to_client))["C"] == "58000"
    assert "plugin" in player.closed.text


# SCRAM.


def test_scram_proves_a_client_however_its_bytes_are_cut():
    steps = [from_client(STARTUP)]
    client = ScramClient()
    player = make_player().client(STARTUP)
    challenge = told(player, client.initial())[0][1][4:]
    steps += [from_client(client.initial()), from_client(message("p", client.final(challenge)))]
    player = same_however_cut(make_player, steps)
    assert is_proven(player)
    assert [body for _, body in split(bytes(player.to_client))][-2:] == [
        struct.pack("!I", 12) + client.signature,
        struct.pack("!I", 0),
    ]
    (question,) = questions(player)
    assert (question.credentials.kind, question.credentials.user) == (SCRAM, "agent")
    assert question.credentials.secret is None


def test_the_user_is_the_one_of_the_startup_message():
    player = make_player().client(STARTUP)
    told(player, ScramClient(user="root").initial())
    assert questions(player)[0].credentials.user == "agent"


def test_a_wrong_password_and_an_unknown_user_look_the_same():
    wrong, unknown = prove(make_player(), "wrong"), prove(make_player(answer=lambda question: None))
    shapes = [[(kind, len(body)) for kind, body in split(bytes(player.to_client))] for player in (wrong, unknown)]
    assert shapes[0] == shapes[1]
    assert refusal(wrong) == refusal(unknown) == ("28P01", "authentication failed")


def test_a_deny_is_told_with_its_reason():
    player = make_player(answer=lambda question: LOCKED).client(STARTUP)
    player.sent()
    player.client(ScramClient().initial())
    assert error(player.sent()[0]) == {
        "S": "FATAL",
        "V": "FATAL",
        "C": "28000",
        "M": LOCKED.reason,
        "H": LOCKED.hint,
    }
    assert player.closed.code is EndCode.REFUSED


def test_scram_plus_binds_to_our_certificate():
    player = over_tls(SCRAM)
    client = ScramClient(flag=BOUND, binding=server_end_point(OUR_CERTIFICATE))
    challenge = told(player, client.initial("SCRAM-SHA-256-PLUS"))[0][1][4:]
    assert is_proven(player.client(message("p", client.final(challenge))))


def test_somebody_in_between_with_another_certificate_is_noticed():
    player = over_tls(SCRAM)
    client = ScramClient(flag=BOUND, binding=server_end_point(certificate(hashes.SHA256())))
    challenge = told(player, client.initial("SCRAM-SHA-256-PLUS"))[0][1][4:]
    player.client(message("p", client.final(challenge)))
    assert not is_proven(player)
    assert player.closed.code is EndCode.CLIENT_FAULT


def test_a_client_that_was_shown_no_plus_is_warned_of_a_downgrade():
    player = over_tls(SCRAM).client(ScramClient(flag="y").initial())
    assert not questions(player)
    assert player.closed.code is EndCode.CLIENT_FAULT


def test_an_initial_response_may_come_after_an_empty_challenge():
    player = make_player().client(STARTUP)
    assert told(player, message("p", b"SCRAM-SHA-256\0\xff\xff\xff\xff")) == [("R", struct.pack("!I", 11))]
    client = ScramClient()
    challenge = told(player, message("p", client.first))[0][1][4:]
    assert is_proven(player.client(message("p", client.final(challenge))))


@pytest.mark.parametrize(
    "answer",
    [
        message("p", b""),
        message("p", b"SCRAM-SHA-256"),
        message("p", b"SCRAM-SHA-256\0"),
        message("p", b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x0"),
        message("p", b"SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=x0"),
        message("p", b"SCRAM-SHA-256\0\xff\xff\xff\xffn,,n=,r=x0"),
        message("p", b"SCRAM-SHA-256\0\x80\0\0\0"),
        sasl_initial("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=x0"),
        sasl_initial("SCRAM-SHA-1", b"n,,n=,r=x0"),
        sasl_initial("OAUTHBEARER", b"n,,\x01auth=Bearer x\x01\x01"),
        message("p", b"secret\0"),
        message("Q", b"select 1\0"),
        b"p\0\0\0\x03",
        b"p\xff\xff\xff\xff",
        b"p\0\1\0\0",
    ],
)
def test_answers_that_break_the_exchange(answer):
    player = same_however_cut(make_player, [from_client(STARTUP), from_client(answer)])
    assert not questions(player)
    assert error(bytes(player.to_client))["C"] in {"08P01", "54000"}
    assert player.closed.code is EndCode.CLIENT_FAULT


@given(st.binary(max_size=100))
def test_any_first_answer_is_taken_or_refused(body):
    player = make_player().client(STARTUP).client(message("p", body))
    assert player.closed or questions(player)


def test_a_client_may_leave_in_between():
    player = make_player().client(STARTUP)
    assert player.client(TERMINATE).closed.code is EndCode.CLIENT_LEFT


def test_an_identity_for_an_unproven_password_is_the_plugins_fault():
    session = make_player(answer=lambda question: AGENT).session
    session.receive(CLIENT, STARTUP)
    session.receive(CLIENT, ScramClient().initial())
    with pytest.raises(PluginFault):
        session.authenticated(AGENT)


def test_a_plugin_that_cannot_judge_is_no_wrong_password():
    deny = Deny(reason="the directory does not answer", code=DenyCode.UNAVAILABLE)
    player = make_player(answer=lambda question: deny).client(STARTUP).client(ScramClient().initial())
    assert error(bytes(player.to_client))["C"] == "58000"


def test_a_deny_may_hold_anything():
    player = make_player(answer=lambda question: Deny(reason="a NUL\0 within")).client(STARTUP)
    player.client(ScramClient().initial())
    assert error(bytes(player.to_client))["M"] == "a NUL within"


# Certificates.


def test_a_certificate_is_asked_first_and_enough():
    player = over_tls(CERTIFICATE, SCRAM, answer=lambda question: AGENT, peer=b"der")
    (question,) = questions(player)
    assert (question.credentials.kind, question.credentials.certificate) == (CERTIFICATE, b"der")
    assert [kind for kind, _ in split(bytes(player.to_client[1:]))] == ["R"]
    assert is_proven(player)


def test_a_certificate_that_nobody_knows_leads_to_the_next_method():
    player = over_tls(CERTIFICATE, SCRAM, answer=lambda question: None, peer=b"der")
    assert offered(player) == [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"]


def test_a_certificate_that_is_denied_is_refused():
    player = over_tls(CERTIFICATE, SCRAM, answer=lambda question: LOCKED, peer=b"der")
    assert error(bytes(player.to_client[1:]))["M"] == LOCKED.reason


@pytest.mark.parametrize("peer", [b"", b"der"])
def test_a_missing_or_unknown_certificate_where_there_is_no_other_way(peer):
    player = over_tls(CERTIFICATE, answer=lambda question: None, peer=peer)
    assert "sslcert" in error(bytes(player.to_client[1:]))["H"]
    assert player.closed.code is EndCode.REFUSED


def test_a_certificate_is_not_shown_to_plugins_that_do_not_judge_it():
    assert not questions(over_tls(SCRAM, peer=b"der"))


# Bearer tokens.


@pytest.mark.parametrize(
    "initial",
    [
        bearer(f"Bearer {TOKEN}"),
        bearer(f"bearer  {TOKEN}", header="y,,"),
        bearer(f"Bearer {TOKEN}", pairs="host=db\x01port=5432\x01"),
    ],
)
def test_a_token_proves_a_client(initial):
    player = over_tls(BEARER, answer=lambda question: AGENT).client(initial)
    (question,) = questions(player)
    assert question.credentials.kind is BEARER
    assert question.credentials.secret.reveal() == TOKEN
    assert is_proven(player)


@pytest.mark.parametrize(("answer", "said"), [(None, "authentication failed"), (LOCKED, LOCKED.reason)])
def test_a_refused_token_is_told_in_json_first(answer, said):
    player = over_tls(BEARER, answer=lambda question: answer)
    assert told(player, bearer(f"Bearer {TOKEN}")) == [("R", struct.pack("!I", 11) + b'{"status":"invalid_token"}')]
    player.client(message("p", b"\x01"))
    assert refusal(player) == ("28000", said)


def test_a_client_without_a_token_is_answered_without_asking_plugins():
    player = over_tls(BEARER)
    assert b"invalid_token" in told(player, bearer(""))[0][1]
    assert not questions(player)
    player.client(message("p", b"\x01"))
    assert refusal(player) == ("28000", "authentication failed")


@pytest.mark.parametrize(
    "initial",
    [
        bearer("Basic dTpw"),
        bearer("Bearer"),
        bearer("Bearer a b"),
        bearer(f"Bearer {TOKEN}", header="p=tls-server-end-point,,"),
        bearer(f"Bearer {TOKEN}", header="n,a=root,"),
        bearer(f"Bearer {TOKEN}", pairs="auth=Bearer other\x01"),
        sasl_initial("OAUTHBEARER", b"n,,\x01host=db\x01\x01"),
        sasl_initial("OAUTHBEARER", b"n,,\x01\x01"),
        sasl_initial("OAUTHBEARER", b"n,,\x01auth=Bearer x\x01"),
        sasl_initial("OAUTHBEARER", b"\x01auth=Bearer x\x01\x01"),
        sasl_initial("OAUTHBEARER", b""),
    ],
)
def test_bearer_messages_that_are_refused(initial):
    player = over_tls(BEARER, answer=lambda question: AGENT).client(initial)
    assert not questions(player)
    assert player.closed.code is EndCode.CLIENT_FAULT


def test_a_refused_bearer_must_be_dismissed_as_the_rfc_says():
    player = over_tls(BEARER, answer=lambda question: None).client(bearer(f"Bearer {TOKEN}"))
    assert player.client(bearer(f"Bearer {TOKEN}")).closed.code is EndCode.CLIENT_FAULT


@pytest.mark.parametrize("leave", [lambda player: player.client(TERMINATE), lambda player: player.eof(CLIENT)])
def test_whoever_leaves_after_a_refusal_was_refused(leave):
    player = over_tls(BEARER, answer=lambda question: None).client(bearer(f"Bearer {TOKEN}"))
    assert leave(player).closed.code is EndCode.REFUSED


# Passwords.


def test_a_password_proves_a_client():
    player = over_tls(CLEARTEXT, answer=lambda question: AGENT).client(message("p", PASSWORD.encode() + b"\0"))
    (question,) = questions(player)
    assert question.credentials.secret.reveal() == PASSWORD
    assert is_proven(player)


def test_a_token_may_come_in_the_passwords_place():
    known = {BEARER: AGENT}
    player = over_tls(CLEARTEXT, BEARER, answer=lambda question: known.get(question.credentials.kind))
    player.client(message("p", TOKEN.encode() + b"\0"))
    assert [question.credentials.kind for question in questions(player)] == [CLEARTEXT, BEARER]
    assert is_proven(player)


@pytest.mark.parametrize(
    ("body", "answer", "refused"),
    [
        (b"wrong\0", None, ("28P01", "authentication failed")),
        (b"\0", AGENT, ("28P01", "authentication failed")),
        (b"right\0", LOCKED, ("28000", LOCKED.reason)),
    ],
)
def test_passwords_that_are_refused(body, answer, refused):
    player = over_tls(CLEARTEXT, answer=lambda question: answer)
    player.sent()
    player.client(message("p", body))
    assert refusal(player) == refused


@pytest.mark.parametrize("body", [b"", b"secret", b"sec\0ret\0", b"secret\0\0", b"\xff\0"])
def test_password_messages_that_are_malformed(body):
    player = over_tls(CLEARTEXT, answer=lambda question: AGENT).client(message("p", body))
    assert not questions(player)
    assert player.closed.code is EndCode.CLIENT_FAULT


def test_a_plugins_fault_while_it_judges_is_told_as_ours():
    player = make_player().client(STARTUP)
    player.fault(PluginFault("the plugin agents failed"))
    assert error(bytes(player.to_client))["C"] == "58000"


def test_too_slow_a_client_is_told():
    player = make_player().client(STARTUP)
    player.fault(PluginFault("the handshake took too long", code=FaultCode.TIMEOUT))
    assert error(bytes(player.to_client))["C"] == "57014"
