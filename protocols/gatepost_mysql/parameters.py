"""The parameters of an execution, decoded for plugins to judge.

Source: MySQL internals manual, "COM_STMT_EXECUTE".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from gatepost.errors import ClientFault
from gatepost.values import Kind, Scalar
from gatepost_mysql import types
from gatepost_mysql.charsets import UTF8MB4
from gatepost_mysql.frames import Reader
from gatepost_mysql.types import COUNTED, TEMPORAL, Type

Parameters: TypeAlias = tuple[tuple[Scalar, ...] | None, ...]

_NULL: Final = 6
_UNSIGNED: Final = 0x8000
# A client's BLOB is what drivers send text as, too.
_STRINGS: Final = frozenset((15, 247, 248, 249, 250, 251, 252, 253, 254))


def decode(
    reader: Reader, count: int, known: tuple[int, ...] | None, long_data: Mapping[int, bytearray]
) -> tuple[Parameters, tuple[int, ...]]:
    """The values, and the types that they were bound with.

    Args:
        reader: at the NULL bitmap of a COM_STMT_EXECUTE.
        count: how many parameters there are.
        known: the types of the execution before, if there was one.
        long_data: what came ahead.

    Raises ClientFault.
    """
    if not count:
        reader.end()
        return (), ()
    nulls = reader.number((count + 7) // 8)
    flag = reader.number(1)
    if flag == 1:
        known = tuple(reader.number(2) for _ in range(count))
    elif flag or known is None:
        raise ClientFault("the client executes a statement without the types of its parameters")
    values: list[tuple[Scalar, ...] | None] = []
    for index, code in enumerate(known):
        if index in long_data:
            values.append((_string(bytes(long_data[index])),))
        elif nulls >> index & 1 or code & 0xFF == _NULL:
            values.append(None)
        else:
            values.append((_value(reader, code),))
    reader.end()
    return tuple(values), known


def _value(reader: Reader, code: int) -> Scalar:
    type_ = types.of(code & 0xFF, types.UNSIGNED if code & _UNSIGNED else 0, UTF8MB4)
    if type_ is None or type_.is_bits:
        raise ClientFault("a parameter has a type that does not exist")
    data = _bytes(reader, type_)
    if code & 0xFF in _STRINGS:
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
