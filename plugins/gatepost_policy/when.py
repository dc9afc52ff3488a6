"""When and from where a rule holds: hours of the week in a time zone, and networks."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gatepost.config import address

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = "|".join(_DAYS)
_HOURS: Final = re.compile(
    rf"(?:((?:{_DAY})(?:-(?:{_DAY}))?(?:,(?:{_DAY})(?:-(?:{_DAY}))?)*) )?([0-2]\d):([0-5]\d)-([0-2]\d):([0-5]\d) (\S+)"
)
_FORM: Final = 'expected days, hours and a time zone, such as "mon-fri 08:00-18:00 Europe/Berlin" or "22:00-06:00 UTC"'
_DAY_MINUTES: Final = 24 * 60

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Hours:
    """Minutes of the week. Hours that end before they begin go on into the next day."""

    def __init__(self, text: str, days: frozenset[int], begin: int, end: int, zone: ZoneInfo) -> None:
        self._text = text
        self._days = days
        self._begin = begin
        self._end = end
        self._zone = zone

    @classmethod
    def from_toml(cls, value: object, folder: Path) -> Hours:
        match = _HOURS.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(_FORM)
        begin, end = int(match[2]) * 60 + int(match[3]), int(match[4]) * 60 + int(match[5])
        if begin >= _DAY_MINUTES or end > _DAY_MINUTES or begin == end:
            raise ValueError(_FORM)
        try:
            zone = ZoneInfo(match[6])
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError('expected a time zone of the IANA database, such as "Europe/Berlin"') from None
        return cls(match[0], _days(match[1] or "mon-sun"), begin, end, zone)

    def __str__(self) -> str:
        return self._text

    def hold(self, moment: float) -> bool:
        """Whether they are on at this Unix time."""
        local = datetime.fromtimestamp(moment, self._zone)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self._begin < self._end:
            return day in self._days and self._begin <= minute < self._end
        return (day in self._days and minute >= self._begin) or ((day - 1) % 7 in self._days and minute < self._end)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(found)


class Network:
    """An address range, as "10.0.0.0/8", "2001:db8::/32" or a single address."""

    def __init__(self, text: str) -> None:
        self._network = ipaddress.ip_network(text)

    @classmethod
    def from_toml(cls, value: object, folder: Path) -> Network:
        try:
            if isinstance(value, str):
                return cls(value)
        except ValueError:
            pass
        raise ValueError('expected a network such as "10.0.0.0/8", with no bit set behind its prefix')

    def __str__(self) -> str:
        return str(self._network)

    def holds(self, peer: Address) -> bool:
        return peer in self._network


def peer_address(client: str) -> Address | None:
    """The address of "host:port"; None for what is no address, which no network holds."""
    try:
        found = ipaddress.ip_address(address(client, 0)[0].partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
