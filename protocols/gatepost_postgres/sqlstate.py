"""SQLSTATEs of the errors that end a session.

Source: PostgreSQL 18 documentation, appendix A "PostgreSQL Error Codes".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gatepost.errors import FaultCode

PROTOCOL_VIOLATION: Final = "08P01"
CONNECTION_FAILURE: Final = "08006"
INVALID_AUTHORIZATION: Final = "28000"
INVALID_PASSWORD: Final = "28P01"  # noqa: S105

OF_FAULT: Final[Mapping[FaultCode, str]] = {
    FaultCode.PROTOCOL: PROTOCOL_VIOLATION,
    FaultCode.TOO_LARGE: "54000",
    FaultCode.UNSUPPORTED: "0A000",
    FaultCode.AUTHENTICATION: INVALID_AUTHORIZATION,
    FaultCode.TLS_REQUIRED: INVALID_AUTHORIZATION,
    FaultCode.TOO_MANY: "53300",
    FaultCode.TIMEOUT: "57014",
    FaultCode.IDLE: "57P05",
    FaultCode.SHUTDOWN: "57P01",
    FaultCode.KILLED: "57P01",
    FaultCode.UPSTREAM_DOWN: CONNECTION_FAILURE,
    FaultCode.UPSTREAM_REFUSED: CONNECTION_FAILURE,
    FaultCode.UPSTREAM_LOST: CONNECTION_FAILURE,
    FaultCode.PLUGIN: "58000",
    FaultCode.RECORD: "58030",
    FaultCode.CONFIG: "F0000",
    FaultCode.CLIENT_GONE: CONNECTION_FAILURE,
}
