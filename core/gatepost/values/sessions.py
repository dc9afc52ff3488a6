"""A client's connection: to which database, how little it may do there, and why it ended."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from gatepost.values.credentials import Identity


class Target(Struct, frozen=True, kw_only=True):
    """A database behind the gate, by its name in the configuration."""

    name: str
    protocol: str
    host: str
    port: int
    database: str = ""


class Session(Struct, frozen=True, kw_only=True):
    """One client's connection. Replaced, not changed, when more is known of it.

    Attributes:
        id: unique over all workers and restarts; sorts by time.
        number: unique among the sessions that live; a protocol shows it as its connection id.
        client: the peer's address, "host:port".
        started_at: Unix seconds.
        tls: version and cipher towards the client, or "".
        user, database, application: what the client claims; not proven.
        identity: who it is, once proven.
    """

    id: str
    number: int
    protocol: str
    target: str
    client: str
    started_at: float
    tls: str = ""
    user: str = ""
    database: str = ""
    application: str = ""
    identity: Identity | None = None


class Restriction(Struct, frozen=True, kw_only=True):
    """What a session may do upstream is less than its login allows; the database itself enforces it.

    Attributes:
        read_only: every transaction is read-only, and the session cannot change that.
    """

    read_only: bool = False


class EndCode(IntEnum):
    """How a session ended; values are stored, so they are never reused.

    KILLED: another session of the same identity asked for it.
    """

    CLIENT_LEFT = 0
    SERVER_CLOSED = 1
    REFUSED = 2
    CLIENT_FAULT = 3
    UPSTREAM_FAULT = 4
    PLUGIN_FAULT = 5
    TIMEOUT = 6
    SHUTDOWN = 7
    CANCEL_REQUEST = 8
    KILLED = 9


class Reason(Struct, frozen=True, kw_only=True):
    """Why a session ended. `text` is gatepost's own and safe to log."""

    code: EndCode
    text: str = ""
