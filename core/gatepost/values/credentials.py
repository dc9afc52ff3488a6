"""Who the client is, and by what it shows that; as whom gatepost logs in to the database."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct


class Secret:
    """A text that no repr, log or pickle shows. Compares in constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a secret is never a key

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")


class Identity(Struct, frozen=True, kw_only=True):
    """Who the client is proven to be.

    Attributes:
        name: the principal's unique name (PCI DSS 8.2.1).
        roles: what it may be, most important first; plugins give them meaning.
        issuer: the plugin that vouches for it.
        method: how it was proven: "scram-sha-256", "bearer", "certificate", …
        acting_for: the human on whose behalf the agent works, or "" (PCI DSS 8.6.1).
        expires_at: Unix seconds after which the session ends, or None.
        claims: what else the issuer said, for plugins and the record; never a secret.
    """

    name: str
    roles: tuple[str, ...] = ()
    issuer: str = ""
    method: str = ""
    acting_for: str = ""
    expires_at: float | None = None
    claims: Mapping[str, str] = {}


class CredentialKind(StrEnum):
    """The kinds of credentials that a plugin can judge; it lists them in its `judges` attribute."""

    PASSWORD = "password"  # noqa: S105
    BEARER = "bearer"
    CERTIFICATE = "certificate"
    SCRAM_SHA_256 = "scram-sha-256"
    MYSQL_NATIVE = "mysql-native"
    CACHING_SHA2 = "caching-sha2"


class Credentials(Struct, frozen=True, kw_only=True):
    """By what the client claims to be `user`.

    Attributes:
        kind: what the client offers. For a challenge exchange (SCRAM and the like) `secret` is None: a
            plugin that knows the user answers with a `Verifier`, and the protocol carries the exchange out.
        user: the name that the client claims, as it sent it; not proven.
        secret: the password or the token.
        certificate: the client certificate in DER, its chain already verified against the configured CA.
    """

    kind: CredentialKind
    user: str
    secret: Secret | None = None
    certificate: bytes = b""

    def __repr__(self) -> str:
        return f"Credentials(kind={self.kind.value!r})"


class Verifier(Struct, frozen=True, kw_only=True):
    """What proves a password without holding it, and whose it is.

    A plugin fills in what belongs to the kinds that it judges.

    Attributes:
        identity: who the client is once the exchange has succeeded.
        salt, iterations, stored_key, server_key: SCRAM's (RFC 5802, section 3).
        mysql_native: the password's SHA-1, applied two times.
        caching_sha2: the password's SHA-256, applied two times.
    """

    identity: Identity
    salt: bytes = b""
    iterations: int = 0
    stored_key: bytes = b""
    server_key: bytes = b""
    mysql_native: bytes = b""
    caching_sha2: bytes = b""

    def __repr__(self) -> str:
        return f"Verifier(identity={self.identity.name!r})"


class UpstreamCredentials(Struct, frozen=True, kw_only=True):
    """As whom gatepost logs in to the database. `database` "" means the target's, else the client's."""

    user: str
    password: Secret | None = None
    database: str = ""
