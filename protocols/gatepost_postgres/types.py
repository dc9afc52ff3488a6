"""PostgreSQL's types: what a cell's bytes mean, and the same cell with other values.

A cell is a value, or an array, a record or a range of values, each of which is seen as a `Scalar`. A type that is not
known here (an extension's, an enum, a row of a table) says nothing about its bytes; in text format they are text, in
binary format they are taken for what they can only be: text, a record, an array or an hstore, and else for bytes. Where
eight bytes may be a number as well, each of its values is seen.

Source: PostgreSQL 18, pg_type.dat, for the object identifiers, which never change.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from gatepost.values import Kind, Scalar
from gatepost_postgres import codecs, numbers, shapes, times
from gatepost_postgres.codecs import Codec
from gatepost_postgres.containers import (
    MAX_CELLS,
    Cell,
    Parts,
    binary_array,
    binary_hstore,
    binary_multirange,
    binary_range,
    binary_record,
    copy_tuples,
    text_array,
    text_multirange,
    text_range,
    text_record,
    text_vector,
)

TEXT_FORMAT: Final = 0
BINARY_FORMAT: Final = 1

MAX_DEPTH: Final = 16
MAX_SCALARS: Final = MAX_CELLS


class Malformed(ValueError):
    """The bytes are not a value of their type. The text says in what way, and quotes nothing of them."""


# What codecs and containers raise for bytes that are not of their type.
_NOT_OF_TYPE: Final = (ValueError, struct.error, LookupError, OverflowError)

Splitter = Callable[[bytes], Parts]


class Type(NamedTuple):
    """A type.

    Attributes:
        name: as pg_type has it.
        kind: what its values are.
        codec: of a type whose value is one scalar.
        capacity: bytes that an INTEGER holds, else 0.
        element: of an array, its elements' kind.
        split: how a value that holds others is taken apart, by format.
        is_text: its binary form is characters.
    """

    name: str
    kind: Kind
    codec: Codec = codecs.TEXT
    capacity: int = 0
    element: Kind | None = None
    split: tuple[Splitter, Splitter] | None = None
    is_text: bool = False


_TEXT_CODECS: Final = frozenset(map(id, (codecs.TEXT, codecs.CHAR, codecs.JSON, codecs.JSONB, codecs.JSONPATH)))

TEXT_OID: Final = 25
# No type of PostgreSQL: a CopyData of COPY in binary format.
COPY_TUPLES: Final = -1

_BYTEA: Final = 17
_INT8: Final = 20
_FLOAT8: Final = 701
_BOX: Final = 603
_NUMERIC: Final = 1700
_NUMBER_BYTES: Final = 8
_double: Final = struct.Struct("!d")
# A float with fewer digits hides none that are worth a look; beyond the second, not every whole number is one; the
# third is what an integer of eight bytes goes up to.
_FEWEST_WHOLE, _MOST_EXACT, _MOST_WHOLE = 1e11, 2.0**53, 1e19
_FIRST_OWN: Final = 16384  # identifiers from here on are given to what users define

# (type, its array type or 0, name, kind, codec, capacity)
_SCALARS: Final[tuple[tuple[int, int, str, Kind, Codec, int], ...]] = (
    (16, 1000, "bool", Kind.BOOLEAN, codecs.BOOL, 0),
    (17, 1001, "bytea", Kind.BYTES, codecs.BYTEA, 0),
    (18, 1002, "char", Kind.TEXT, codecs.CHAR, 0),
    (19, 1003, "name", Kind.TEXT, codecs.TEXT, 0),
    (20, 1016, "int8", Kind.INTEGER, numbers.INT8, 8),
    (21, 1005, "int2", Kind.INTEGER, numbers.INT2, 2),
    (23, 1007, "int4", Kind.INTEGER, numbers.INT4, 4),
    (24, 1008, "regproc", Kind.OTHER, numbers.OBJECT, 0),
    (25, 1009, "text", Kind.TEXT, codecs.TEXT, 0),
    (26, 1028, "oid", Kind.INTEGER, numbers.UINT4, 4),
    (27, 1010, "tid", Kind.OTHER, codecs.TID, 0),
    (28, 1011, "xid", Kind.INTEGER, numbers.UINT4, 4),
    (29, 1012, "cid", Kind.INTEGER, numbers.UINT4, 4),
    (114, 199, "json", Kind.JSON, codecs.JSON, 0),
    (142, 143, "xml", Kind.TEXT, codecs.TEXT, 0),
    (194, 0, "pg_node_tree", Kind.TEXT, codecs.TEXT, 0),
    (600, 1017, "point", Kind.OTHER, shapes.POINT, 0),
    (601, 1018, "lseg", Kind.OTHER, shapes.LSEG, 0),
    (602, 1019, "path", Kind.OTHER, shapes.PATH, 0),
    (603, 1020, "box", Kind.OTHER, shapes.BOX, 0),
    (604, 1027, "polygon", Kind.OTHER, shapes.POLYGON, 0),
    (628, 629, "line", Kind.OTHER, shapes.LINE, 0),
    (650, 651, "cidr", Kind.OTHER, codecs.CIDR, 0),
    (700, 1021, "float4", Kind.FLOAT, numbers.FLOAT4, 0),
    (701, 1022, "float8", Kind.FLOAT, numbers.FLOAT8, 0),
    (705, 0, "unknown", Kind.TEXT, codecs.TEXT, 0),
    (718, 719, "circle", Kind.OTHER, shapes.CIRCLE, 0),
    (774, 775, "macaddr8", Kind.OTHER, codecs.MACADDR8, 0),
    (790, 791, "money", Kind.DECIMAL, numbers.MONEY, 0),
    (829, 1040, "macaddr", Kind.OTHER, codecs.MACADDR, 0),
    (869, 1041, "inet", Kind.OTHER, codecs.INET, 0),
    (1033, 1034, "aclitem", Kind.TEXT, codecs.TEXT, 0),
    (1042, 1014, "bpchar", Kind.TEXT, codecs.TEXT, 0),
    (1043, 1015, "varchar", Kind.TEXT, codecs.TEXT, 0),
    (1082, 1182, "date", Kind.TIME, times.DATE, 0),
    (1083, 1183, "time", Kind.TIME, times.TIME, 0),
    (1114, 1115, "timestamp", Kind.TIME, times.TIMESTAMP, 0),
    (1184, 1185, "timestamptz", Kind.TIME, times.TIMESTAMPTZ, 0),
    (1186, 1187, "interval", Kind.TIME, times.INTERVAL, 0),
    (1266, 1270, "timetz", Kind.TIME, times.TIMETZ, 0),
    (1560, 1561, "bit", Kind.OTHER, codecs.BIT, 0),
    (1562, 1563, "varbit", Kind.OTHER, codecs.BIT, 0),
    (1700, 1231, "numeric", Kind.DECIMAL, numbers.NUMERIC, 0),
    (1790, 2201, "refcursor", Kind.TEXT, codecs.TEXT, 0),
    (2202, 2207, "regprocedure", Kind.OTHER, numbers.OBJECT, 0),
    (2203, 2208, "regoper", Kind.OTHER, numbers.OBJECT, 0),
    (2204, 2209, "regoperator", Kind.OTHER, numbers.OBJECT, 0),
    (2205, 2210, "regclass", Kind.OTHER, numbers.OBJECT, 0),
    (2206, 2211, "regtype", Kind.OTHER, numbers.OBJECT, 0),
    (2275, 1263, "cstring", Kind.TEXT, codecs.TEXT, 0),
    (2278, 0, "void", Kind.OTHER, codecs.TEXT, 0),
    (2950, 2951, "uuid", Kind.OTHER, codecs.UUID_, 0),
    (3220, 3221, "pg_lsn", Kind.OTHER, codecs.LSN, 0),
    (3614, 3643, "tsvector", Kind.OTHER, codecs.TSVECTOR, 0),
    (3734, 3735, "regconfig", Kind.OTHER, numbers.OBJECT, 0),
    (3769, 3770, "regdictionary", Kind.OTHER, numbers.OBJECT, 0),
    (3802, 3807, "jsonb", Kind.JSON, codecs.JSONB, 0),
    (4072, 4073, "jsonpath", Kind.TEXT, codecs.JSONPATH, 0),
    (4089, 4090, "regnamespace", Kind.OTHER, numbers.OBJECT, 0),
    (4096, 4097, "regrole", Kind.OTHER, numbers.OBJECT, 0),
    (4191, 4192, "regcollation", Kind.OTHER, numbers.OBJECT, 0),
    (5069, 271, "xid8", Kind.INTEGER, numbers.UINT8, 8),
)

# (range, its array type, its multirange, that one's array type, name, type of the bounds)
_RANGES: Final = (
    (3904, 3905, 4451, 6150, "int4", 23),
    (3906, 3907, 4532, 6151, "num", 1700),
    (3908, 3909, 4533, 6152, "ts", 1114),
    (3910, 3911, 4534, 6153, "tstz", 1184),
    (3912, 3913, 4535, 6155, "date", 1082),
    (3926, 3927, 4536, 6157, "int8", 20),
)


def _array_of(oid: int, name: str, kind: Kind) -> Type:
    delimiter = b";" if oid == _BOX else b","

    def text(data: bytes) -> Parts:
        return text_array(data, oid, delimiter)

    return Type("_" + name, Kind.ARRAY, element=kind, split=(text, binary_array))


def _vector_of(oid: int, name: str) -> Type:
    def text(data: bytes) -> Parts:
        return text_vector(data, oid)

    return Type(name, Kind.ARRAY, element=Kind.INTEGER, split=(text, binary_array))


def _range_of(oid: int, name: str) -> Type:
    def text(data: bytes) -> Parts:
        return text_range(data, oid)

    def binary(data: bytes) -> Parts:
        return binary_range(data, oid)

    return Type(name + "range", Kind.OTHER, split=(text, binary))


def _multirange_of(oid: int, name: str) -> Type:
    def text(data: bytes) -> Parts:
        return text_multirange(data, oid)

    def binary(data: bytes) -> Parts:
        return binary_multirange(data, oid)

    return Type(name + "multirange", Kind.OTHER, split=(text, binary))


def _table() -> dict[int, Type]:
    types: dict[int, Type] = {}
    for oid, array, name, kind, codec, capacity in _SCALARS:
        types[oid] = Type(name, kind, codec, capacity, is_text=id(codec) in _TEXT_CODECS)
        types[array] = _array_of(oid, name, kind)
    for oid, array, multirange, its_array, name, bound in _RANGES:
        types[oid] = _range_of(bound, name)
        types[array] = _array_of(oid, types[oid].name, Kind.OTHER)
        types[multirange] = _multirange_of(oid, name)
        types[its_array] = _array_of(multirange, types[multirange].name, Kind.OTHER)
    types[2249] = Type("record", Kind.RECORD, split=(text_record, binary_record))
    types[2287] = _array_of(2249, "record", Kind.RECORD)
    for oid, array, element, name in ((22, 1006, 21, "int2vector"), (30, 1013, 26, "oidvector")):
        types[oid] = _vector_of(element, name)
        types[array] = _array_of(oid, name, Kind.ARRAY)
    types[COPY_TUPLES] = Type("copy", Kind.RECORD, split=(copy_tuples, copy_tuples))
    types.pop(0)
    return types


UNKNOWN: Final = Type("", Kind.OTHER)
TYPES: Final = _table()
_TEXT: Final = TYPES[TEXT_OID]

# Few integers of eight bytes look so (one in 10,000 of those with 19 digits), and much text does.
_WORD: Final = re.compile(rb"[A-Za-z0-9 ,._-]*")
_INVISIBLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _is_characters(data: bytes) -> bool:
    try:
        return not _INVISIBLE.search(data.decode())
    except UnicodeDecodeError:
        return False


def _binary_hstore(data: bytes) -> Parts:
    parts = binary_hstore(data, TEXT_OID)
    if not all(cell is None or _is_characters(cell) for cell in parts.cells):
        raise ValueError("an hstore holds text alone")
    return parts


def _guess(data: bytes) -> Parts | None:
    """What bytes of an unknown type in binary format can be taken apart into, or None."""
    if _is_characters(data):
        return None
    for splitter in (binary_array, binary_record, _binary_hstore):
        try:
            parts = splitter(data)
        except _NOT_OF_TYPE:
            continue
        if all(oid in TYPES or oid >= _FIRST_OWN for oid in parts.oids):
            return parts
    return None


def _looks_like(data: bytes) -> Type:
    """The type whose value these bytes of an unknown type in binary format are taken for.

    Those that can be a number are one: its digits would not be seen in its bytes. In an array or a row, a domain over
    numbers is such a type.
    """
    if _is_characters(data):
        return TYPES[TEXT_OID]
    if len(data) > _NUMBER_BYTES:
        try:
            numbers.NUMERIC.read(data)
        except _NOT_OF_TYPE:
            return TYPES[_BYTEA]
        return TYPES[_NUMERIC]
    return TYPES[_BYTEA]


def _either(data: bytes) -> Parts:
    """Eight bytes of which nothing says what they are: all that they may be. What is changed as one of it is changed.

    They may be an integer; text, if they read as such; and a float, if that is whole and has the digits of a long
    number. Of readable bytes, only an exact float is one: others are as likely as text is.
    """
    is_text = _is_characters(data)
    oids = [TEXT_OID, _INT8] if is_text else [_INT8]
    (number,) = _double.unpack(data)
    if _FEWEST_WHOLE <= abs(number) <= (_MOST_EXACT if is_text else _MOST_WHOLE) and number.is_integer():
        oids.append(_FLOAT8)

    def join(cells: Sequence[Cell]) -> bytes:
        changed = [cell for cell in cells if cell != data]
        if not changed:
            return data
        if len(changed) > 1 or changed[0] is None:
            raise ValueError("a value that may be several cannot be changed as more than one")
        return changed[0]

    return Parts([data] * len(oids), oids, join)


def _split(oid: int, fmt: int, data: bytes, depth: int) -> Parts | Type:
    """The parts of a value that holds others, else its type."""
    if depth > MAX_DEPTH:
        raise Malformed("the value is nested too deeply")
    type_ = TYPES.get(oid)
    if type_ is None:
        if fmt == TEXT_FORMAT:
            return TYPES[TEXT_OID]
        if len(data) == _NUMBER_BYTES and not _WORD.fullmatch(data):
            return _either(data)
        return _guess(data) or _looks_like(data)
    if type_.split is None:
        return type_
    try:
        return type_.split[fmt](data)
    except _NOT_OF_TYPE as error:
        raise Malformed(f"not a value of type {type_.name}") from error


_ESCAPED_BYTE: Final = re.compile(rb"\\(?:([0-3][0-7]{2})|\\)")


def _bytea_text(data: bytes) -> str:
    """Bytes in the text format of bytea, hexadecimal or escaped, as hexadecimal digits."""
    if data.startswith(b"\\x"):
        return bytes.fromhex(data[2:].decode("ascii")).hex()
    return _ESCAPED_BYTE.sub(lambda match: bytes((int(match[1], 8),)) if match[1] else b"\\", data).hex()


def _leaf(type_: Type, fmt: int, data: bytes) -> Scalar:
    try:
        if fmt == BINARY_FORMAT:
            text = type_.codec.read(data)
        else:
            text = _bytea_text(data) if type_.kind is Kind.BYTES else data.decode()
    except _NOT_OF_TYPE as error:
        raise Malformed(f"not a value of type {type_.name}") from error
    return Scalar(type_.kind, text, type_.capacity)


def _written(type_: Type, fmt: int, text: str) -> bytes:
    if fmt == BINARY_FORMAT:
        return type_.codec.write(text)
    type_.codec.accepts(text)
    return b"\\x" + text.encode() if type_.kind is Kind.BYTES else text.encode()


def _walk(oid: int, fmt: int, data: bytes, depth: int) -> Iterator[Scalar]:
    parts = _split(oid, fmt, data, depth)
    if isinstance(parts, Type):
        yield _leaf(parts, fmt, data)
        return
    for cell, inner in zip(parts.cells, parts.oids, strict=True):
        if cell is not None:
            yield from _walk(inner, fmt, cell, depth + 1)


def _rebuild(oid: int, fmt: int, data: bytes, texts: Iterator[str | None], depth: int) -> bytes | None:
    parts = _split(oid, fmt, data, depth)
    if isinstance(parts, Type):
        text = next(texts)
        if text == _leaf(parts, fmt, data).text:
            return data
        return None if text is None else _written(parts, fmt, text)
    return parts.join(
        [
            None if cell is None else _rebuild(inner, fmt, cell, texts, depth + 1)
            for cell, inner in zip(parts.cells, parts.oids, strict=True)
        ]
    )


def scalars(oid: int, fmt: int, data: bytes) -> tuple[Scalar, ...]:
    """The values that a cell is made of, in order; NULL elements are none.

    Args:
        oid: the cell's type; 0 or one that is not known here says nothing about it.
        fmt: 0 for text, 1 for binary.
        data: the cell, not NULL.

    Raises Malformed.
    """
    type_ = TYPES.get(oid, _TEXT if fmt == TEXT_FORMAT else None)
    if type_ is not None and type_.split is None:
        return (_leaf(type_, fmt, data),)
    found: list[Scalar] = []
    for scalar in _walk(oid, fmt, data, 0):
        if len(found) == MAX_SCALARS:
            raise Malformed("the value holds too many others")
        found.append(scalar)
    return tuple(found)


def encode(oid: int, fmt: int, data: bytes, texts: Sequence[str | None]) -> bytes | None:
    """The same cell with other texts, one for each of its scalars, None for NULL; None if the cell becomes NULL.

    Raises ValueError where the type cannot hold a text or the number of texts differs, Malformed as `scalars` does.
    """
    given = iter(texts)
    try:
        cell = _rebuild(oid, fmt, data, given, 0)
    except StopIteration:
        raise ValueError("one text for each scalar was expected") from None
    for _ in given:
        raise ValueError("one text for each scalar was expected")
    return cell


def whole(oid: int, fmt: int, text: str) -> bytes | None:
    """A cell of this type that is `text`, or None where the type cannot hold it or gatepost cannot tell."""
    type_ = TYPES.get(oid, _TEXT if fmt == TEXT_FORMAT else None)
    if type_ is None or type_.split is not None or type_.kind is Kind.BYTES:
        return None
    try:
        return _written(type_, fmt, text)
    except ValueError:
        return None


def to_text(oid: int, data: bytes) -> str:
    """A binary cell for a person to read; hexadecimal digits where it is not what its type says."""
    try:
        found = scalars(oid, BINARY_FORMAT, data)
    except Malformed:
        return "\\x" + data.hex()
    texts = [("\\x" if scalar.kind is Kind.BYTES else "") + scalar.text for scalar in found]
    type_ = TYPES.get(oid)
    if len(texts) == 1 and (type_ is None or type_.split is None):
        return texts[0]
    opening, closing = ("{", "}") if type_ is not None and type_.kind is Kind.ARRAY else ("(", ")")
    return opening + ", ".join(texts) + closing
