"""The parameters of an execution and the attributes of a query, decoded for plugins to judge.

Source: MySQL source documentation, "COM_STMT_EXECUTE" and "COM_QUERY"; MySQL 9 manual, "Query Attributes".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from gatepost.errors import ClientFault, FaultCode
from gatepost.values import Kind, Scalar
from gatepost_mysql import messages, types
from gatepost_mysql.charsets import UTF8MB4
from gatepost_mysql.frames import Reader
from gatepost_mysql.types import COUNTED, TEMPORAL, Type

Parameters: TypeAlias = tuple[tuple[Scalar, ...] | None, ...]
Attributes: TypeAlias = tuple[tuple[str, tuple[Scalar, ...] | None], ...]

MAX_ATTRIBUTES: Final = 256

_NULL: Final = 6
_UNSIGNED: Final = 0x8000
_CODE: Final = 0x7FFF
# Of integers, by code and flag in one: how long they are, and whether they have a sign.
_INTEGERS: Final = {
    code | flag: (type_.width, not flag)
    for code in (1, 2, 3, 8)
    for flag in (0, _UNSIGNED)
    if (type_ := types.of(code, 0, UTF8MB4)) is not None
}
# A client's BLOB is what drivers send text as, too.
_LONG: Final = frozenset((249, 250, 251, 252, 253, 254))
_STRINGS: Final = frozenset((15, 247, 248)) | _LONG


def decode(
    reader: Reader,
    count: int,
    known: tuple[int, ...] | None,
    long_data: Mapping[int, bytearray],
    *,
    is_named: bool = False,
) -> tuple[Parameters, tuple[int, ...], Attributes]:
    """What a COM_STMT_EXECUTE binds: values, their types, and what has a name or is no parameter of the statement.

    Raises ClientFault.

    Args:
        reader: behind its fixed fields.
        count: how many parameters the statement has.
        known: the types of the execution before, if there was one.
        long_data: what came ahead.
        is_named: it says how many values it has, attributes among them, and names them.
    """
    bound = _count(reader, count) if is_named else count
    if not bound:
        reader.end()
        return (), (), ()
    values, types_, names = _values(reader, bound, known if bound == count else None, long_data, is_named=is_named)
    reader.end()
    if bound == count and not any(names):
        return values, types_, ()
    named = enumerate(zip(names, values, strict=True))
    attributes = tuple(each for index, each in named if index >= count or each[0])
    return values[:count], types_[:count], attributes


def attributes(message: bytes) -> tuple[int, Attributes]:
    """Where the text of a COM_QUERY with attributes begins, and these. Raises ClientFault."""
    if message.startswith(messages.NO_ATTRIBUTES, 1):
        return 1 + len(messages.NO_ATTRIBUTES), ()
    reader = Reader(message, ClientFault)
    reader.take(1)
    count = _count(reader, 0)
    if reader.counted_number() != 1:
        raise ClientFault("the client binds more than one set of query attributes")
    found: Attributes = ()
    if count:
        values, _, names = _values(reader, count, None, {}, is_named=True)
        found = tuple(zip(names, values, strict=True))
    return len(message) - reader.left, found


def _count(reader: Reader, parameters: int) -> int:
    """How many values there are, attributes behind the statement's parameters."""
    count = reader.counted_number()
    if count < parameters:
        raise ClientFault("the client binds fewer values than the statement has parameters")
    if count > parameters + MAX_ATTRIBUTES:
        raise ClientFault(f"a statement has more than {MAX_ATTRIBUTES} query attributes", code=FaultCode.TOO_LARGE)
    return count


def _values(
    reader: Reader, count: int, known: tuple[int, ...] | None, long_data: Mapping[int, bytearray], *, is_named: bool
) -> tuple[Parameters, tuple[int, ...], tuple[str, ...]]:
    """Values with their types and, where it has some, their names, from the NULL bitmap on."""
    nulls = reader.number((count + 7) // 8)
    flag = reader.number(1)
    names: tuple[str, ...] = ()
    if flag == 1 and is_named:
        known, names = zip(*((reader.number(2), _name(reader)) for _ in range(count)), strict=True)
    elif flag == 1:
        known = tuple(reader.number(2) for _ in range(count))
    elif flag or known is None:
        raise ClientFault("the client binds values without their types")
    values: list[tuple[Scalar, ...] | None] = []
    for index, code in enumerate(known):
        if index in long_data:
            if code & _CODE not in _LONG:
                # MySQL refuses that without taking what came ahead, which would be the next execution's.
                raise ClientFault("a parameter's value came ahead, and has a type that only others have")
            values.append((_string(bytes(long_data[index])),))
        elif nulls >> index & 1 or code & _CODE == _NULL:
            values.append(None)
        else:
            values.append((_value(reader, code),))
    return tuple(values), known, names


def _name(reader: Reader) -> str:
    try:
        return reader.counted().decode()
    except UnicodeDecodeError:
        raise ClientFault("the name of a query attribute is not UTF-8") from None


def _value(reader: Reader, code: int) -> Scalar:
    integer = _INTEGERS.get(code)
    if integer is not None:
        width, has_sign = integer
        return Scalar(Kind.INTEGER, str(int.from_bytes(reader.take(width), "little", signed=has_sign)), width)
    type_ = types.of(code & _CODE, types.UNSIGNED if code & _UNSIGNED else 0, UTF8MB4)
    if type_ is None or type_.is_bits:
        raise ClientFault("a parameter has a type that does not exist")
    data = _bytes(reader, type_)
    if code & _CODE in _STRINGS:
        return _string(data)
    try:
        return types.scalar(type_, data, is_binary=True)
    except types.Malformed as error:
        raise ClientFault(f"a parameter is malformed: {error}") from error


def _bytes(reader: Reader, type_: Type) -> bytes:
    if type_.width == COUNTED:
        return reader.counted()
    return reader.take(reader.number(1) if type_.width == TEMPORAL else type_.width)


def _string(data: bytes) -> Scalar:
    try:
        return Scalar(Kind.TEXT, data.decode())
    except UnicodeDecodeError:
        return Scalar(Kind.BYTES, data.hex())
