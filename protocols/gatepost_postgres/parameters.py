"""The parameters of a Bind, decoded for plugins to judge.

Source: PostgreSQL 18 documentation, 54.7, Bind.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Final

from gatepost.errors import ClientFault, FaultCode
from gatepost.values import Scalar
from gatepost_postgres import types

_FORMATS: Final = frozenset((types.TEXT_FORMAT, types.BINARY_FORMAT))


def decode(
    formats: Sequence[int], values: Sequence[bytes | None], oids: Sequence[int]
) -> tuple[tuple[Scalar, ...] | None, ...]:
    """The values that a Bind carries, None for NULL; each is the scalars that it is made of.

    Args:
        formats: the format codes: none means text, one holds for all values, else one each.
        values: the values, None for NULL.
        oids: the types that are known; 0 or a missing one is not, and then the bytes are taken for what they look like.

    Raises ClientFault for a format that does not exist, and for bytes that are not of their type.
    """
    every = _formats(formats, len(values))
    known = oids if len(oids) >= len(values) else (*oids, *repeat(0, len(values) - len(oids)))
    parameters: list[tuple[Scalar, ...] | None] = []
    room = types.MAX_SCALARS
    try:
        for value, fmt, oid in zip(values, every, known, strict=False):
            parameter = None if value is None else types.scalars(oid, fmt, value)
            room -= len(parameter or ())
            if room < 0:
                raise ClientFault("a Bind holds too many values", code=FaultCode.TOO_LARGE)
            parameters.append(parameter)
    except types.Malformed as error:
        raise ClientFault(f"a parameter is malformed: {error}") from error
    return tuple(parameters)


def _formats(codes: Sequence[int], count: int) -> tuple[int, ...]:
    """One format for each of `count` values."""
    if not codes:
        return (types.TEXT_FORMAT,) * count
    if not _FORMATS.issuperset(codes):
        raise ClientFault("a Bind names a format that does not exist")
    if len(codes) > 1 and len(codes) != count:
        raise ClientFault("a Bind has another number of format codes than of values")
    return tuple(codes) if len(codes) > 1 else (codes[0],) * count
