"""Passwords and their SCRAM-SHA-256 verifiers (RFC 5802, section 3; RFC 7677)."""

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
    """What is kept of a password: enough to check it, not enough to log in with."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return "Keys(…)"


def generate() -> Secret:
    """A new password: 256 random bits in characters that a URL can hold."""
    return Secret(secrets.token_urlsafe(_PASSWORD_BYTES))


def derive(password: Secret, salt: bytes | None = None, iterations: int = ITERATIONS) -> Keys:
    """The keys of a password. Slow by design: some milliseconds.

    SASLprep is left out: generated passwords are ASCII, which it does not change.
    """
    salt = salt or secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.reveal().encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return Keys(
        salt=salt,
        iterations=iterations,
        stored_key=hashlib.sha256(client_key).digest(),
        server_key=hmac.digest(salted, b"Server Key", "sha256"),
    )


def proves(password: Secret, keys: Keys) -> bool:
    """Whether a password is the one that the keys are of. As slow as `derive`; compares in constant time."""
    derived = derive(password, keys.salt, keys.iterations)
    return hmac.compare_digest(derived.stored_key, keys.stored_key)
