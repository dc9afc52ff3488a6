"""Bearer tokens, lockout, and what a login may not bring along."""

from __future__ import annotations

import json
import ssl

import pytest
from tests.certificates import Authority
from tests.servers import Database, Gate, gates
from tests.wire import Wire, WireError, message, startup

JUDGES_TOKENS = """
from gatepost import CredentialKind, Identity, hookimpl

judges = frozenset({CredentialKind.BEARER})

@hookimpl
async def on_auth(session, credentials):
    if credentials.kind is CredentialKind.BEARER and credentials.secret.reveal() == "a.good.token":
        return Identity(name="token-holder", roles=("reader",), issuer="script", method="bearer")
"""


@pytest.fixture(scope="module")
def token_gate(postgres: Database, authority: Authority, tmp_path_factory: pytest.TempPathFactory):
    certificate, key = authority.server()
    target = f'[targets.shop.tls]\nmode = "required"\ncertificate = "{certificate}"\nkey = "{key}"\n'
    with gates(tmp_path_factory.mktemp("tokens")) as make:
        yield make(postgres, target=target, scripts=[JUDGES_TOKENS])


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.certificate))


def test_a_good_token_opens_the_gate(token_gate: Gate, tls: ssl.SSLContext) -> None:
    with Wire(token_gate.port) as wire:
        wire.start_tls(tls)
        wire.send(startup("anybody", "shop"))
        answer = wire.bearer("a.good.token")
        assert (answer.kind, answer.body) == ("R", b"\0\0\0\0")
        wire.until_ready()
        assert [each.kind for each in wire.query("SELECT 1")] == list("TDCZ")


def test_a_bad_token_is_refused_as_rfc_7628_says(token_gate: Gate, tls: ssl.SSLContext) -> None:
    with Wire(token_gate.port) as wire:
        wire.start_tls(tls)
        wire.send(startup("anybody", "shop"))
        answer = wire.bearer("a.bad.token")
        assert (answer.kind, answer.body[:4]) == ("R", b"\0\0\0\x0b")
        assert json.loads(answer.body[4:])["status"] == "invalid_token"
        wire.send(message("p", b"\x01"))
        refusal = wire.read()
        assert (refusal.kind, refusal.fields["C"]) == ("E", "28000")
        assert wire.rest() == b""


def test_passwords_still_work_beside_tokens(token_gate: Gate, tls: ssl.SSLContext) -> None:
    with Wire(token_gate.port) as wire:
        wire.start_tls(tls)
        wire.log_in("agent", token_gate.password)


def test_tokens_stay_out_of_the_log(token_gate: Gate, tls: ssl.SSLContext) -> None:
    with Wire(token_gate.port) as wire:
        wire.start_tls(tls)
        wire.send(startup("anybody", "shop"))
        wire.bearer("a.very.secret.token")
        wire.close()
    token_gate.log.wait_for(wire.address)
    assert "a.very.secret.token" not in str(token_gate.log)


def test_ten_wrong_passwords_lock_the_name_for_the_right_one_too(full_gate: Gate) -> None:
    password = full_gate.add_agent("clumsy", "reader")
    Wire(full_gate.port).log_in("clumsy", password).close()
    for _ in range(10):
        with Wire(full_gate.port) as wire, pytest.raises(WireError):
            wire.log_in("clumsy", "wrong")
    with Wire(full_gate.port) as wire, pytest.raises(WireError):
        wire.log_in("clumsy", password)
    Wire(full_gate.port).log_in("agent", full_gate.password).close()


@pytest.mark.parametrize(
    "options",
    [
        {"options": "-c role=postgres"},
        {"options": "-c search_path=evil"},
        {"options": "-c session_authorization=postgres"},
        {"role": "postgres"},
        {"replication": "database"},
        {"replication": "true"},
    ],
    ids=str,
)
def test_a_startup_that_changes_who_or_what_is_meant_is_refused(full_gate: Gate, options: dict[str, str]) -> None:
    with Wire(full_gate.port) as wire, pytest.raises(WireError):
        wire.log_in("agent", full_gate.password, **options)


@pytest.mark.parametrize("options", [{"application_name": "report"}, {"client_encoding": "UTF8"}, {"DateStyle": "ISO"}])
def test_a_startup_with_harmless_options_is_accepted(full_gate: Gate, options: dict[str, str]) -> None:
    with Wire(full_gate.port) as wire:
        wire.log_in("agent", full_gate.password, **options)


def test_a_newer_minor_version_is_negotiated_down(full_gate: Gate) -> None:
    with Wire(full_gate.port) as wire:
        wire.send(startup("agent", "shop", version=3 << 16 | 9, **{"_pq_.heard_of": "never"}))
        negotiation = wire.read()
        assert negotiation.kind == "v"
        assert b"_pq_.heard_of\0" in negotiation.body
        wire.authenticate(full_gate.password)
        wire.until_ready()
        assert [each.kind for each in wire.query("SELECT 1")] == list("TDCZ")


def test_version_3_2_brings_a_longer_cancel_key(full_gate: Gate) -> None:
    with Wire(full_gate.port) as wire:
        wire.send(startup("agent", "shop", version=3 << 16 | 2))
        wire.authenticate(full_gate.password)
        wire.until_ready()
        assert len(wire.key) > 4
