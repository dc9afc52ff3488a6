"""The values in parameters and cells, whatever a protocol calls their types."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """What a value is, whatever its protocol calls the type."""

    TEXT = "text"
    BYTES = "bytes"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    JSON = "json"
    ARRAY = "array"
    RECORD = "record"
    TIME = "time"
    BOOLEAN = "boolean"
    OTHER = "other"


class Scalar(Struct, frozen=True):
    """One value that holds no others, as text. For BYTES the text is hexadecimal, two digits a byte.

    `capacity` is the range that an INTEGER's type can hold, as a number of bytes, else 0.
    """

    kind: Kind
    text: str
    capacity: int = 0

    def __repr__(self) -> str:
        return f"Scalar({self.kind.value}, {len(self.text)} characters)"
