"""Transcripts of MySQL sessions: players that are served, and what was said to each side."""

from __future__ import annotations

from typing import Any

from tests import mysql_wire as wire

from gatepost import ALLOW, CredentialKind, Statement, Verdict
from gatepost.adapter import TlsPolicy
from gatepost.testing import Player, RecordingHooks, make_environment
from gatepost_mysql import handshake
from gatepost_mysql.session import MySqlSession


def player(hooks: RecordingHooks | None = None, *, environment: dict[str, Any] | None = None, **changes: Any) -> Player:
    """A session that has begun; `changes` are arguments of `Player`."""
    values = {"client_tls": TlsPolicy.REQUIRED} | (environment or {})
    return Player(MySqlSession(make_environment(hooks, **values)), **changes)


def serving(
    hooks: RecordingHooks | None = None,
    *,
    capabilities: int = wire.CAPABILITIES,
    server: int | None = None,
    environment: dict[str, Any] | None = None,
    **changes: Any,
) -> Player:
    """A session that waits for its first command.

    `capabilities` are the client's, `server` those of a database that was seen before.
    """
    greeting = wire.greeting() if server is None else wire.greeting(capabilities=server)
    known = {} if server is None else {"upstream": handshake.read(greeting[4:]).upstream}
    made = player(hooks, environment=(environment or {}) | known, **changes)
    made.client(wire.ssl_request(capabilities)).client(wire.login(number=2, capabilities=capabilities))
    made.client(wire.packet(4, b"secret\0"))
    made.upstream(greeting).upstream(wire.packet(2, wire.ok()))
    made.upstream(wire.settings() if capabilities & wire.DEPRECATE_EOF else settings_with_eof())
    assert made.serving, made.closed
    made.sent()
    return made


def settings_with_eof() -> bytes:
    definitions, rows = wire.SETTINGS
    return wire.packets(1, b"\x04", *definitions, wire.eof(), *rows, wire.eof())


def allow(statement: Statement) -> Verdict:
    return ALLOW


def said(data: bytes) -> list[bytes]:
    """The messages in what was said, whose numbers must follow on each other."""
    found = wire.split(data)
    assert [number for number, _ in found] == [(found[0][0] + index) & 0xFF for index in range(len(found))]
    return [payload for _, payload in found]


EXCHANGES = frozenset({CredentialKind.CACHING_SHA2, CredentialKind.MYSQL_NATIVE})
