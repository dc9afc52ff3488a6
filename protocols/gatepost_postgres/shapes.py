"""Geometric types, which are only read: from their binary form to the text that the server would show.

Source: PostgreSQL 18, src/backend/utils/adt/geo_ops.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from gatepost_postgres.codecs import codec, read_only
from gatepost_postgres.numbers import FLOAT8


def _floats(template: str) -> Callable[[bytes], str]:
    """A reader of a fixed number of float8, shown in a template with a brace pair for each."""
    size = 8 * template.count("{}")

    def read(data: bytes) -> str:
        if len(data) != size:
            raise ValueError("a shape has another length")
        return template.format(*(FLOAT8.read(data[at : at + 8]) for at in range(0, size, 8)))

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


POINT: Final = codec(_floats("({},{})"), read_only)
LSEG: Final = codec(_floats("[({},{}),({},{})]"), read_only)
BOX: Final = codec(_floats("({},{}),({},{})"), read_only)
LINE: Final = codec(_floats("{{{},{},{}}}"), read_only)
CIRCLE: Final = codec(_floats("<({},{}),{}>"), read_only)
PATH: Final = codec(_read_path, read_only)
POLYGON: Final = codec(_read_polygon, read_only)
