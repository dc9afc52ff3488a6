"""Passwords and what is kept of them.

SCRAM-SHA-256's verifiers (RFC 5802, section 3; RFC 7677), and those of MySQL's exchanges, which are mere digests: they
protect a password because it is 256 random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from msgspec import Struct

from gatepost import Secret

ITERATIONS = 4096  # RFC 7677's minimum, and enough for passwords that nobody can guess
_SALT_BYTES = 16
_PASSWORD_BYTES = 32


class Keys(Struct, frozen=True, kw_only=True):
    """What is kept of a password: enough to check it, not enough to log in with.

    Attributes:
        salt, iterations, stored_key, server_key: SCRAM's.
        mysql_native, caching_sha2: MySQL's; b"" where the password is older than these.
    """

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes
    mysql_native: bytes = b""
    caching_sha2: bytes = b""

    def __repr__(self) -> str:
        return "Keys(…)"

    def in_vain(self) -> Keys:
        """Keys that look the same to a client, and that no password proves."""
        return Keys(salt=self.salt, iterations=self.iterations, stored_key=b"", server_key=b"")


def generate() -> Secret:
    """A new password: 256 random bits in characters that a URL can hold."""
    return Secret(secrets.token_urlsafe(_PASSWORD_BYTES))


def derive(password: Secret, salt: bytes | None = None, iterations: int = ITERATIONS) -> Keys:
    """The keys of a password. Slow by design: some milliseconds.

    SASLprep is left out: generated passwords are ASCII, which it does not change.
    """
    salt = salt or secrets.token_bytes(_SALT_BYTES)
    plain = password.reveal().encode()
    salted = hashlib.pbkdf2_hmac("sha256", plain, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return Keys(
        salt=salt,
        iterations=iterations,
        stored_key=hashlib.sha256(client_key).digest(),
        server_key=hmac.digest(salted, b"Server Key", "sha256"),
        mysql_native=_sha1(_sha1(plain)),
        caching_sha2=hashlib.sha256(hashlib.sha256(plain).digest()).digest(),
    )


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def proves(password: Secret, keys: Keys) -> bool:
    """Whether a password is the one that the keys are of. As slow as `derive`; compares in constant time."""
    derived = derive(password, keys.salt, keys.iterations)
    return hmac.compare_digest(derived.stored_key, keys.stored_key)
