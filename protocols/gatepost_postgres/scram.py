"""SCRAM-SHA-256 and -PLUS, both sides of it.

Sources: RFC 5802, RFC 7677, RFC 5929 section 4 (tls-server-end-point), RFC 4013 (SASLprep); PostgreSQL 18
documentation, 54.3.1: the user name in the exchange is ignored, and a password that SASLprep refuses is taken as it is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from msgspec import Struct

from gatepost.errors import ClientFault, FaultCode, UpstreamFault
from gatepost.values import Identity, Verifier

SCRAM: Final = "SCRAM-SHA-256"
SCRAM_PLUS: Final = "SCRAM-SHA-256-PLUS"
BOUND: Final = b"p=tls-server-end-point"
MAX_ITERATIONS: Final = 1_000_000
"""Bounds the time that a database can make us spend; PostgreSQL's default is 4,096."""

_UNKNOWN_ITERATIONS: Final = 4096
_UNKNOWN_SALT_BYTES: Final = 16
_NONCE: Final = rb"[\x21-\x2b\x2d-\x7e]+"
_EXTENSIONS: Final = rb"(?:,[A-Za-z]=[^,\0]+)*"
_BASE64: Final = rb"[A-Za-z0-9+/]+={0,2}"
_CLIENT_FIRST: Final = re.compile(
    rb"(?P<header>(?P<flag>n|y|p=[A-Za-z0-9.-]+),(?P<authzid>[^,]*),)"
    rb"(?P<bare>n=[^,\0]*,r=(?P<nonce>" + _NONCE + rb")" + _EXTENSIONS + rb")"
)
_CLIENT_FINAL: Final = re.compile(
    rb"(?P<unproven>c=(?P<binding>" + _BASE64 + rb"),r=(?P<nonce>" + _NONCE + rb")" + _EXTENSIONS + rb")"
    rb",p=(?P<proof>" + _BASE64 + rb")"
)
_SERVER_FIRST: Final = re.compile(
    rb"r=(?P<nonce>" + _NONCE + rb"),s=(?P<salt>" + _BASE64 + rb"),i=(?P<iterations>[1-9][0-9]{0,9})" + _EXTENSIONS
)
_SERVER_FINAL: Final = re.compile(rb"v=(?P<signature>" + _BASE64 + rb")" + _EXTENSIONS)


class ClientFirst(Struct, frozen=True, kw_only=True):
    """A client-first-message: its GS2 header, the header's binding flag, the rest, and the client's nonce."""

    header: bytes
    flag: bytes
    bare: bytes
    nonce: bytes


def parse_client_first(data: bytes, *, mechanism: str, plus_offered: bool) -> ClientFirst:
    """Read a client-first-message.

    Raises:
        ClientFault: it is malformed, or its flag does not go with the mechanism (RFC 5802, section 6: a client that
            could bind and thinks that we cannot has been shown another offer than ours).
    """
    match = _CLIENT_FIRST.fullmatch(data)
    if match is None:
        raise ClientFault("the first SCRAM message is malformed")
    if match["authzid"]:
        raise ClientFault("SCRAM with an authorization identity is not supported", code=FaultCode.UNSUPPORTED)
    flag = match["flag"]
    if (mechanism == SCRAM_PLUS) != flag.startswith(b"p"):
        raise ClientFault("the SCRAM mechanism and its channel binding flag contradict each other")
    if mechanism == SCRAM_PLUS and flag != BOUND:
        raise ClientFault("only the channel binding tls-server-end-point is supported", code=FaultCode.UNSUPPORTED)
    if flag == b"y" and plus_offered:
        raise ClientFault(
            "the client was shown no channel binding although it was offered",
            hint="Somebody may be between client and gatepost.",
        )
    return ClientFirst(header=match["header"], flag=flag, bare=match["bare"], nonce=match["nonce"])


class ServerExchange:
    """Our side towards a client.

    Args:
        first: what the client began with.
        verifier: what proves the password; None carries the exchange out in vain, indistinguishably.
        nonce: our part of the nonce, printable and without a comma.
        binding: the channel's binding data; b"" without PLUS.
        unknown: a key and a user name from which None's salt is made, so that it is the same each time.
    """

    def __init__(
        self, first: ClientFirst, verifier: Verifier | None, *, nonce: bytes, binding: bytes, unknown: tuple[bytes, str]
    ) -> None:
        self._is_known = verifier is not None
        self._verifier = verifier or _unknown_verifier(*unknown)
        self._nonce = first.nonce + nonce
        self._binding = first.header + binding
        self._client_first = first.bare
        self.challenge = b"r=%b,s=%b,i=%d" % (self._nonce, b64encode(self._verifier.salt), self._verifier.iterations)

    def verify(self, client_final: bytes) -> bytes | None:
        """The server-final-message if the client has proven the password, else None.

        Raises:
            ClientFault: the message is malformed, or was not made for this exchange and channel.
        """
        match = _CLIENT_FINAL.fullmatch(client_final)
        proof = _decode(match["proof"]) if match else None
        if match is None or proof is None or len(proof) != hashlib.sha256().digest_size:
            raise ClientFault("the last SCRAM message is malformed")
        if not hmac.compare_digest(match["nonce"], self._nonce):
            raise ClientFault("the SCRAM nonce is not the one of this exchange")
        if not hmac.compare_digest(_decode(match["binding"]) or b"", self._binding):
            raise ClientFault("the SCRAM channel binding is not the one of this connection")
        text = b",".join((self._client_first, self.challenge, match["unproven"]))
        client_key = _xor(proof, _hmac(self._verifier.stored_key, text))
        is_right = hmac.compare_digest(hashlib.sha256(client_key).digest(), self._verifier.stored_key)
        if not (is_right and self._is_known):
            return None
        return b"v=" + b64encode(_hmac(self._verifier.server_key, text))


class ClientExchange:
    """Our side towards the database.

    Args:
        password: the database user's.
        nonce: printable and without a comma.
        flag: b"n", b"y" or `BOUND`.
        binding: the channel's binding data; b"" unless `flag` is `BOUND`.
    """

    def __init__(self, password: str, *, nonce: bytes, flag: bytes, binding: bytes = b"") -> None:
        self._password = saslprep(password).encode()
        self._nonce = nonce
        self._header = flag + b",,"
        self._binding = binding
        self._bare = b"n=,r=" + nonce
        self._signature = b""
        self.first = self._header + self._bare

    def prove(self, server_first: bytes) -> bytes:
        """The client-final-message. Raises UpstreamFault if the challenge is malformed or costs too much."""
        match = _SERVER_FIRST.fullmatch(server_first)
        salt = _decode(match["salt"]) if match else None
        if match is None or not salt:
            raise UpstreamFault("the database's SCRAM challenge is malformed")
        if not match["nonce"].startswith(self._nonce) or len(match["nonce"]) == len(self._nonce):
            raise UpstreamFault("the database's SCRAM nonce does not go on from ours")
        iterations = int(match["iterations"])
        if iterations > MAX_ITERATIONS:
            raise UpstreamFault(
                f"the database demands more than {MAX_ITERATIONS} SCRAM iterations",
                hint="Set the password anew with a lower scram_iterations.",
            )
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, iterations)
        unproven = b"c=%b,r=%b" % (b64encode(self._header + self._binding), match["nonce"])
        text = b",".join((self._bare, server_first, unproven))
        client_key = _hmac(salted, b"Client Key")
        self._signature = _hmac(_hmac(salted, b"Server Key"), text)
        proof = _xor(client_key, _hmac(hashlib.sha256(client_key).digest(), text))
        return unproven + b",p=" + b64encode(proof)

    def verify(self, server_final: bytes) -> None:
        """Raises UpstreamFault unless the database has proven that it knows the password, too."""
        match = _SERVER_FINAL.fullmatch(server_final)
        signature = _decode(match["signature"]) if match else None
        if not signature or not hmac.compare_digest(signature, self._signature):
            raise UpstreamFault(
                "the database has not proven that it knows the password",
                hint="Something else than the database may have answered.",
            )


def server_end_point(certificate: bytes) -> bytes | None:
    """The binding data tls-server-end-point of a server's certificate in DER.

    None where RFC 5929 defines none (the signature has no hash of its own, as with Ed25519) or there is no certificate.
    """
    if not certificate:
        return None
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in {"md5", "sha1"} else algorithm.name
    try:
        return hashlib.new(name.replace("sha3-", "sha3_"), certificate).digest()
    except ValueError:
        return None


def saslprep(text: str) -> str:
    """The text as SASLprep (RFC 4013) prepares it, or as it is where that refuses it."""
    if text.isascii():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if not prepared or any(_is_prohibited(char) for char in prepared):
        return text
    if any(map(stringprep.in_table_d1, prepared)):
        ends_right_to_left = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if any(map(stringprep.in_table_d2, prepared)) or not ends_right_to_left:
            return text
    return prepared


def _is_prohibited(char: str) -> bool:
    return (
        stringprep.in_table_a1(char)
        or stringprep.in_table_c12(char)
        or stringprep.in_table_c21_c22(char)
        or stringprep.in_table_c3(char)
        or stringprep.in_table_c4(char)
        or stringprep.in_table_c5(char)
        or stringprep.in_table_c6(char)
        or stringprep.in_table_c7(char)
        or stringprep.in_table_c8(char)
        or stringprep.in_table_c9(char)
    )


def _unknown_verifier(key: bytes, user: str) -> Verifier:
    """Looks like the verifier of somebody; no password goes with it."""

    def derived(purpose: bytes) -> bytes:
        return _hmac(key, b"unknown user, " + purpose + b": " + user.encode("utf-8", "replace"))

    return Verifier(
        identity=Identity(name=""),
        salt=derived(b"salt")[:_UNKNOWN_SALT_BYTES],
        iterations=_UNKNOWN_ITERATIONS,
        stored_key=derived(b"stored key"),
        server_key=derived(b"server key"),
    )


def _decode(text: bytes) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return None


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
