"""One value of a PostgreSQL type: from its binary form to the text that the server would show, and back.

A `write` that a text does not fit raises ValueError. A `read` of bytes that are not of the type raises ValueError,
struct.error, LookupError or OverflowError, which `types` turns into one.

Source: the types' send and receive functions, PostgreSQL 18, src/backend/utils/adt.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import ip_interface, ip_network
from typing import Final, NamedTuple
from uuid import UUID

import msgspec


class Codec(NamedTuple):
    """How a type's values are read from their binary form and written to it.

    `accepts` tells, by raising ValueError where not, whether the type's text form can be this text.
    """

    read: Callable[[bytes], str]
    write: Callable[[str], bytes]
    accepts: Callable[[str], object]


def codec(read: Callable[[bytes], str], write: Callable[[str], bytes]) -> Codec:
    """A codec of a type whose text form is what its binary form is written from."""
    return Codec(read, write, write)


def _read_text(data: bytes) -> str:
    return data.decode()


def write_text(text: str) -> bytes:
    if "\0" in text:
        raise ValueError("a text cannot hold a NUL")
    return text.encode()


def read_only(text: str) -> bytes:
    """The `write` of a type whose values are not written."""
    raise ValueError("values of this type are not written")


def _read_char(data: bytes) -> str:
    (byte,) = data
    return chr(byte).strip("\0") if byte < 0x80 else f"\\{byte:03o}"


def _write_char(text: str) -> bytes:
    data = write_text(text)
    if len(data) > 1:
        raise ValueError("one byte was expected")
    return data


def _read_bool(data: bytes) -> str:
    return {b"\0": "f", b"\1": "t"}[data]


_TRUTHS: Final = {"t": b"\1", "true": b"\1", "f": b"\0", "false": b"\0"}


def _write_bool(text: str) -> bytes:
    if text not in _TRUTHS:
        raise ValueError("t or f was expected")
    return _TRUTHS[text]


def _read_versioned(data: bytes) -> str:
    if not data.startswith(b"\1"):
        raise ValueError("the version of the value is unknown")
    return data[1:].decode()


def _write_json(text: str) -> bytes:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("JSON was expected") from None
    return write_text(text)


def _write_jsonb(text: str) -> bytes:
    return b"\1" + _write_json(text)


def _write_jsonpath(text: str) -> bytes:
    return b"\1" + write_text(text)


def _bit_string(data: bytes) -> str:
    (length,) = struct.unpack_from("!i", data)
    if length < 0 or len(data) != 4 + (length + 7) // 8:
        raise ValueError("a bit string has another length than it says")
    return f"{int.from_bytes(data[4:]):b}".rjust(8 * (len(data) - 4), "0")[:length] if length else ""


def _write_bit_string(text: str) -> bytes:
    if text.strip("01"):
        raise ValueError("zeros and ones were expected")
    size = (len(text) + 7) // 8
    return struct.pack("!i", len(text)) + int(text.ljust(8 * size, "0") or "0", 2).to_bytes(size)


def _read_uuid(data: bytes) -> str:
    return str(UUID(bytes=data))


def _write_uuid(text: str) -> bytes:
    return UUID(text).bytes


def _read_inet(data: bytes) -> str:
    family, prefix, is_cidr, size = struct.unpack_from("!4B", data)
    if (family, size) not in ((2, 4), (3, 16)) or len(data) != 4 + size:
        raise ValueError("an address of an unknown family")
    if is_cidr:
        return str(ip_network((data[4:], prefix)))
    interface = ip_interface((data[4:], prefix))
    return str(interface.ip) if prefix == 8 * size else str(interface)


def _write_inet(text: str) -> bytes:
    interface = ip_interface(text)
    data = interface.ip.packed
    return struct.pack("!4B", 2 if interface.version == 4 else 3, interface.network.prefixlen, 0, len(data)) + data


def _write_cidr(text: str) -> bytes:
    network = ip_network(text)
    data = network.network_address.packed
    return struct.pack("!4B", 2 if network.version == 4 else 3, network.prefixlen, 1, len(data)) + data


def _hardware_address(size: int) -> Codec:
    def read(data: bytes) -> str:
        if len(data) != size:
            raise ValueError("a hardware address has another length")
        return data.hex(":")

    def write(text: str) -> bytes:
        data = bytes.fromhex(text.replace(":", ""))
        if len(data) != size:
            raise ValueError("a hardware address has another length")
        return data

    return codec(read, write)


def _read_tid(data: bytes) -> str:
    block, offset = struct.unpack("!IH", data)
    return f"({block},{offset})"


def _read_lsn(data: bytes) -> str:
    high, low = struct.unpack("!II", data)
    return f"{high:X}/{low:X}"


def _read_tsvector(data: bytes) -> str:
    """The lexemes, quoted, with their positions and weights."""
    (count,) = struct.unpack_from("!i", data)
    at = 4
    lexemes = []
    if not 0 <= count <= len(data) // 3:
        raise ValueError("a text search vector has another length than it says")
    for _ in range(count):
        end = data.index(b"\0", at)
        (positions,) = struct.unpack_from("!H", data, end + 1)
        places = struct.unpack_from(f"!{positions}H", data, end + 3)
        lexeme = data[at:end].decode().replace("\\", "\\\\").replace("'", "''")
        shown = ",".join(f"{place & 0x3FFF}{' CBA'[place >> 14].strip()}" for place in places)
        lexemes.append(f"'{lexeme}'" + (":" + shown if shown else ""))
        at = end + 3 + 2 * positions
    if at != len(data):
        raise ValueError("a text search vector has another length than it says")
    return " ".join(lexemes)


TEXT: Final = codec(_read_text, write_text)
CHAR: Final = codec(_read_char, _write_char)
BOOL: Final = codec(_read_bool, _write_bool)
BYTEA: Final = codec(bytes.hex, bytes.fromhex)
JSON: Final = codec(_read_text, _write_json)
JSONB: Final = codec(_read_versioned, _write_jsonb)
JSONPATH: Final = codec(_read_versioned, _write_jsonpath)
BIT: Final = codec(_bit_string, _write_bit_string)
UUID_: Final = codec(_read_uuid, _write_uuid)
INET: Final = codec(_read_inet, _write_inet)
CIDR: Final = codec(_read_inet, _write_cidr)
MACADDR: Final = _hardware_address(6)
MACADDR8: Final = _hardware_address(8)
TID: Final = codec(_read_tid, read_only)
LSN: Final = codec(_read_lsn, read_only)
TSVECTOR: Final = codec(_read_tsvector, read_only)
