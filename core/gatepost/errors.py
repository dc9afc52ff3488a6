"""Whose fault it is. Every error that ends a session or a start says who can mend it.

A fault's texts are written by gatepost and may be shown and logged: they never quote what a peer sent.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class FaultCode(StrEnum):
    """What went wrong, in words that each protocol maps to its own error codes.

    KILLED: another session of the same identity asked for the end of this one (`adapter.Cancel.ends_session`).
    """

    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    AUTHENTICATION = "authentication"
    TLS_REQUIRED = "tls_required"
    TOO_MANY = "too_many"
    TIMEOUT = "timeout"
    IDLE = "idle"
    SHUTDOWN = "shutdown"
    KILLED = "killed"
    UPSTREAM_DOWN = "upstream_down"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_LOST = "upstream_lost"
    PLUGIN = "plugin"
    RECORD = "record"
    CONFIG = "config"
    CLIENT_GONE = "client_gone"


class Fault(Exception):
    """Something that ends a session, or keeps it from starting.

    Args:
        message: what went wrong, one sentence, safe to show to the client and to log.
        code: what kind of thing it is; protocols translate it (see `FaultCode`).
        hint: what to do about it, or "".
    """

    code: FaultCode = FaultCode.PROTOCOL

    def __init__(self, message: str, *, code: FaultCode | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class ClientFault(Fault):
    """The client sent what the protocol or a limit does not allow."""

    code = FaultCode.PROTOCOL


class UpstreamFault(Fault):
    """The database could not be reached, refused us, or broke the protocol."""

    code = FaultCode.UPSTREAM_LOST


class PluginFault(Fault):
    """A plugin raised or answered what its hook does not allow; the gate closes on it.

    A plugin raises this itself to say in its own words why it cannot vouch for something.
    """

    code = FaultCode.PLUGIN


class ConfigFault(Fault):
    """The configuration is wrong.

    Args:
        message: what is wrong and what was expected.
        file: the configuration file.
        line: its line, from 1, or None where there is none to point to.
        key: the dotted key, or "".
    """

    code = FaultCode.CONFIG

    def __init__(self, message: str, *, file: str = "", line: int | None = None, key: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line
        self.key = key

    def __str__(self) -> str:
        place = self.file + (f":{self.line}" if self.line else "")
        return ": ".join(part for part in (place, self.key, self.message) if part)


def describe(error: BaseException) -> str:
    """What may be said of any exception: its type and place, never its text, which may quote a cell."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
    return type(error).__name__ + place
