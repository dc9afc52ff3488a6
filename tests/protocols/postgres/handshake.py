"""Handshakes for tests: sessions to play them, and a client and a database written from the specifications alone."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from tests.wire import message

from gatepost.adapter import Authenticate, Environment
from gatepost.testing import Player, Step, every_split, make_environment, said
from gatepost.values import CredentialKind, Deny, Identity, Verifier
from gatepost_postgres.session import PostgresSession

PASSWORD = "correct horse"
AGENT = Identity(name="agent-7", roles=("reader",))

AUTH_OK = message("R", struct.pack("!I", 0))
READY = message("Z", b"I")

Answer = Identity | Verifier | Deny | None


def make_player(
    *,
    answer: Callable[[Authenticate], Answer] | None = None,
    player: dict[str, Any] | None = None,
    **environment: Any,
) -> Player:
    """A session in such an environment; plugins know the agent and its password unless `answer` says otherwise."""
    return Player(
        PostgresSession(make_scram_environment(**environment)),
        authenticate=answer or (lambda question: verifier()),
        **(player or {}),
    )


def make_scram_environment(**changes: Any) -> Environment:
    return make_environment(**{"offers": frozenset({CredentialKind.SCRAM_SHA_256}), **changes})


def questions(player: Player) -> list[Authenticate]:
    return [action for action in player.actions if isinstance(action, Authenticate)]


def told(player: Player, data: bytes) -> list[tuple[str, bytes]]:
    """The messages that the client is sent for its bytes."""
    player.sent()
    player.client(data)
    return split(player.sent()[0])


def asked_of_database(player: Player, data: bytes) -> bytes:
    """What the database is sent for its bytes."""
    player.sent()
    player.upstream(data)
    return player.sent()[1]


def same_however_cut(make: Callable[[], Player], steps: Sequence[Step]) -> Player:
    """Play the steps in every split; all must come out the same. Returns the player of the whole ones."""
    plays = every_split(make, steps)
    _, whole = next(plays)
    for how, player in plays:
        assert said(player) == said(whole), how
    return whole


def split(data: bytes) -> list[tuple[str, bytes]]:
    """The messages that the bytes are made of; nothing may be left."""
    found: list[tuple[str, bytes]] = []
    while data:
        length = struct.unpack("!I", data[1:5])[0]
        assert len(data) >= 1 + length
        found.append((chr(data[0]), data[5 : 1 + length]))
        data = data[1 + length :]
    return found


def startup(version: int = 3 << 16, /, **parameters: str) -> bytes:
    pairs = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items())
    return struct.pack("!II", len(pairs) + 9, version) + pairs + b"\0"


STARTUP = startup(user="agent", database="shop")


def error(data: bytes) -> dict[str, str]:
    """The fields of the ErrorResponse that the bytes end in."""
    kind, body = split(data)[-1]
    assert kind == "E"
    return {field[:1].decode(): field[1:].decode() for field in body.split(b"\0") if field}


def verifier(password: str = PASSWORD, *, salt: bytes = b"sixteen bytes...", iterations: int = 4096) -> Verifier:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    return Verifier(
        identity=AGENT,
        salt=salt,
        iterations=iterations,
        stored_key=hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest(),
        server_key=hmac.digest(salted, b"Server Key", "sha256"),
    )


def sasl_initial(mechanism: str, response: bytes) -> bytes:
    return message("p", mechanism.encode() + b"\0" + struct.pack("!i", len(response)) + response)


class ScramClient:
    """The client's side of SCRAM-SHA-256 as RFC 5802, section 3, puts it.

    `user` is empty as in libpq; `signature` is what the server must answer in the end.
    """

    def __init__(
        self, password: str = PASSWORD, *, flag: str = "n", binding: bytes = b"", user: str = "", nonce: str = "rOprNG"
    ) -> None:
        self.password, self.binding, self.nonce = password, binding, nonce
        self.header = f"{flag},,"
        self.bare = f"n={user},r={nonce}"
        self.signature = b""

    @property
    def first(self) -> bytes:
        return (self.header + self.bare).encode()

    def initial(self, mechanism: str = "SCRAM-SHA-256") -> bytes:
        return sasl_initial(mechanism, self.first)

    def final(self, challenge: bytes) -> bytes:
        text = challenge.decode()
        nonce, salt, iterations = (part[2:] for part in text.split(","))
        assert nonce.startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(salt), int(iterations))
        client_key = hmac.new(salted, b"Client Key", "sha256").digest()
        stored_key = hashlib.sha256(client_key).digest()
        bound = base64.b64encode(self.header.encode() + self.binding).decode()
        unproven = f"c={bound},r={nonce}"
        auth_message = f"{self.bare},{text},{unproven}".encode()
        client_signature = hmac.new(stored_key, auth_message, "sha256").digest()
        proof = (int.from_bytes(client_key) ^ int.from_bytes(client_signature)).to_bytes(32)
        server_key = hmac.new(salted, b"Server Key", "sha256").digest()
        self.signature = b"v=" + base64.b64encode(hmac.new(server_key, auth_message, "sha256").digest())
        return f"{unproven},p={base64.b64encode(proof).decode()}".encode()


class ScramServer:
    """The database's side of SCRAM-SHA-256 (RFC 5802, section 3). `binding` is its channel's, with PLUS."""

    def __init__(self, password: str, *, binding: bytes = b"", iterations: int = 4096) -> None:
        self._verifier = verifier(password)
        self._binding = binding
        self.iterations = iterations
        self._bare = self._challenge = b""
        self._header = b""

    def challenge(self, client_first: bytes) -> bytes:
        flag, authzid, self._bare = client_first.split(b",", 2)
        self._header = flag + b"," + authzid + b","
        nonce = self._bare.split(b"r=")[1] + b"3rfcNHYJY1ZVvWVs7j"
        salt = base64.b64encode(self._verifier.salt)
        self._challenge = b"r=%b,s=%b,i=%d" % (nonce, salt, self.iterations)
        return self._challenge

    def verdict(self, client_final: bytes) -> bytes:
        """The server-final-message; fails the test unless the client has proven the password."""
        unproven, proof = client_final.rsplit(b",p=", 1)
        assert base64.b64decode(unproven.split(b",")[0][2:]) == self._header + self._binding
        auth_message = b",".join((self._bare, self._challenge, unproven))
        signature = hmac.digest(self._verifier.stored_key, auth_message, "sha256")
        client_key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        assert hashlib.sha256(client_key).digest() == self._verifier.stored_key
        return b"v=" + base64.b64encode(hmac.digest(self._verifier.server_key, auth_message, "sha256"))


def auth_request(kind: int, body: bytes = b"") -> bytes:
    return message("R", struct.pack("!I", kind) + body)


def status(name: str, value: str) -> bytes:
    return message("S", f"{name}\0{value}\0".encode())


def database_ready(*extra: bytes) -> bytes:
    """What a database says after AuthenticationOk; its process is 99 and its cancel key b"sesa"."""
    settings = (status("client_encoding", "UTF8"), status("standard_conforming_strings", "on"))
    return b"".join((*settings, *extra)) + message("K", struct.pack("!i", 99) + b"sesa") + READY


def client_final() -> bytes:
    """What `ScramClient` proves itself with; the same in each session of `make_player()`."""
    client = ScramClient()
    return message("p", client.final(told(make_player().client(STARTUP), client.initial())[0][1][4:]))


def prove(player: Player, password: str = PASSWORD, /, **parameters: str) -> Player:
    """Bring a session through its startup and SCRAM."""
    player.client(startup(**{"user": "agent", "database": "shop", **parameters}))
    client = ScramClient(password)
    challenge = told(player, client.initial())[0][1][4:]
    return player.client(message("p", client.final(challenge)))


def serve(player: Player, *extra: bytes, **parameters: str) -> Player:
    """Bring a session through SCRAM and a trusting database to its first statement."""
    return prove(player, **parameters).upstream(AUTH_OK + database_ready(*extra))


def certificate(algorithm: hashes.HashAlgorithm | None) -> bytes:
    """A certificate in DER, signed by its own key with this hash; with Ed25519 without one."""
    key = ec.generate_private_key(ec.SECP256R1()) if algorithm else ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now)
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)
