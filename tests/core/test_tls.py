"""The TLS layer, two of them talking without a socket."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gatepost import ClientFault, ConfigFault, UpstreamFault
from gatepost.tls import Layer, UpstreamMode, client_context, server_context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


def server(certificate: tuple[str, str]) -> Layer:
    context, der = server_context(*certificate, "", ("postgresql",))
    return Layer(context, server_side=True, own_certificate=der)


def client(certificate: tuple[str, str], mode: UpstreamMode, hostname: str = "localhost") -> Layer:
    return Layer(client_context(mode, certificate[0], "", "", ("postgresql",)), server_side=False, hostname=hostname)


def shake(one: Layer, other: Layer, step: int) -> None:
    """Carry bytes between both, `step` at a time, until both are established."""
    to_other = one.begin()
    other.begin()
    while to_other:
        to_one = b"".join(other.receive(to_other[i : i + step])[1] for i in range(0, len(to_other), step))
        to_other = b"".join(one.receive(to_one[i : i + step])[1] for i in range(0, len(to_one), step))


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_both_sides_agree_and_carry_data_however_bytes_are_split(certificate: tuple[str, str], step: int) -> None:
    ours, theirs = client(certificate, UpstreamMode.VERIFY_FULL), server(certificate)
    shake(ours, theirs, step)
    assert ours.info is not None
    assert theirs.info is not None
    assert theirs.info.alpn == "postgresql"
    assert theirs.info.own_certificate == ours.info.peer_certificate != b""
    text = bytes(range(256)) * 1000
    sent = ours.send(text)
    got = b"".join(theirs.receive(sent[i : i + max(step, 1000)])[0] for i in range(0, len(sent), max(step, 1000)))
    assert got == text
    assert theirs.receive(ours.close())[2] is True


def test_a_wrong_name_is_the_upstreams_fault(certificate: tuple[str, str]) -> None:
    with pytest.raises(UpstreamFault, match="TLS with the database failed"):
        shake(client(certificate, UpstreamMode.VERIFY_FULL, "example.org"), server(certificate), 100_000)


def test_verify_ca_does_not_look_at_the_name(certificate: tuple[str, str]) -> None:
    ours = client(certificate, UpstreamMode.VERIFY_CA, "example.org")
    shake(ours, server(certificate), 100_000)
    assert ours.info is not None


def test_bytes_that_are_no_tls_are_the_clients_fault(certificate: tuple[str, str]) -> None:
    with pytest.raises(ClientFault, match="TLS with the client failed"):
        server(certificate).receive(b"GET / HTTP/1.1\r\n\r\n")


def test_files_that_cannot_be_used_are_named(certificate: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"missing\.pem.*No such file"):
        server_context(str(tmp_path / "missing.pem"), certificate[1], "", ())
    with pytest.raises(ConfigFault, match=r"missing\.pem"):
        client_context(UpstreamMode.VERIFY_CA, str(tmp_path / "missing.pem"), "", "", ())
