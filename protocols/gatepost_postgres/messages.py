"""PostgreSQL's messages (protocol 3.0 and 3.2): type bytes, and encoders for those that we write ourselves.

Source: PostgreSQL 18 documentation, 54.7 "Message Formats" and 54.8 "Error and Notice Message Fields".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final

PROTOCOL_3_0: Final = 3 << 16
PROTOCOL_3_2: Final = 3 << 16 | 2
CANCEL_REQUEST: Final = 1234 << 16 | 5678
SSL_REQUEST: Final = 1234 << 16 | 5679
GSSENC_REQUEST: Final = 1234 << 16 | 5680

# What a frontend sends.
BIND: Final = ord("B")
CLOSE: Final = ord("C")
DESCRIBE: Final = ord("D")
EXECUTE: Final = ord("E")
FUNCTION_CALL: Final = ord("F")
FLUSH: Final = ord("H")
PARSE: Final = ord("P")
PASSWORD: Final = ord("p")  # also GSSResponse, SASLInitialResponse and SASLResponse
QUERY: Final = ord("Q")
SYNC: Final = ord("S")
TERMINATE: Final = ord("X")

# What both send.
COPY_DATA: Final = ord("d")
COPY_DONE: Final = ord("c")
COPY_FAIL: Final = ord("f")

# What a backend sends.
PARSE_COMPLETE: Final = ord("1")
BIND_COMPLETE: Final = ord("2")
CLOSE_COMPLETE: Final = ord("3")
NOTIFICATION: Final = ord("A")
COMMAND_COMPLETE: Final = ord("C")
DATA_ROW: Final = ord("D")
ERROR: Final = ord("E")
COPY_IN: Final = ord("G")
COPY_OUT: Final = ord("H")
EMPTY_QUERY: Final = ord("I")
BACKEND_KEY_DATA: Final = ord("K")
NOTICE: Final = ord("N")
AUTHENTICATION: Final = ord("R")
PARAMETER_STATUS: Final = ord("S")
ROW_DESCRIPTION: Final = ord("T")
FUNCTION_RESULT: Final = ord("V")
COPY_BOTH: Final = ord("W")
READY: Final = ord("Z")
NO_DATA: Final = ord("n")
PORTAL_SUSPENDED: Final = ord("s")
PARAMETER_DESCRIPTION: Final = ord("t")
NEGOTIATE_VERSION: Final = ord("v")

# Names of the fields of ErrorResponse and NoticeResponse, by their codes.
FIELD_NAMES: Final[Mapping[str, str]] = {
    "S": "severity",
    "V": "severity_unlocalized",
    "C": "code",
    "M": "message",
    "D": "detail",
    "H": "hint",
    "P": "position",
    "p": "internal_position",
    "q": "query",
    "W": "where",
    "s": "schema",
    "t": "table",
    "c": "column",
    "d": "type",
    "n": "constraint",
    "F": "file",
    "L": "line",
    "R": "routine",
}

_header = struct.Struct("!BI").pack


def message(kind: int, body: bytes) -> bytes:
    """One message: type, length (which counts itself), body."""
    return _header(kind, len(body) + 4) + body


def cstring(text: str) -> bytes:
    """A NUL-terminated string. Raises ValueError if the text holds a NUL."""
    data = text.encode("utf-8", "replace")
    if b"\0" in data:
        raise ValueError("a protocol string holds a NUL")
    return data + b"\0"


def fields(pairs: Iterable[tuple[str, str]]) -> bytes:
    """The body of an ErrorResponse or NoticeResponse from (field code, text); empty texts and NULs are left out."""
    return b"".join(code.encode() + cstring(text.replace("\0", "")) for code, text in pairs if text) + b"\0"


def error(code: str, text: str, *, severity: str = "ERROR", detail: str = "", hint: str = "") -> bytes:
    """An ErrorResponse of our own."""
    pairs = (("S", severity), ("V", severity), ("C", code), ("M", text), ("D", detail), ("H", hint))
    return message(ERROR, fields(pairs))


# What AuthenticationXXX asks for, its first four bytes.
AUTH_OK: Final = 0
AUTH_CLEARTEXT: Final = 3
AUTH_MD5: Final = 5
AUTH_SASL: Final = 10
AUTH_SASL_CONTINUE: Final = 11
AUTH_SASL_FINAL: Final = 12

SSL_REQUEST_PACKET: Final = struct.pack("!II", 8, SSL_REQUEST)


def authentication(kind: int, body: bytes = b"") -> bytes:
    """An AuthenticationXXX message."""
    return message(AUTHENTICATION, struct.pack("!I", kind) + body)


def authentication_sasl(mechanisms: Iterable[str]) -> bytes:
    """AuthenticationSASL: the mechanisms in the server's order of preference."""
    return authentication(AUTH_SASL, b"".join(map(cstring, mechanisms)) + b"\0")


def sasl_initial_response(mechanism: str, response: bytes) -> bytes:
    """SASLInitialResponse."""
    return message(PASSWORD, cstring(mechanism) + struct.pack("!i", len(response)) + response)


def startup(parameters: Mapping[str, str]) -> bytes:
    """A StartupMessage of protocol 3.0."""
    pairs = b"".join(cstring(name) + cstring(value) for name, value in parameters.items())
    return struct.pack("!II", len(pairs) + 9, PROTOCOL_3_0) + pairs + b"\0"


def cancel_request(number: int, secret: bytes) -> bytes:
    """A CancelRequest: the process id and the key of a BackendKeyData."""
    return struct.pack("!IIi", 12 + len(secret), CANCEL_REQUEST, number) + secret


def negotiate_version(protocol: int, unrecognized: Iterable[str]) -> bytes:
    """NegotiateProtocolVersion: the version that we speak instead, and the options that we do not know.

    The documentation calls the first field a minor version; servers send, and libpq expects, the whole number.
    """
    names = [cstring(name) for name in unrecognized]
    return message(NEGOTIATE_VERSION, struct.pack("!II", protocol, len(names)) + b"".join(names))


def backend_key_data(number: int, secret: bytes) -> bytes:
    """BackendKeyData: what a client shows to cancel."""
    return message(BACKEND_KEY_DATA, struct.pack("!i", number) + secret)
