"""TLS as a layer of bytes: ciphertext in, plaintext out, and back; no socket.

A layer of our own, since a direct TLS hello has been read before it is known to be one, and a transport
cannot be handed bytes back.
"""

from __future__ import annotations

import contextlib
import ssl
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gatepost.adapter import TlsInfo, TlsPolicy, TlsTerms
from gatepost.errors import ClientFault, ConfigFault, Fault, FaultCode, UpstreamFault

if TYPE_CHECKING:
    from gatepost.config import UpstreamTls

_READ_BYTES: Final = 256 * 1024


class UpstreamMode(StrEnum):
    """How strictly the database's certificate is checked; libpq's sslmode."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


_POLICIES: Final = {UpstreamMode.DISABLE: TlsPolicy.OFF, UpstreamMode.PREFER: TlsPolicy.OPTIONAL}


class Layer:
    """One TLS connection.

    Args:
        context: with certificates, verification and ALPN set.
        server_side: we answer the hello, else we send it.
        hostname: the name to verify and to send (SNI), on the client side.
        own_certificate: ours in DER, for channel binding.
    """

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None, own_certificate: bytes = b""
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, hostname)
        self._own_certificate = own_certificate
        self._server_side = server_side
        self.info: TlsInfo | None = None

    def begin(self) -> bytes:
        """What to send first; b"" on the server side."""
        self._handshake()
        return self._outgoing.read()

    def receive(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """Take ciphertext. Returns (plaintext, ciphertext to send, whether the peer has said close_notify).

        Raises:
            Fault: the peer's, when its bytes are not TLS or its certificate is not accepted.
        """
        self._incoming.write(data)
        if self.info is None:
            self._handshake()
            if self.info is None:
                return b"", self._outgoing.read(), False
        plain = []
        closed = False
        try:
            while chunk := self._object.read(_READ_BYTES):
                plain.append(chunk)
            closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            closed = True
        except ssl.SSLError as error:
            raise self._fault(error) from error
        return b"".join(plain), self._outgoing.read(), closed

    def send(self, data: bytes) -> bytes:
        """Ciphertext for `data`. The handshake is over."""
        view = memoryview(data)
        while view:
            view = view[self._object.write(view) :]
        return self._outgoing.read()

    def close(self) -> bytes:
        """Our close_notify, if the handshake is over."""
        if self.info is not None:
            # The peer's own close_notify is not waited for (RFC 8446, section 6.1).
            with contextlib.suppress(ssl.SSLError):
                self._object.unwrap()
        return self._outgoing.read()

    def _handshake(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise self._fault(error) from error
        version, cipher = self._object.version(), self._object.cipher()
        self.info = TlsInfo(
            version=version or "",
            cipher=cipher[0] if cipher else "",
            peer_certificate=self._object.getpeercert(binary_form=True) or b"",
            own_certificate=self._own_certificate,
            alpn=self._object.selected_alpn_protocol() or "",
        )

    def _fault(self, error: ssl.SSLError) -> Fault:
        if self._server_side:
            return ClientFault(f"TLS with the client failed: {error.reason or 'protocol error'}")
        detail = getattr(error, "verify_message", "") or error.reason or "protocol error"
        return UpstreamFault(
            f"TLS with the database failed: {detail}",
            code=FaultCode.UPSTREAM_DOWN,
            hint="The gateway's operator can look at upstream_tls of this target.",
        )


def server_context(certificate: str, key: str, client_ca: str, alpn: tuple[str, ...]) -> tuple[ssl.SSLContext, bytes]:
    """A context for a listener, and its certificate in DER.

    With `client_ca`, clients may show a certificate, and one that the CA has not issued is refused.

    Raises:
        ConfigFault: a file cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if alpn:
        context.set_alpn_protocols(list(alpn))
    try:
        context.load_cert_chain(certificate, key or None)
        with open(certificate, encoding="ascii") as file:
            pem = file.read()
        if client_ca:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ValueError) as error:
        raise _unusable("tls", certificate, error) from error
    start = pem.index("-----BEGIN CERTIFICATE-----")
    end = pem.index("-----END CERTIFICATE-----", start) + len("-----END CERTIFICATE-----")
    return context, ssl.PEM_cert_to_DER_cert(pem[start:end])


def client_context(mode: UpstreamMode, ca: str, certificate: str, key: str, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """A context for upstream connections. Without `ca`, the system's authorities are trusted.

    Raises:
        ConfigFault: a file cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = mode is UpstreamMode.VERIFY_FULL
    verifies = mode in (UpstreamMode.VERIFY_CA, UpstreamMode.VERIFY_FULL)
    context.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    try:
        if ca:
            context.load_verify_locations(ca)
        elif verifies:
            context.load_default_certs()
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except (OSError, ValueError) as error:
        raise _unusable("upstream_tls", ca or certificate, error) from error
    return context


def upstream_terms(settings: UpstreamTls, alpn: tuple[str, ...]) -> TlsTerms:
    """How a target's database is spoken to. Raises ConfigFault: a file cannot be read or used."""
    mode = UpstreamMode(settings.mode)
    if mode is UpstreamMode.DISABLE:
        return TlsTerms()
    context = client_context(mode, settings.ca, settings.certificate, settings.key, alpn)
    return TlsTerms(policy=_POLICIES.get(mode, TlsPolicy.REQUIRED), context=context, is_direct=settings.direct)


def _unusable(section: str, file: str, error: Exception) -> ConfigFault:
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
    return ConfigFault(f"the certificate, key or CA cannot be used ({file}): {reason}", key=section)
