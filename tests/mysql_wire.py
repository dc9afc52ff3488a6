"""MySQL's bytes, as a client and a server write them; apart from the product's own encoders on purpose."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

CAPABILITIES = 0x00BFA20D | 1 << 24  # what clients ask for, EOF packets left out
SESSION_TRACK = 1 << 23
DEPRECATE_EOF = 1 << 24
LOCAL_FILES = 1 << 7
SSL = 1 << 11

QUIT, INIT_DB, QUERY, FIELD_LIST, PING = 0x01, 0x02, 0x03, 0x04, 0x0E
PREPARE, EXECUTE, LONG_DATA, CLOSE, RESET, FETCH = 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1C

QUERY_ATTRIBUTES = 1 << 27
# MariaDB says that it is no MySQL by leaving out the first.
IS_MYSQL = 1 << 0
PROGRESS, BULK_OPERATIONS, EXTENDED_METADATA, CACHE_METADATA = 1 << 32, 1 << 34, 1 << 35, 1 << 36
MYSQL = 0xFFFFF7FF
MARIADB = 0x81BFF7FE | PROGRESS | BULK_OPERATIONS | EXTENDED_METADATA | CACHE_METADATA

NONCE = b"12345678abcdefghijkl"
NULL = b"\xfb"


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((number & 0xFF,)) + payload


def packets(first: int, *payloads: bytes) -> bytes:
    return b"".join(packet(first + index, payload) for index, payload in enumerate(payloads))


def split(data: bytes) -> list[tuple[int, bytes]]:
    """The packets of whole bytes: number and payload."""
    found = []
    while data:
        length = int.from_bytes(data[:3], "little")
        assert len(data) >= 4 + length, "a packet is not whole"
        found.append((data[3], data[4 : 4 + length]))
        data = data[4 + length :]
    return found


def counted(data: bytes) -> bytes:
    if len(data) < 251:
        return bytes((len(data),)) + data
    if len(data) < 1 << 16:
        return b"\xfc" + struct.pack("<H", len(data)) + data
    if len(data) < 1 << 24:
        return b"\xfd" + len(data).to_bytes(3, "little") + data
    return b"\xfe" + struct.pack("<Q", len(data)) + data


def command(kind: int, body: bytes = b"") -> bytes:
    return packet(0, bytes((kind,)) + body)


def query(text: str) -> bytes:
    return command(QUERY, text.encode())


# What a client says of itself.


def login(
    user: str = "agent",
    *,
    proof: bytes = b"x" * 32,
    plugin: str = "caching_sha2_password",
    database: str = "shop",
    capabilities: int = CAPABILITIES,
    collation: int = 45,
    number: int = 1,
    attributes: bytes | None = None,
) -> bytes:
    """The capabilities' upper half is in the place of MariaDB's own."""
    capabilities |= 8 if database else 0
    capabilities |= 1 << 20 if attributes is not None else 0
    return packet(
        number,
        client_head(capabilities, collation)
        + user.encode()
        + b"\0"
        + counted(proof)
        + (database.encode() + b"\0" if database else b"")
        + plugin.encode()
        + b"\0"
        + (counted(attributes) if attributes is not None else b""),
    )


def ssl_request(capabilities: int = CAPABILITIES) -> bytes:
    return packet(1, client_head(capabilities | SSL))


def client_head(capabilities: int, collation: int = 45) -> bytes:
    return struct.pack("<IIB19xI", capabilities & 0xFFFFFFFF, 1 << 24, collation, capabilities >> 32)


def sha1(data: bytes) -> bytes:
    return hashlib.sha1(data).digest()


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def native_proof(password: str, nonce: bytes) -> bytes:
    once = sha1(password.encode())
    return xor(once, sha1(nonce + sha1(once)))


def sha2_proof(password: str, nonce: bytes) -> bytes:
    once = sha256(password.encode())
    return xor(once, sha256(sha256(once) + nonce))


# What a server says.


def greeting(
    *,
    version: str = "8.4.0",
    capabilities: int = MYSQL,
    plugin: str = "caching_sha2_password",
    number: int = 4711,
    nonce: bytes = NONCE,
) -> bytes:
    return packet(
        0,
        b"\x0a"
        + version.encode()
        + b"\0"
        + struct.pack("<I", number)
        + nonce[:8]
        + b"\0"
        + struct.pack("<HBHHB6xI", capabilities & 0xFFFF, 45, 2, capabilities >> 16 & 0xFFFF, 21, capabilities >> 32)
        + nonce[8:]
        + b"\0"
        + plugin.encode()
        + b"\0",
    )


def ok(*, affected: int = 0, last_id: int = 0, status: int = 2, info: bytes = b"", head: int = 0) -> bytes:
    return bytes((head, affected, last_id)) + struct.pack("<HH", status, 0) + info


def eof(status: int = 2) -> bytes:
    return struct.pack("<BHH", 0xFE, 0, status)


def err(code: int = 1064, text: str = "syntax error", state: str = "42000") -> bytes:
    return struct.pack("<BH", 0xFF, code) + b"#" + state.encode() + text.encode()


def definition(
    name: str,
    kind: int = 253,
    *,
    collation: int = 45,
    flags: int = 0,
    table: str = "",
    own_name: str = "",
    more: bytes | None = None,
) -> bytes:
    """`more` is what MariaDB says of the type besides."""
    texts: tuple[bytes, ...] = (
        b"def",
        b"shop" if table else b"",
        table.encode(),
        table.encode(),
        name.encode(),
        own_name.encode(),
    )
    if more is not None:
        texts += (more,)
    return b"".join(map(counted, texts)) + b"\x0c" + struct.pack("<HIBHB2x", collation, 1024, kind, flags, 0)


def progress(text: str = "copy to tmp table", *, stage: int = 1, stages: int = 2, done: int = 500) -> bytes:
    return b"\xff\xff\xff" + bytes((1, stage, stages)) + done.to_bytes(3, "little") + counted(text.encode())


def field(name: str, default: str | None, *, table: str = "t", more: bytes | None = None) -> bytes:
    """A column definition with a default value."""
    return definition(name, table=table, own_name=name, more=more) + text_row(default)


def text_row(*cells: str | bytes | None) -> bytes:
    return b"".join(
        NULL if cell is None else counted(cell.encode() if isinstance(cell, str) else cell) for cell in cells
    )


def result(definitions: Sequence[bytes], rows: Sequence[bytes], *, first: int = 1, status: int = 2) -> bytes:
    """A result with DEPRECATE_EOF."""
    return packets(first, bytes((len(definitions),)), *definitions, *rows, ok(head=0xFE, status=status))


SETTINGS = (
    [definition(name) for name in ("@@sql_mode", "@@character_set_client", "@@character_set_results", "DATABASE()")],
    [text_row("STRICT_TRANS_TABLES", "utf8mb4", "utf8mb4", "shop")],
)


def settings(
    mode: str = "STRICT_TRANS_TABLES",
    client: str = "utf8mb4",
    results: str | None = "utf8mb4",
    database: str | None = "shop",
) -> bytes:
    """The answer to gatepost's own question at the login."""
    return result(SETTINGS[0], [text_row(mode, client, results, database)])
