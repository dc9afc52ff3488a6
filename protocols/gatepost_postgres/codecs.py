"""One value of a PostgreSQL type: from its binary form to the text that the server would show, and back.

A `write` that a text does not fit raises ValueError. A `read` of bytes that are not of the type raises ValueError,
struct.error, LookupError or OverflowError, which `types` turns into one.

Source: the types' send and receive functions, PostgreSQL 18, src/backend/utils/adt.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from decimal import Decimal
from ipaddress import ip_interface, ip_network
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
import numpy as np


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


def _write_text(text: str) -> bytes:
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
    data = _write_text(text)
    if len(data) > 1:
        raise ValueError("one byte was expected")
    return data


# Numbers

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,20}", re.ASCII)
_DECIMAL: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,6})?|NaN|[-+]?Infinity", re.ASCII)


def _integer(fmt: str) -> Codec:
    packer = struct.Struct(fmt)
    size = packer.size

    def read(data: bytes) -> str:
        return str(packer.unpack(data)[0])

    def write(text: str) -> bytes:
        if not _INTEGER.fullmatch(text):
            raise ValueError("an integer was expected")
        try:
            return packer.pack(int(text))
        except struct.error:
            raise ValueError(f"the number does not fit into {size} bytes") from None

    return codec(read, write)


def _float(fmt: str, shortest: Callable[[float], str]) -> Codec:
    packer = struct.Struct(fmt)

    def read(data: bytes) -> str:
        return _show_float(packer.unpack(data)[0], shortest, 15 if packer.size == 8 else 6)

    def write(text: str) -> bytes:
        if not _DECIMAL.fullmatch(text):
            raise ValueError("a number was expected")
        try:
            return packer.pack(float(text))
        except OverflowError:
            raise ValueError("the number is too large for its type") from None

    return codec(read, write)


def _show_float(value: float, shortest: Callable[[float], str], point_limit: int) -> str:
    """As float8out does: the fewest digits that read back the same, an exponent below -4 and from `point_limit` on."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    mantissa, _, exponent = shortest(value).partition("e")
    power = int(exponent)
    if power < -4 or power >= point_limit:
        return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02}"
    sign = "-" if mantissa.startswith("-") else ""
    digits = mantissa.lstrip("-").replace(".", "")
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    whole, fraction = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def _shortest4(value: float) -> str:
    return np.format_float_scientific(np.float32(value), trim="-", exp_digits=1)


def _shortest8(value: float) -> str:
    return np.format_float_scientific(np.float64(value), trim="-", exp_digits=1)


_numeric_header: Final = struct.Struct("!HhHH")
_NUMERIC_SIGNS: Final = {0x0000: "", 0x4000: "-"}
_NUMERIC_SPECIALS: Final = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
# More zeros than this are shown as an exponent, so that a few bytes cannot become a text of 100 KB.
_NUMERIC_ZEROS: Final = 1024


def _read_numeric(data: bytes) -> str:
    count, weight, sign, scale = _numeric_header.unpack_from(data)
    if len(data) != _numeric_header.size + 2 * count:
        raise ValueError("a numeric has another length than it says")
    if sign in _NUMERIC_SPECIALS:
        return _NUMERIC_SPECIALS[sign]
    if sign not in _NUMERIC_SIGNS or scale > 0x3FFF:
        raise ValueError("a numeric has an unknown sign or scale")
    groups = struct.unpack_from(f"!{count}H", data, _numeric_header.size)
    if any(group > 9999 for group in groups):
        raise ValueError("a digit of a numeric is out of range")
    digits = "".join(f"{group:04}" for group in groups)
    point = 4 * (weight + 1)  # where the decimal point stands in `digits`
    if max(point - len(digits), -point, scale - max(len(digits) - point, 0)) > _NUMERIC_ZEROS:
        stripped = digits.strip("0")
        if not stripped:
            return "0"
        power = point - (len(digits) - len(digits.lstrip("0"))) - len(stripped)
        return f"{_NUMERIC_SIGNS[sign]}{stripped}e{power:+}"
    whole = digits[: max(point, 0)].ljust(max(point, 0), "0").lstrip("0") or "0"
    fraction = ("0" * max(-point, 0) + digits[max(point, 0) :])[:scale].ljust(scale, "0")
    return _NUMERIC_SIGNS[sign] + whole + ("." + fraction if scale else "")


def _write_numeric(text: str) -> bytes:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("a number was expected")
    for sign, name in _NUMERIC_SPECIALS.items():
        if text.lstrip("+") == name:
            return _numeric_header.pack(0, 0, sign, 0)
    negative, values, exponent = Decimal(text).as_tuple()
    if not isinstance(exponent, int) or len(values) + abs(exponent) > 131072 + 16383:
        raise ValueError("the number is too large for its type")
    scale = max(-exponent, 0)
    if scale > 0x3FFF:
        raise ValueError("the number has too many decimal places for its type")
    digits = "".join(map(str, values)) + "0" * max(exponent, 0)
    # The decimal point has to fall between two groups of four.
    digits += "0" * (-scale % 4)
    fraction_groups = -(-scale // 4)
    digits = digits.rjust(-(-len(digits) // 4) * 4, "0")
    groups = [int(digits[i : i + 4]) for i in range(0, len(digits), 4)]
    weight = len(groups) - fraction_groups - 1
    while groups and groups[-1] == 0:
        groups.pop()
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    if not groups:
        return _numeric_header.pack(0, 0, 0, scale)
    if weight > 0x7FFF:
        raise ValueError("the number is too large for its type")
    return _numeric_header.pack(len(groups), weight, 0x4000 if negative else 0, scale) + struct.pack(
        f"!{len(groups)}H", *groups
    )


_int8: Final = struct.Struct("!q")
_CENTS: Final = re.compile(r"(-?)([0-9]{1,17})\.([0-9]{2})", re.ASCII)


def _read_money(data: bytes) -> str:
    (cents,) = _int8.unpack(data)
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _write_money(text: str) -> bytes:
    match = _CENTS.fullmatch(text)
    if match is None:
        raise ValueError("an amount with two decimal places was expected")
    return _int8.pack(int(match[1] + match[2] + match[3]))


def _read_bool(data: bytes) -> str:
    return {b"\0": "f", b"\1": "t"}[data]


_TRUTHS: Final = {"t": b"\1", "true": b"\1", "f": b"\0", "false": b"\0"}


def _write_bool(text: str) -> bytes:
    if text not in _TRUTHS:
        raise ValueError("t or f was expected")
    return _TRUTHS[text]


# Bytes and bits


def _read_versioned(data: bytes) -> str:
    if not data.startswith(b"\1"):
        raise ValueError("the version of the value is unknown")
    return data[1:].decode()


def _write_json(text: str) -> bytes:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("JSON was expected") from None
    return _write_text(text)


def _write_jsonb(text: str) -> bytes:
    return b"\1" + _write_json(text)


def _write_jsonpath(text: str) -> bytes:
    return b"\1" + _write_text(text)


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


# Addresses


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


# Shapes


def _floats(template: str) -> Callable[[bytes], str]:
    """A reader of a fixed number of float8, shown in a template with a brace pair for each."""
    count = template.count("{}")
    packer = struct.Struct(f"!{count}d")

    def read(data: bytes) -> str:
        return template.format(*(_show_float(value, _shortest8, 15) for value in packer.unpack(data)))

    return read


def _points(data: bytes, opening: str, closing: str) -> str:
    (count,) = struct.unpack_from("!i", data)
    if count < 0 or len(data) != 4 + 16 * count:
        raise ValueError("a shape has another length than it says")
    point = _floats("({},{})")
    return opening + ",".join(point(data[i : i + 16]) for i in range(4, len(data), 16)) + closing


def _read_polygon(data: bytes) -> str:
    return _points(data, "(", ")")


def _read_path(data: bytes) -> str:
    return _points(data[1:], "(", ")") if data[:1] == b"\1" else _points(data[1:], "[", "]")


# Text search


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


TEXT: Final = codec(_read_text, _write_text)
CHAR: Final = codec(_read_char, _write_char)
INT2: Final = _integer("!h")
INT4: Final = _integer("!i")
INT8: Final = _integer("!q")
UINT4: Final = _integer("!I")
UINT8: Final = _integer("!Q")
OBJECT: Final = Codec(UINT4.read, UINT4.write, _write_text)
FLOAT4: Final = _float("!f", _shortest4)
FLOAT8: Final = _float("!d", _shortest8)
NUMERIC: Final = codec(_read_numeric, _write_numeric)
MONEY: Final = codec(_read_money, _write_money)
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
POINT: Final = codec(_floats("({},{})"), read_only)
LSEG: Final = codec(_floats("[({},{}),({},{})]"), read_only)
BOX: Final = codec(_floats("({},{}),({},{})"), read_only)
LINE: Final = codec(_floats("{{{},{},{}}}"), read_only)
CIRCLE: Final = codec(_floats("<({},{}),{}>"), read_only)
PATH: Final = codec(_read_path, read_only)
POLYGON: Final = codec(_read_polygon, read_only)
TSVECTOR: Final = codec(_read_tsvector, read_only)
