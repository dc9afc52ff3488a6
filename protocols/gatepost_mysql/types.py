"""MySQL's types: what a cell's bytes mean, as text and in binary, and how another value is written.

Source: MySQL internals manual, "Column Types", "Binary Protocol Value" and "ProtocolText::ResultsetRow".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from gatepost.values import Kind, Scalar
from gatepost_mysql import charsets
from gatepost_mysql.times import read_time, write_time

UNSIGNED: Final = 0x20
_ENUM: Final = 0x100
_SET: Final = 0x800

# How long a value is in binary, if not of a fixed length.
COUNTED: Final = 0
TEMPORAL: Final = -1

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,20}", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?", re.ASCII)
# From here on a double's digits are not all its own.
_WHOLE_FLOAT: Final = 10**17


class Malformed(ValueError):
    """Bytes are not a value of their type; the message quotes nothing of them."""


class Type(Struct, frozen=True):
    """A type as a column or a parameter has it.

    Attributes:
        name: MySQL's.
        kind: what its values are.
        width: how many bytes a value has in binary, or COUNTED, or TEMPORAL.
        is_unsigned: an integer has no sign.
        is_bits: an integer that travels as bytes, the highest first.
    """

    name: str
    kind: Kind
    width: int = COUNTED
    is_unsigned: bool = False
    is_bits: bool = False

    @property
    def capacity(self) -> int:
        """Bytes that an integer holds, else 0."""
        if self.kind is not Kind.INTEGER:
            return 0
        return 8 if self.is_bits else self.width

    @property
    def is_text(self) -> bool:
        """In a text row its values are characters, which show by themselves what they hold.

        A float's digits may be moved by an exponent, so that a number in it does not show.
        """
        return self.kind not in (Kind.BYTES, Kind.FLOAT) and not self.is_bits

    @property
    def is_binary_text(self) -> bool:
        """The same in a binary row."""
        return self.is_text and self.width == COUNTED


# Code -> name, kind and width.
_CODES: Final[Mapping[int, tuple[str, Kind, int]]] = {
    0: ("decimal", Kind.DECIMAL, COUNTED),
    1: ("tinyint", Kind.INTEGER, 1),
    2: ("smallint", Kind.INTEGER, 2),
    3: ("int", Kind.INTEGER, 4),
    4: ("float", Kind.FLOAT, 4),
    5: ("double", Kind.FLOAT, 8),
    6: ("null", Kind.OTHER, COUNTED),
    7: ("timestamp", Kind.TIME, TEMPORAL),
    8: ("bigint", Kind.INTEGER, 8),
    9: ("mediumint", Kind.INTEGER, 4),
    10: ("date", Kind.TIME, TEMPORAL),
    11: ("time", Kind.TIME, TEMPORAL),
    12: ("datetime", Kind.TIME, TEMPORAL),
    13: ("year", Kind.INTEGER, 2),
    14: ("date", Kind.TIME, TEMPORAL),
    15: ("varchar", Kind.TEXT, COUNTED),
    17: ("timestamp", Kind.TIME, TEMPORAL),
    18: ("datetime", Kind.TIME, TEMPORAL),
    19: ("time", Kind.TIME, TEMPORAL),
    242: ("vector", Kind.BYTES, COUNTED),
    245: ("json", Kind.JSON, COUNTED),
    246: ("decimal", Kind.DECIMAL, COUNTED),
    247: ("enum", Kind.TEXT, COUNTED),
    248: ("set", Kind.TEXT, COUNTED),
    249: ("tinytext", Kind.TEXT, COUNTED),
    250: ("mediumtext", Kind.TEXT, COUNTED),
    251: ("longtext", Kind.TEXT, COUNTED),
    252: ("text", Kind.TEXT, COUNTED),
    253: ("varchar", Kind.TEXT, COUNTED),
    254: ("char", Kind.TEXT, COUNTED),
    255: ("geometry", Kind.BYTES, COUNTED),
}
_BIT: Final = 16
_BINARY_NAMES: Final = {
    "varchar": "varbinary",
    "char": "binary",
    "text": "blob",
    "tinytext": "tinyblob",
    "mediumtext": "mediumblob",
    "longtext": "longblob",
}
_SHARED: dict[tuple[int, int, bool], Type] = {}


def of(code: int, flags: int, collation: int) -> Type | None:
    """The type that a column's code, flags and collation say, or None if there is no such type."""
    is_binary = collation == charsets.BINARY
    key = (code, flags & (UNSIGNED | _ENUM | _SET), is_binary)
    known = _SHARED.get(key)
    if known is None:
        known = _type(code, flags, is_binary=is_binary)
        if known is not None:
            _SHARED[key] = known
    return known


def _type(code: int, flags: int, *, is_binary: bool) -> Type | None:
    if code == _BIT:
        return Type("bit", Kind.INTEGER, COUNTED, is_unsigned=True, is_bits=True)
    if code not in _CODES:
        return None
    name, kind, width = _CODES[code]
    if kind is Kind.TEXT and is_binary and name in _BINARY_NAMES:
        return Type(_BINARY_NAMES[name], Kind.BYTES)
    if flags & _ENUM:
        name = "enum"
    elif flags & _SET:
        name = "set"
    return Type(name, kind, width, is_unsigned=bool(flags & UNSIGNED))


_FORMATS: Final = {1: "<b", 2: "<h", 4: "<i", 8: "<q"}
_UNSIGNED_FORMATS: Final = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
_FLOATS: Final = {4: "<f", 8: "<d"}


def _format(type_: Type) -> str:
    if type_.kind is Kind.FLOAT:
        return _FLOATS[type_.width]
    return (_UNSIGNED_FORMATS if type_.is_unsigned else _FORMATS)[type_.width]


def _show_float(value: float, width: int) -> str:
    if value == int(value) if abs(value) < _WHOLE_FLOAT else False:
        return str(int(value))
    return f"{value:.9g}" if width == 4 else repr(value)


def scalar(type_: Type, data: bytes, *, is_binary: bool) -> Scalar:
    """The value of a cell, not NULL. Raises Malformed."""
    try:
        return Scalar(type_.kind, _read(type_, data, is_binary=is_binary), type_.capacity)
    except (struct.error, ValueError, OverflowError) as error:
        raise Malformed(f"not a value of type {type_.name}") from error


def _read(type_: Type, data: bytes, *, is_binary: bool) -> str:
    if type_.kind is Kind.BYTES:
        return data.hex()
    if type_.is_bits:
        return str(int.from_bytes(data))
    if is_binary and type_.width == TEMPORAL:
        return read_time(type_.name, data)
    if is_binary and type_.width != COUNTED:
        (value,) = struct.unpack(_format(type_), data)
        return _show_float(value, type_.width) if type_.kind is Kind.FLOAT else str(value)
    return data.decode()


def encode(type_: Type, data: bytes, texts: Sequence[str | None], *, is_binary: bool) -> bytes | None:
    """The same cell with another text, None for NULL.

    Raises ValueError where the type cannot hold it or there is not one text, Malformed as `scalar` does.
    """
    if len(texts) != 1:
        raise ValueError("one text for each scalar was expected")
    (text,) = texts
    if text is None:
        return None
    if text == scalar(type_, data, is_binary=is_binary).text:
        return data
    return _write(type_, text, len(data), is_binary=is_binary)


def whole(type_: Type, text: str, *, is_binary: bool) -> bytes | None:
    """A cell of this type that is `text`, or None where the type cannot hold it."""
    if type_.kind is Kind.BYTES or type_.is_bits:
        return None
    try:
        return _write(type_, text, 0, is_binary=is_binary)
    except ValueError:
        return None


def _write(type_: Type, text: str, size: int, *, is_binary: bool) -> bytes:
    if type_.kind is Kind.BYTES:
        return bytes.fromhex(text)
    if type_.kind is Kind.TEXT or type_.kind is Kind.OTHER:
        return text.encode()
    if type_.kind is Kind.JSON:
        return _json(text)
    if type_.width == TEMPORAL:
        written = write_time(type_.name, text)
        return written if is_binary else text.encode()
    pattern = _PATTERNS[type_.kind]
    if not pattern.fullmatch(text):
        raise ValueError(f"a value of type {type_.name} was expected")
    if type_.is_bits:
        return _fit(lambda: int(text).to_bytes(size))
    if not is_binary or type_.width == COUNTED:
        return text.encode()
    value = float(text) if type_.kind is Kind.FLOAT else int(text)
    return _fit(lambda: struct.pack(_format(type_), value))


_PATTERNS: Final = {Kind.INTEGER: _INTEGER, Kind.DECIMAL: _NUMBER, Kind.FLOAT: _NUMBER}


def _json(text: str) -> bytes:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("a JSON text was expected") from None
    return text.encode()


def _fit(pack: Callable[[], bytes]) -> bytes:
    try:
        return pack()
    except (OverflowError, struct.error):
        raise ValueError("the number does not fit into its type") from None
