"""How a password is proven, both sides of it.

Sources: MySQL internals manual, "Authentication Method"; MySQL 9 source documentation, "Caching_sha2_password
information"; MariaDB Knowledge Base, "Authentication Plugin - ed25519"; RFC 8032 (Ed25519).
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from functools import cache
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from nacl.bindings import (
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
)

from gatepost.errors import ClientFault, UpstreamFault

NATIVE: Final = "mysql_native_password"
CACHING_SHA2: Final = "caching_sha2_password"
CLEAR: Final = "mysql_clear_password"
ED25519: Final = "client_ed25519"

NONCE_BYTES: Final = 20
ED25519_NONCE_BYTES: Final = 32
_RSA_BITS: Final = 2048
# MySQL's own protocol has SHA-1 in this place.
_OAEP: Final = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)  # noqa: S303


def nonce(secret: bytes, purpose: bytes) -> bytes:
    """Ours in an exchange: not to be guessed, used once, and without a NUL."""
    return b64encode(hmac.digest(secret, purpose, "sha256"))[:NONCE_BYTES]


def _sha1(*parts: bytes) -> bytes:
    # MySQL chose SHA-1; what it protects is a password of 256 random bits.
    return hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()


def _sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def prove_native(password: bytes, challenge: bytes) -> bytes:
    once = _sha1(password)
    return _xor(once, _sha1(challenge, _sha1(once)))


def is_native_proof(proof: bytes, challenge: bytes, twice: bytes) -> bool:
    """Whether `proof` is one of the password whose SHA-1, applied two times, is `twice`."""
    if len(proof) != hashlib.sha1().digest_size:  # noqa: S324
        return False
    return hmac.compare_digest(_sha1(_xor(proof, _sha1(challenge, twice))), twice)


def prove_sha2(password: bytes, challenge: bytes) -> bytes:
    once = _sha256(password)
    return _xor(once, _sha256(_sha256(once), challenge))


def is_sha2_proof(proof: bytes, challenge: bytes, twice: bytes) -> bool:
    """Whether `proof` is one of the password whose SHA-256, applied two times, is `twice`."""
    if len(proof) != hashlib.sha256().digest_size:
        return False
    return hmac.compare_digest(_sha256(_xor(proof, _sha256(twice, challenge))), twice)


def prove_ed25519(password: bytes, challenge: bytes) -> bytes:
    """A signature by a key that is made of the whole password, where Ed25519 has a seed of 32 bytes."""
    expanded = hashlib.sha512(password).digest()
    scalar = bytearray(expanded[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    public = crypto_scalarmult_ed25519_base_noclamp(bytes(scalar))
    once = crypto_core_ed25519_scalar_reduce(hashlib.sha512(expanded[32:] + challenge).digest())
    point = crypto_scalarmult_ed25519_base_noclamp(once)
    product = crypto_core_ed25519_scalar_mul(
        crypto_core_ed25519_scalar_reduce(hashlib.sha512(point + public + challenge).digest()),
        crypto_core_ed25519_scalar_reduce(bytes(scalar) + bytes(32)),
    )
    return bytes(point + crypto_core_ed25519_scalar_add(product, once))


@cache
def _own_key() -> rsa.RSAPrivateKey:
    """This process's key, made when a client without TLS first asks for it."""
    return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)


def own_public_key() -> bytes:
    return (
        _own_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def decrypt(data: bytes, challenge: bytes) -> bytes:
    """The password, NUL included, that a client has encrypted for our key."""
    try:
        return _cover(_own_key().decrypt(data, _OAEP), challenge)
    except ValueError:
        raise ClientFault("the encrypted password is malformed") from None


def encrypt(password: bytes, challenge: bytes, pem: bytes) -> bytes:
    """The password for a database without TLS, by the public key that it has sent."""
    try:
        key = serialization.load_pem_public_key(pem.rstrip(b"\0"))
        if not isinstance(key, rsa.RSAPublicKey):
            raise ValueError
        return key.encrypt(_cover(password + b"\0", challenge), _OAEP)
    except (ValueError, UnsupportedAlgorithm):
        raise UpstreamFault("the database's public key cannot be used") from None


def _cover(data: bytes, challenge: bytes) -> bytes:
    return bytes(byte ^ challenge[at % len(challenge)] for at, byte in enumerate(data))
