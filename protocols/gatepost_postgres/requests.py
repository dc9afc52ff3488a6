"""The bodies of a client's messages, parsed strictly: what is malformed is the client's fault.

Source: PostgreSQL 18 documentation, 54.7 "Message Formats".
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from msgspec import Struct

from gatepost.errors import ClientFault, FaultCode
from gatepost_postgres import messages

_count: Final = struct.Struct("!H").unpack_from
_length: Final = struct.Struct("!i").unpack_from
_NUL: Final = b"\0"

LONGEST_NAME: Final = 63
"""Bytes of a name. The server cuts longer ones, so that two of them can be one (NAMEDATALEN in pg_config_manual.h)."""
_NONE: Final = b"\0\0"


class Query(Struct, frozen=True, gc=False):
    """One or more statements, to be run at once."""

    text: bytes

    def encode(self, text: str) -> bytes:
        return messages.message(messages.QUERY, messages.cstring(text))


class Parse(Struct, frozen=True, gc=False):
    """A statement to be prepared. `declared` is the part of the body that declares parameter types."""

    name: bytes
    text: bytes
    declared: bytes

    @property
    def types(self) -> tuple[int, ...]:
        return struct.unpack_from(f"!{len(self.declared) // 4}I", self.declared, 2)

    def encode(self, text: str) -> bytes:
        return messages.message(messages.PARSE, self.name + _NUL + messages.cstring(text) + self.declared)


class Bind(Struct, frozen=True, gc=False):
    """A prepared statement gets its parameters and becomes a portal.

    Attributes:
        formats: 0 for text, 1 for binary: none, one for all, or one for each parameter.
        values: None for NULL.
        rest: the body after both names.
    """

    portal: bytes
    statement: bytes
    formats: tuple[int, ...]
    values: tuple[bytes | None, ...]
    rest: bytes

    def encode(self, text: str, name: bytes, types: tuple[int, ...]) -> bytes:
        """Bind another text, by way of a statement called `name`, which is replaced: Close, Parse, Bind."""
        declared = struct.pack(f"!H{len(types)}I", len(types), *types)
        return (
            messages.message(messages.CLOSE, b"S" + name + _NUL)
            + Parse(name, b"", declared).encode(text)
            + messages.message(messages.BIND, self.portal + _NUL + name + _NUL + self.rest)
        )


class Execute(Struct, frozen=True, gc=False):
    """A portal to be run. `rest` is the body after its name: how many rows at most."""

    portal: bytes
    rest: bytes

    def encode(self) -> bytes:
        return messages.message(messages.EXECUTE, self.portal + _NUL + self.rest)


def describe_portal(name: bytes) -> bytes:
    """A Describe of a portal, as a message."""
    return messages.message(messages.DESCRIBE, b"P" + name + _NUL)


def query(body: bytes) -> Query:
    if not body or body.find(_NUL) != len(body) - 1:
        raise ClientFault("a Query message is malformed")
    return Query(body[:-1])


def bounded(name: bytes) -> bytes:
    """The name of a prepared statement or portal, if the server takes it as it is."""
    if len(name) > LONGEST_NAME:
        raise ClientFault(
            f"the name of a prepared statement or portal is longer than {LONGEST_NAME} bytes",
            code=FaultCode.UNSUPPORTED,
            hint="use shorter names",
        )
    return name


def parse(body: bytes) -> Parse:
    try:
        name_end = body.index(_NUL)
        text_end = body.index(_NUL, name_end + 1)
        (count,) = _count(body, text_end + 1)
    except (ValueError, struct.error):
        raise ClientFault("a Parse message is malformed") from None
    if len(body) != text_end + 3 + 4 * count:
        raise ClientFault("a Parse message is malformed")
    return Parse(bounded(body[:name_end]), body[name_end + 1 : text_end], body[text_end + 1 :])


def bind(body: bytes) -> Bind:
    try:
        portal_end = body.index(_NUL)
        statement_end = body.index(_NUL, portal_end + 1)
        at = statement_end + 3
        if body[statement_end + 1 : at] == _NONE:
            formats: tuple[int, ...] = ()
        else:
            formats, at = _codes(body, statement_end + 1)
        (count,) = _count(body, at)
        at += 2
        values: list[bytes | None] = []
        for _ in range(count):
            (length,) = _length(body, at)
            at += 4
            if length >= 0:
                end = at + length
                values.append(body[at:end])
                at = end
            elif length == -1:
                values.append(None)
            else:
                raise ValueError
        if len(body) != at + 2 or body[at:] != _NONE:
            _, at = _codes(body, at)
            if len(body) != at:
                raise ValueError
    except (ValueError, struct.error):
        raise ClientFault("a Bind message is malformed") from None
    return Bind(
        body[:portal_end], body[portal_end + 1 : statement_end], formats, tuple(values), body[statement_end + 1 :]
    )


@lru_cache(maxsize=1024)
def execute(body: bytes) -> Execute:
    end = body.find(_NUL)
    if end < 0 or len(body) != end + 5:
        raise ClientFault("an Execute message is malformed")
    return Execute(bounded(body[:end]), body[end + 1 :])


@lru_cache(maxsize=1024)
def named(body: bytes) -> tuple[bool, bytes]:
    """The body of a Describe or Close: whether it means a portal (else a prepared statement), and its name."""
    if body[:1] not in (b"P", b"S") or body.find(_NUL) != len(body) - 1:
        raise ClientFault("a Describe or Close message is malformed")
    return body[:1] == b"P", bounded(body[1:-1])


def _codes(body: bytes, at: int) -> tuple[tuple[int, ...], int]:
    """Format codes at an offset, and where they end."""
    (count,) = _count(body, at)
    return struct.unpack_from(f"!{count}H", body, at + 2), at + 2 + 2 * count
