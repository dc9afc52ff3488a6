"""Dates and times: from their binary form to the text that the server would show, and back.

Source: MySQL internals manual, "Binary Protocol Value".
"""

from __future__ import annotations

import re
import struct
from typing import Final

_date = struct.Struct("<HBB")
_clock = struct.Struct("<BBB")
_span = struct.Struct("<BIBBB")
_micro = struct.Struct("<I")

_DATE_BYTES: Final = (0, 4, 7, 11)
_SPAN_BYTES: Final = (0, 8, 12)
_CLOCK: Final = r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,6}))?"
_DATE: Final = re.compile(rf"(\d{{4}})-(0\d|1[0-2])-([0-2]\d|3[01])(?:[ T]{_CLOCK})?", re.ASCII)
_SPAN: Final = re.compile(r"(-?)(\d{2,3}):([0-5]\d):([0-5]\d)(?:\.(\d{1,6}))?", re.ASCII)
_LONGEST_SPAN: Final = 838


def read_time(name: str, data: bytes) -> str:
    """The text that the server would show. Raises ValueError where the bytes are no time."""
    return _read_span(data) if name == "time" else _read_date(name, data)


def write_time(name: str, text: str) -> bytes:
    """The other way. Raises ValueError where the text is not one of a time of that type."""
    return _write_span(text) if name == "time" else _write_date(name, text)


def _read_date(name: str, data: bytes) -> str:
    if len(data) not in _DATE_BYTES:
        raise ValueError("a date has another length")
    year, month, day = _date.unpack_from(data) if data else (0, 0, 0)
    text = f"{year:04}-{month:02}-{day:02}"
    if name == "date":
        return text
    hour, minute, second = _clock.unpack_from(data, _date.size) if len(data) > _date.size else (0, 0, 0)
    return f"{text} {hour:02}:{minute:02}:{second:02}" + _fraction(data, _date.size + _clock.size)


def _write_date(name: str, text: str) -> bytes:
    found = _DATE.fullmatch(text)
    if found is None or (name == "date" and found[4]):
        raise ValueError(f"a value of type {name} was expected")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    # What is zero at the end is left out, as the server does.
    parts = [_date.pack(year, month, day), _clock.pack(hour, minute, second), _micro.pack(_micros(found[7]))]
    while parts and not any(parts[-1]):
        parts.pop()
    return b"".join(parts)


def _read_span(data: bytes) -> str:
    if len(data) not in _SPAN_BYTES:
        raise ValueError("a time has another length")
    negative, days, hours, minutes, seconds = _span.unpack_from(data) if data else (0, 0, 0, 0, 0)
    sign = "-" if negative else ""
    return f"{sign}{24 * days + hours:02}:{minutes:02}:{seconds:02}" + _fraction(data, _span.size)


def _write_span(text: str) -> bytes:
    found = _SPAN.fullmatch(text)
    if found is None or int(found[2]) > _LONGEST_SPAN:
        raise ValueError("a value of type time was expected")
    days, hours = divmod(int(found[2]), 24)
    micros = _micros(found[5])
    span = _span.pack(bool(found[1]), days, hours, int(found[3]), int(found[4]))
    if not micros:
        return span if any(span[1:]) else b""
    return span + _micro.pack(micros)


def _micros(fraction: str | None) -> int:
    return int((fraction or "").ljust(6, "0"))


def _fraction(data: bytes, at: int) -> str:
    return f".{_micro.unpack_from(data, at)[0]:06}" if len(data) > at else ""
