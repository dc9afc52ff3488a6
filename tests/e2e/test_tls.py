"""TLS on both sides: certificates verified, channel binding, client certificates, and what TLS must not let in."""

from __future__ import annotations

import asyncio
import ssl
import struct
from pathlib import Path

import asyncpg
import psycopg
import pytest
from tests.certificates import Authority
from tests.servers import Database, Gate, MakeGate, gates
from tests.wire import SSL_REQUEST, Wire, query, startup

JUDGES_CERTIFICATES = """
from cryptography import x509
from cryptography.x509.oid import NameOID
from gatepost import CredentialKind, Identity, hookimpl

judges = frozenset({CredentialKind.CERTIFICATE})

@hookimpl
def on_auth(session, credentials):
    if credentials.kind is not CredentialKind.CERTIFICATE:
        return None
    subject = x509.load_der_x509_certificate(credentials.certificate).subject
    (name,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if name.value == credentials.user:
        return Identity(name=name.value, roles=("reader",), issuer="script", method="certificate")
"""


def tls_target(authority: Authority, mode: str = "required", upstream: str = "verify-full") -> str:
    certificate, key = authority.server()
    return f"""
[targets.shop.tls]
mode = "{mode}"
certificate = "{certificate}"
key = "{key}"
client_ca = "{authority.certificate}"
[targets.shop.upstream_tls]
mode = "{upstream}"
ca = "{authority.certificate}"
"""


@pytest.fixture(scope="module")
def tls_gate(postgres_tls: Database, authority: Authority, tmp_path_factory: pytest.TempPathFactory):
    """TLS required from clients, verified towards the database; client certificates are judged by a script."""
    with gates(tmp_path_factory.mktemp("tls")) as make:
        yield make(postgres_tls, target=tls_target(authority), scripts=[JUDGES_CERTIFICATES])


def test_both_sides_speak_tls(tls_gate: Gate, authority: Authority) -> None:
    with psycopg.connect(f"{tls_gate.address} sslmode=verify-full sslrootcert={authority.certificate}") as connection:
        assert connection.pgconn.ssl_in_use
        upstream = connection.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert upstream == (True, "TLSv1.3")


def test_a_large_result_comes_through_tls_unharmed(tls_gate: Gate) -> None:
    with psycopg.connect(f"{tls_gate.address} sslmode=require") as connection, connection.cursor() as cursor:
        rows = cursor.stream("SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 50000) n", size=1)
        assert sum(n + len(text) for n, text in rows) == 1250025000 + 50000 * 640


def test_a_client_without_tls_is_refused_in_words(tls_gate: Gate) -> None:
    with Wire(tls_gate.port) as wire:
        wire.send(startup("agent", "shop"))
        refusal = wire.read()
        assert refusal.kind == "E"
        assert "TLS" in refusal.fields["M"]
        assert wire.rest() == b""


def test_channel_binding_holds_from_end_to_end(tls_gate: Gate) -> None:
    with psycopg.connect(f"{tls_gate.address} sslmode=require channel_binding=require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_certificate_of_another_name_is_noticed_by_the_client(tls_gate: Gate, authority: Authority) -> None:
    login = tls_gate.address.replace("host=127.0.0.1", "host=gate.example hostaddr=127.0.0.1")
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        psycopg.connect(f"{login} sslmode=verify-full sslrootcert={authority.certificate}")


@pytest.mark.skipif(psycopg.pq.version() < 170000, reason="libpq before 17 has no direct TLS")
def test_tls_without_asking_first(tls_gate: Gate) -> None:
    with psycopg.connect(f"{tls_gate.address} sslmode=require sslnegotiation=direct") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_direct_tls_needs_the_protocol_s_name(tls_gate: Gate) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Wire(tls_gate.port) as wire, pytest.raises((ssl.SSLError, EOFError, ConnectionResetError)):
        wire.socket = context.wrap_socket(wire.socket)
        wire.send(startup("agent", "shop"))
        wire.read()


def test_asyncpg_speaks_tls(tls_gate: Gate, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.certificate))

    async def main() -> int:
        connection = await asyncpg.connect(tls_gate.url.replace("127.0.0.1", "localhost"), ssl=context)
        try:
            return await connection.fetchval("SELECT 42")
        finally:
            await connection.close()

    assert asyncio.run(main()) == 42


def test_a_client_certificate_is_a_login(tls_gate: Gate, authority: Authority) -> None:
    certificate, key = authority.client("robot")
    login = f"host=127.0.0.1 port={tls_gate.port} user=robot dbname=shop sslmode=require"
    with psycopg.connect(f"{login} sslcert={certificate} sslkey={key}") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_client_certificate_is_no_login_for_another_name(tls_gate: Gate, authority: Authority) -> None:
    certificate, key = authority.client("robot")
    login = f"host=127.0.0.1 port={tls_gate.port} user=agent password=wrong dbname=shop sslmode=require"
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(f"{login} sslcert={certificate} sslkey={key}")


def test_a_certificate_of_a_stranger_is_refused_by_tls(tls_gate: Gate, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).client("robot")
    login = f"host=127.0.0.1 port={tls_gate.port} user=robot dbname=shop sslmode=require"
    with pytest.raises(psycopg.OperationalError, match=r"unknown ca|alert|SSL|closed"):
        psycopg.connect(f"{login} sslcert={certificate} sslkey={key}")


def test_what_is_smuggled_before_tls_ends_the_session(tls_gate: Gate) -> None:
    with Wire(tls_gate.port) as wire:
        wire.send(SSL_REQUEST, startup("agent", "shop"), query("SELECT 1"))
        answer = wire.rest()
        assert not answer.startswith(b"S")
        assert b"agent" not in answer
    tls_gate.log.wait_for(wire.address)


def test_without_tls_configured_the_client_is_told_so(full_gate: Gate) -> None:
    with Wire(full_gate.port) as wire:
        wire.send(SSL_REQUEST)
        assert wire.socket.recv(1) == b"N"
        wire.log_in("agent", full_gate.password)
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        psycopg.connect(f"{full_gate.address} sslmode=require")


def test_gssapi_encryption_is_declined(full_gate: Gate) -> None:
    with Wire(full_gate.port) as wire:
        wire.send(struct.pack("!II", 8, 80877104))
        assert wire.socket.recv(1) == b"N"
        wire.log_in("agent", full_gate.password)


def test_a_database_with_a_certificate_of_another_authority_is_not_trusted(
    gate: MakeGate, postgres_tls: Database, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    target = f'[targets.shop.upstream_tls]\nmode = "verify-full"\nca = "{stranger.certificate}"\n'
    closed = gate(postgres_tls, target=target)
    with Wire(closed.port) as wire:
        wire.send(startup("agent", "shop"))
        wire.authenticate(closed.password)
        refusal = wire.read_until("E")[-1].fields
        assert refusal["C"].startswith("08")
        assert "certificate" in refusal["M"].lower() + refusal.get("D", "").lower()


def test_a_database_without_tls_is_refused_where_tls_is_required(gate: MakeGate, postgres: Database) -> None:
    closed = gate(postgres, target='[targets.shop.upstream_tls]\nmode = "require"\n')
    with Wire(closed.port) as wire:
        wire.send(startup("agent", "shop"))
        wire.authenticate(closed.password)
        assert wire.read_until("E")[-1].fields["C"].startswith("08")
