"""Dates and times: from their binary form to the text that the server would show in UTC, and back.

Source: PostgreSQL 18, src/backend/utils/adt/datetime.c and timestamp.c.
"""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime
from typing import Final

from gatepost_postgres.codecs import codec, read_only

_int8: Final = struct.Struct("!q")
_EPOCH_DAY: Final = date(2000, 1, 1).toordinal()
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
_INFINITY: Final = {(1 << 31) - 1: "infinity", -(1 << 31): "-infinity"}
_INFINITY8: Final = {(1 << 63) - 1: "infinity", -(1 << 63): "-infinity"}


def _show_date(days: int) -> tuple[str, str]:
    """The date so many days after 2000-01-01, and the era, as PostgreSQL shows them; any year.

    The Gregorian calendar repeats every 400 years, so datetime.date serves for all of them.
    """
    cycles, ordinal = divmod(days + _EPOCH_DAY - 1, 146_097)
    day = date.fromordinal(ordinal + 1)
    year = day.year + 400 * cycles
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04}-{day.month:02}-{day.day:02}", era


def _show_seconds(microseconds: int) -> str:
    """ "05", or "05.25"."""
    seconds, fraction = divmod(microseconds, _SECOND)
    return f"{seconds:02}" + (f".{fraction:06}".rstrip("0") if fraction else "")


def _show_clock(microseconds: int) -> str:
    minutes, rest = divmod(microseconds, 60 * _SECOND)
    return f"{minutes // 60:02}:{minutes % 60:02}:{_show_seconds(rest)}"


def _read_date(data: bytes) -> str:
    (days,) = struct.unpack("!i", data)
    return _INFINITY.get(days) or "".join(_show_date(days))


def _write_date(text: str) -> bytes:
    return struct.pack("!i", date.fromisoformat(text).toordinal() - _EPOCH_DAY)


def _show_timestamp(data: bytes, zone: str) -> str:
    (microseconds,) = _int8.unpack(data)
    if microseconds in _INFINITY8:
        return _INFINITY8[microseconds]
    day, era = _show_date(microseconds // _DAY)
    return f"{day} {_show_clock(microseconds % _DAY)}{zone}{era}"


def _read_timestamp(data: bytes) -> str:
    return _show_timestamp(data, "")


def _read_timestamptz(data: bytes) -> str:
    return _show_timestamp(data, "+00")


def _write_moment(moment: datetime) -> bytes:
    past = moment - datetime(2000, 1, 1, tzinfo=UTC)
    return _int8.pack(past.days * _DAY + past.seconds * _SECOND + past.microseconds)


def _write_timestamp(text: str) -> bytes:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        raise ValueError("a time without a zone was expected")
    return _write_moment(moment.replace(tzinfo=UTC))


def _write_timestamptz(text: str) -> bytes:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time with a zone was expected")
    return _write_moment(moment)


def _read_time(data: bytes) -> str:
    (microseconds,) = _int8.unpack(data)
    if not 0 <= microseconds <= _DAY:
        raise ValueError("a time of day is out of range")
    return _show_clock(microseconds)


def _read_timetz(data: bytes) -> str:
    if len(data) != 12:
        raise ValueError("a time of day has another length")
    (west,) = struct.unpack_from("!i", data, 8)
    hours, rest = divmod(abs(west), 3600)
    zone = f"{'-' if west > 0 else '+'}{hours:02}"
    if rest:
        zone += f":{rest // 60:02}" + (f":{rest % 60:02}" if rest % 60 else "")
    return _read_time(data[:8]) + zone


def _plural(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _read_interval(data: bytes) -> str:
    microseconds, days, months = struct.unpack("!qii", data)
    for extremes, name in zip(zip(_INFINITY8, _INFINITY, strict=True), _INFINITY.values(), strict=True):
        if (microseconds, days, months) == (*extremes, extremes[1]):
            return name
    years = abs(months) // 12 * (1 if months >= 0 else -1)
    parts: list[str] = []
    negative = False
    for count, unit in ((years, "year"), (months - 12 * years, "mon"), (days, "day")):
        if count:
            # After a negative part PostgreSQL marks a positive one.
            parts.append(("+" if negative and count > 0 else "") + _plural(count, unit))
            negative = count < 0
    if microseconds or not parts:
        sign = "-" if microseconds < 0 else "+" if negative else ""
        parts.append(sign + _show_clock(abs(microseconds)))
    return " ".join(parts)


DATE: Final = codec(_read_date, _write_date)
TIMESTAMP: Final = codec(_read_timestamp, _write_timestamp)
TIMESTAMPTZ: Final = codec(_read_timestamptz, _write_timestamptz)
TIME: Final = codec(_read_time, read_only)
TIMETZ: Final = codec(_read_timetz, read_only)
INTERVAL: Final = codec(_read_interval, read_only)
