"""Dates and times in binary.

Source: MySQL internals manual, "Binary Protocol Value".
"""

from __future__ import annotations

import struct
from typing import Final

_date = struct.Struct("<HBB")
_clock = struct.Struct("<BBB")
_span = struct.Struct("<BIBBB")
_micro = struct.Struct("<I")

_DATE_BYTES: Final = (0, 4, 7, 11)
_SPAN_BYTES: Final = (0, 8, 12)


def read_time(name: str, data: bytes) -> str:
    """The text that the server would show. Raises ValueError where the bytes are no time."""
    return _read_span(data) if name == "time" else _read_date(name, data)


def _read_date(name: str, data: bytes) -> str:
    if len(data) not in _DATE_BYTES:
        raise ValueError("a date has another length")
    year, month, day = _date.unpack_from(data) if data else (0, 0, 0)
    text = f"{year:04}-{month:02}-{day:02}"
    if name == "date":
        return text
    hour, minute, second = _clock.unpack_from(data, _date.size) if len(data) > _date.size else (0, 0, 0)
    return f"{text} {hour:02}:{minute:02}:{second:02}" + _fraction(data, _date.size + _clock.size)


def _read_span(data: bytes) -> str:
    if len(data) not in _SPAN_BYTES:
        raise ValueError("a time has another length")
    negative, days, hours, minutes, seconds = _span.unpack_from(data) if data else (0, 0, 0, 0, 0)
    sign = "-" if negative else ""
    return f"{sign}{24 * days + hours:02}:{minutes:02}:{seconds:02}" + _fraction(data, _span.size)


def _fraction(data: bytes, at: int) -> str:
    return f".{_micro.unpack_from(data, at)[0]:06}" if len(data) > at else ""
