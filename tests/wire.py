"""A small, strict PostgreSQL client that shares nothing with the product: raw messages, SCRAM, cells to text.

What it cannot read strictly raises `WireError`, so a test that uses it also tests the framing of what it was sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple, Self

PATIENCE = 20.0
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)
BACKEND_MESSAGES = frozenset(b"123ACDEGHIKNRSTVWZdcnstv")

INT8, TEXT, JSON, JSONB, NUMERIC, TEXT_ARRAY, INT8_ARRAY, NUMERIC_ARRAY = 20, 25, 114, 3802, 1700, 1009, 1016, 1231
ARRAY_ELEMENTS = {TEXT_ARRAY: TEXT, INT8_ARRAY: INT8, NUMERIC_ARRAY: NUMERIC, 1015: TEXT, 1007: 23}


class WireError(Exception):
    """The peer broke the protocol."""


class Message(NamedTuple):
    kind: str
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The fields of an ErrorResponse or NoticeResponse by their codes."""
        if not self.body.endswith(b"\0\0") and self.body != b"\0":
            raise WireError("fields do not end in a NUL")
        return {part[:1].decode(): part[1:].decode() for part in self.body[:-2].split(b"\0")}

    @property
    def cells(self) -> list[bytes | None]:
        """The cells of a DataRow."""
        (count,) = struct.unpack_from("!H", self.body)
        cells: list[bytes | None] = []
        place = 2
        for _ in range(count):
            (length,) = struct.unpack_from("!i", self.body, place)
            place += 4
            if length < -1 or place + length > len(self.body):
                raise WireError("a cell is longer than its row")
            cells.append(None if length < 0 else self.body[place : place + length])
            place += max(length, 0)
        if place != len(self.body):
            raise WireError("bytes after the last cell")
        return cells

    @property
    def columns(self) -> list[tuple[str, int, int]]:
        """Name, type and format of each column of a RowDescription."""
        (count,) = struct.unpack_from("!H", self.body)
        columns = []
        place = 2
        for _ in range(count):
            end = self.body.index(b"\0", place)
            _, _, oid, _, _, form = struct.unpack_from("!IHIhih", self.body, end + 1)
            columns.append((self.body[place:end].decode(), oid, form))
            place = end + 19
        if place != len(self.body):
            raise WireError("bytes after the last column")
        return columns


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def startup(user: str, database: str, *, version: int = 0x30000, **options: str) -> bytes:
    pairs = {"user": user, "database": database, **options}
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in pairs.items())
    return struct.pack("!II", len(body) + 9, version) + body + b"\0"


def query(text: str) -> bytes:
    return message("Q", text.encode() + b"\0")


def parse(text: str, name: str = "", types: Sequence[int] = ()) -> bytes:
    return message("P", f"{name}\0{text}\0".encode() + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(
    portal: str = "",
    name: str = "",
    parameters: Sequence[bytes | None] = (),
    formats: Sequence[int] = (),
    binary: int = 0,
) -> bytes:
    """A Bind; `binary` 1 asks for all results in binary."""
    body = f"{portal}\0{name}\0".encode() + struct.pack(f"!H{len(formats)}H", len(formats), *formats)
    body += struct.pack("!H", len(parameters))
    for value in parameters:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message("B", body + struct.pack("!HH", 1, binary))


def describe(kind: str, name: str = "") -> bytes:
    return message("D", f"{kind}{name}\0".encode())


def execute(portal: str = "", limit: int = 0) -> bytes:
    return message("E", portal.encode() + b"\0" + struct.pack("!I", limit))


SYNC = message("S")
FLUSH = message("H")
TERMINATE = message("X")


class Wire:
    """A connection. `number` and `key` are what BackendKeyData said."""

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self.socket: socket.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.address = "{}:{}".format(*self.socket.getsockname())
        self.parameters: dict[str, str] = {}
        self.number = 0
        self.key = b""
        self._buffer = b""
        self._place = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def start_tls(self, context: ssl.SSLContext, host: str = "localhost") -> None:
        self.send(SSL_REQUEST)
        if (answer := self.socket.recv(1)) != b"S":
            raise WireError(f"the answer to SSLRequest is {answer!r}")
        self.socket = context.wrap_socket(self.socket, server_hostname=host)

    def read(self) -> Message:
        """The next message. Raises EOFError at the end of the stream, WireError if it ends within one."""
        head = self._take(5, at_start=True)
        (length,) = struct.unpack("!I", head[1:])
        if head[0] not in BACKEND_MESSAGES or not 4 <= length <= 1 << 30:
            raise WireError(f"not a message: {head!r}")
        return Message(chr(head[0]), self._take(length - 4))

    def read_until(self, kinds: str = "Z") -> list[Message]:
        """Messages up to and with one of `kinds`."""
        messages = [self.read()]
        while messages[-1].kind not in kinds:
            messages.append(self.read())
        return messages

    def rest(self) -> bytes:
        """All bytes until the peer closes."""
        data = self._buffer[self._place :]
        try:
            while chunk := self.socket.recv(65536):
                data += chunk
        except ConnectionResetError:
            pass
        self._buffer, self._place = b"", 0
        return data

    def log_in(self, user: str, password: str, database: str = "shop", **options: str) -> Self:
        """StartupMessage, whatever password exchange the server asks for, and all up to ReadyForQuery."""
        self.send(startup(user, database, **options))
        self.authenticate(password)
        return self.until_ready()

    def authenticate(self, password: str) -> None:
        """Answer the server's Authentication messages up to AuthenticationOk."""
        while (code := self._authentication()) != (0, b""):
            match code:
                case (3, b""):
                    self.send(message("p", password.encode() + b"\0"))
                case (10, mechanisms) if b"SCRAM-SHA-256" in mechanisms.split(b"\0"):
                    self._scram(password)
                case _:
                    raise WireError(f"an authentication that this client does not know: {code!r}")

    def bearer(self, token: str) -> Message:
        """OAUTHBEARER (RFC 7628): the server's answer to the initial response."""
        code, mechanisms = self._authentication()
        if code != 10 or b"OAUTHBEARER" not in mechanisms.split(b"\0"):
            raise WireError(f"OAUTHBEARER is not offered: {mechanisms!r}")
        initial = f"n,,\x01auth=Bearer {token}\x01\x01".encode()
        self.send(message("p", b"OAUTHBEARER\0" + struct.pack("!I", len(initial)) + initial))
        return self.read()

    def until_ready(self) -> Self:
        for answer in self.read_until("Z"):
            match answer.kind:
                case "S":
                    name, value, _ = answer.body.split(b"\0")
                    self.parameters[name.decode()] = value.decode()
                case "K":
                    (self.number,) = struct.unpack_from("!I", answer.body)
                    self.key = answer.body[4:]
                case "E":
                    raise WireError(str(answer.fields))
        return self

    def query(self, text: str) -> list[Message]:
        self.send(query(text))
        return self.read_until("Z")

    def cancel_request(self) -> bytes:
        """The CancelRequest for this session."""
        return struct.pack("!III", 12 + len(self.key), 80877102, self.number) + self.key

    def _take(self, count: int, *, at_start: bool = False) -> bytes:
        while len(self._buffer) - self._place < count:
            chunk = self.socket.recv(1 << 18)
            if not chunk:
                if at_start and len(self._buffer) == self._place:
                    raise EOFError
                raise WireError("the stream ends within a message")
            self._buffer = self._buffer[self._place :] + chunk
            self._place = 0
        self._place += count
        return self._buffer[self._place - count : self._place]

    def _authentication(self) -> tuple[int, bytes]:
        answer = self.read()
        if answer.kind == "v":
            answer = self.read()
        if answer.kind == "E":
            raise WireError(str(answer.fields))
        if answer.kind != "R":
            raise WireError(f"expected an Authentication message, got {answer.kind}")
        return struct.unpack_from("!I", answer.body)[0], answer.body[4:]

    def _scram(self, password: str) -> None:
        """SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677)."""
        nonce = secrets.token_urlsafe(18)
        bare = f"n=,r={nonce}"
        initial = f"n,,{bare}".encode()
        self.send(message("p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(initial)) + initial))
        _, first = self._authentication()
        parts = dict(part.split("=", 1) for part in first.decode().split(","))
        if not parts["r"].startswith(nonce):
            raise WireError("the server's nonce does not begin with ours")
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={parts['r']}"
        exchange = f"{bare},{first.decode()},{final}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), exchange, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
        self.send(message("p", f"{final},p={proof}".encode()))
        _, last = self._authentication()
        expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), exchange, "sha256")
        if last != b"v=" + base64.b64encode(expected):
            raise WireError("the server does not know the password either")


def texts(data: bytes | None, oid: int, form: int) -> list[str | None]:
    """The values in a cell as texts: one, or an array's elements."""
    if data is None:
        return [None]
    if form == 0:
        return [data.decode()]
    if oid in ARRAY_ELEMENTS:
        return _array(data, ARRAY_ELEMENTS[oid])
    match oid:
        case 20 | 23 | 21 | 26:
            return [str(int.from_bytes(data, signed=True))]
        case 1700:
            return [_numeric(data)]
        case 3802:
            if data[:1] != b"\x01":
                raise WireError("jsonb of an unknown version")
            return [data[1:].decode()]
        case 701:
            return [repr(struct.unpack("!d", data)[0])]
    return [data.decode()]


def _numeric(data: bytes) -> str:
    count, weight, sign, scale = struct.unpack_from("!HhHH", data)
    if len(data) != 8 + 2 * count:
        raise WireError("a numeric of a wrong length")
    value = sum(
        (
            Decimal(digit).scaleb(4 * (weight - place))
            for place, digit in enumerate(struct.unpack_from(f"!{count}H", data, 8))
        ),
        Decimal(0),
    )
    return f"{-value if sign == 0x4000 else value:.{scale}f}"


def _array(data: bytes, element: int) -> list[str | None]:
    dimensions, _, oid = struct.unpack_from("!iiI", data)
    if oid != element or not 0 <= dimensions <= 6:
        raise WireError("an array of another type")
    place = 12 + 8 * dimensions
    values: list[str | None] = []
    while place < len(data):
        (length,) = struct.unpack_from("!i", data, place)
        place += 4
        if place + max(length, 0) > len(data):
            raise WireError("an element is longer than its array")
        values += texts(None if length < 0 else data[place : place + length], element, 1)
        place += max(length, 0)
    return values
