"""Types for the fields of configuration structs, a plugin's own included.

Each is an ordinary value that is read from TOML in a form of its own: a class with a `from_toml` that takes the
TOML value and the configuration file's folder, and raises ValueError with what was expected instead. No message
quotes the value, which may be a secret in the wrong place.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|[smhd])")
_ADDRESS = '"host:port", a port being 0 to 65535 and an IPv6 address in brackets'


class Seconds(float):
    """A duration in seconds, more than 0: a number, or a text such as "500ms", "30s", "15m", "12h" or "90d"."""

    @classmethod
    def from_toml(cls, value: object, folder: Path) -> Seconds:
        return cls.parse(value)

    @classmethod
    def parse(cls, value: object) -> Seconds:
        """Raises ValueError if `value` is no duration."""
        if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
            value = float(match[1]) * _UNITS[match[2]]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ValueError('expected seconds, more than 0, or a text such as "30s", "15m", "12h" or "90d"')
        return cls(value)


def moment(text: str, now: float) -> float:
    """A time in Unix seconds: "7d" before now, or an ISO date or time, in UTC unless it says otherwise.

    Raises ValueError if `text` is neither.
    """
    try:
        return now - Seconds.parse(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            'expected a duration such as "7d" or "12h", or a date or time such as "2026-01-31T08:00"'
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class FilePath(str):
    """A file's path, "" for none; a relative one is relative to the configuration file."""

    __slots__ = ()

    @classmethod
    def from_toml(cls, value: object, folder: Path) -> FilePath:
        if not isinstance(value, str) or "\0" in value:
            raise ValueError("expected a path")
        return cls(folder / value if value else "")


class Endpoint(str):
    """Where to connect to: "host", "host:port", "[IPv6]" or "[IPv6]:port"."""

    __slots__ = ()

    @classmethod
    def from_toml(cls, value: object, folder: Path) -> Endpoint:
        if not isinstance(value, str):
            raise ValueError(f"expected {_ADDRESS}")
        address(value, 1)
        return cls(value)


class ListenAddress(Endpoint):
    """Where to listen: "host:port" or "[IPv6]:port"; port 0 lets the system choose one."""

    __slots__ = ()

    @classmethod
    def from_toml(cls, value: object, folder: Path) -> ListenAddress:
        endpoint = super().from_toml(value, folder)
        if address(endpoint, -1)[1] < 0:
            raise ValueError('expected "host:port", with the port')
        return cls(endpoint)


def address(text: str, default_port: int) -> tuple[str, int]:
    """The host and port of "host:port", "host", "[IPv6]:port" or "[IPv6]". Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s\[\]:/@]+))(?::([0-9]{1,5}))?", text, re.ASCII)
    if match is None or int(match[3] or 0) > 65535:
        raise ValueError(f"expected {_ADDRESS}")
    return match[1] or match[2], default_port if match[3] is None else int(match[3])
