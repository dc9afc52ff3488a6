"""StartupMessage: who connects, to which database, with which settings.

Source: PostgreSQL 18 documentation, 54.7 "StartupMessage", and 19.1.3.3 on `options`. A setting is passed on only
if it is listed here: others could change who the session is, or what its statements mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from gatepost.errors import ClientFault, FaultCode
from gatepost_postgres.messages import PROTOCOL_3_0, PROTOCOL_3_2

SETTINGS: Final[Mapping[str, str]] = {
    name.lower(): name
    for name in (
        "application_name",
        "client_encoding",
        "DateStyle",
        "TimeZone",
        "IntervalStyle",
        "extra_float_digits",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
    )
}
"""The settings that a client may bring along, by their names in lower case."""

_PROTOCOL_OPTION: Final = "_pq_."
_MAJOR: Final = 3
_LATEST_MINOR: Final = PROTOCOL_3_2 & 0xFFFF
_HARMLESS_NAME: Final = re.compile(r"[A-Za-z_.]{1,63}")
_OPTION_WORD: Final = re.compile(r"(?:\\.|[^\\\s])+", re.ASCII | re.DOTALL)
_OPTION_SPACE: Final = re.compile(r"\s*", re.ASCII)
_OPTION_SETTING: Final = re.compile(r"([^=]+)=(.*)", re.DOTALL)


class StartupRequest(Struct, frozen=True, kw_only=True):
    """What a client asks for when it connects.

    Attributes:
        protocol: what both speak from now on, `PROTOCOL_3_0` or `PROTOCOL_3_2`.
        user, database: as the client sent them; a database that it did not name is the user's name.
        settings: allowed settings by the server's spelling of their names.
        unrecognized: protocol options that we do not know.
        is_renegotiated: the client asked for another version, or for options that we do not know.
    """

    protocol: int
    user: str
    database: str
    settings: dict[str, str]
    unrecognized: tuple[str, ...] = ()
    is_renegotiated: bool = False


def parse_startup(version: int, body: bytes) -> StartupRequest:
    """Read what follows the version number of a StartupMessage.

    Raises:
        ClientFault: it is malformed, speaks another protocol, or brings a setting that is not allowed.
    """
    major, minor = version >> 16, version & 0xFFFF
    if major != _MAJOR:
        raise ClientFault(
            "only protocol version 3 is spoken here",
            code=FaultCode.UNSUPPORTED,
            hint="Use a PostgreSQL client of version 7.4 or later.",
        )
    protocol = PROTOCOL_3_2 if minor >= _LATEST_MINOR else PROTOCOL_3_0
    user = database = ""
    named: set[str] = set()
    settings: dict[str, str] = {}
    unrecognized: list[str] = []
    for name, value in _pairs(body):
        if name in named:
            raise ClientFault("the startup message names a parameter twice")
        named.add(name)
        if name == "user":
            user = value
        elif name == "database":
            database = value
        elif name == "options":
            for option, text in _options(value):
                _add(settings, option, text)
        elif name.startswith(_PROTOCOL_OPTION):
            unrecognized.append(name)
        else:
            _add(settings, name, value)
    if not user:
        raise ClientFault("the startup message names no user", code=FaultCode.AUTHENTICATION)
    return StartupRequest(
        protocol=protocol,
        user=user,
        database=database or user,
        settings=settings,
        unrecognized=tuple(unrecognized),
        is_renegotiated=version != protocol or bool(unrecognized),
    )


def _pairs(body: bytes) -> Iterator[tuple[str, str]]:
    """Names and values: NUL-terminated strings in turn, and one NUL more at the very end."""
    try:
        texts = body.decode().split("\0")
    except UnicodeDecodeError:
        raise ClientFault("the startup message is not UTF-8") from None
    # "user\0x\0\0" ends in two empty pieces: one behind the last value, one behind the final NUL.
    if len(texts) % 2 or texts[-2:] != ["", ""] or not all(texts[:-2:2]):
        raise ClientFault("the startup message is not a list of names and values")
    return zip(texts[:-2:2], texts[1:-2:2], strict=True)


def _add(settings: dict[str, str], name: str, value: str) -> None:
    setting = SETTINGS.get(name.lower())
    if setting is None:
        shown = f'startup parameter "{name}"' if _HARMLESS_NAME.fullmatch(name) else "a startup parameter"
        raise ClientFault(
            f"{shown} is not allowed",
            code=FaultCode.UNSUPPORTED,
            hint=f"Connect without it; allowed are {', '.join(SETTINGS.values())}.",
        )
    if setting in settings:
        raise ClientFault(f'startup parameter "{setting}" is given twice', hint="Give it once.")
    if setting == "client_encoding":
        value = _encoding(value)
    settings[setting] = value


def _encoding(value: str) -> str:
    """PostgreSQL compares letters and digits of an encoding's name alone (`clean_encoding_name`)."""
    if re.sub("[^a-z0-9]", "", value.lower()) not in {"utf8", "unicode"}:
        raise ClientFault(
            "client_encoding must be UTF8",
            code=FaultCode.UNSUPPORTED,
            hint="Set client_encoding (or PGCLIENTENCODING) to UTF8.",
        )
    return "UTF8"


def _options(value: str) -> Iterator[tuple[str, str]]:
    """The settings in `options`: `-c name=value` and `--name=value`; a backslash takes the next character as it is."""
    words = iter(list(_words(value)))
    for word in words:
        if word.startswith("--"):
            text = word[2:]
        elif word.startswith("-c"):
            text = word[2:] or next(words, "")
        else:
            raise ClientFault(
                "the startup parameter options holds something other than settings",
                code=FaultCode.UNSUPPORTED,
                hint="Write -c name=value.",
            )
        match = _OPTION_SETTING.fullmatch(text)
        if match is None:
            raise ClientFault(
                "the startup parameter options holds a setting without a value", hint="Write -c name=value."
            )
        yield match[1].replace("-", "_"), match[2]


def _words(value: str) -> Iterator[str]:
    """Words between white space, backslashes resolved (`pg_split_opts`)."""
    at = _OPTION_SPACE.match(value, 0).end()  # type: ignore[union-attr]  # it matches nothing, too
    while at < len(value):
        match = _OPTION_WORD.match(value, at)
        if match is None:
            raise ClientFault("the startup parameter options ends in a lone backslash")
        yield re.sub(r"\\(.)", r"\1", match[0], flags=re.DOTALL)
        at = _OPTION_SPACE.match(value, match.end()).end()  # type: ignore[union-attr]
