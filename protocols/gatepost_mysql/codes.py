"""Error numbers and SQLSTATEs: of gatepost's own errors, and what some of a server's are about.

Source: MySQL 9 "Server Error Message Reference"; the numbers below 1900 are MariaDB's as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gatepost.errors import FaultCode
from gatepost.values import DenyCode

ACCESS_DENIED: Final = (1045, "28000")
UNKNOWN_COMMAND: Final = (1047, "08S01")
UNKNOWN_SESSION: Final = (1094, "HY000")
NOT_SUPPORTED: Final = (1235, "42000")
UNKNOWN_STATEMENT: Final = (1243, "HY000")
INTERRUPTED: Final = (1317, "70100")
# As servers' errors are told: a command is malformed.
MALFORMED: Final = "1835"

OF_FAULT: Final[Mapping[FaultCode, tuple[int, str]]] = {
    FaultCode.PROTOCOL: (1835, "HY000"),
    FaultCode.TOO_LARGE: (1153, "08S01"),
    FaultCode.UNSUPPORTED: NOT_SUPPORTED,
    FaultCode.AUTHENTICATION: ACCESS_DENIED,
    FaultCode.TLS_REQUIRED: (3159, "HY000"),
    FaultCode.TOO_MANY: (1040, "08004"),
    FaultCode.TIMEOUT: (1159, "08S01"),
    FaultCode.IDLE: (4031, "HY000"),
    FaultCode.SHUTDOWN: (1053, "08S01"),
    FaultCode.KILLED: INTERRUPTED,
    FaultCode.UPSTREAM_DOWN: (1429, "HY000"),
    FaultCode.UPSTREAM_REFUSED: (1429, "HY000"),
    FaultCode.UPSTREAM_LOST: (1158, "08S01"),
    FaultCode.PLUGIN: (1105, "HY000"),
    FaultCode.RECORD: (1105, "HY000"),
    FaultCode.CONFIG: (1105, "HY000"),
    FaultCode.CLIENT_GONE: (1152, "08S01"),
}

OF_DENIAL: Final[Mapping[DenyCode, tuple[int, str]]] = {
    DenyCode.DENIED: (1142, "42000"),
    DenyCode.CANCELLED: INTERRUPTED,
    DenyCode.UNAVAILABLE: (1105, "HY000"),
    DenyCode.SYNTAX: (1064, "42000"),
}

# Errors that quote nothing but names and words of the statement's own text, and no value: what is not there, is there
# twice, may not be done, or cannot be parsed.
_NUMBERS: Final = """
1044 1045 1046 1049 1050 1051 1052 1054 1055 1056 1060 1061 1063 1064 1065 1066 1072 1091 1093 1103 1109 1110
1111 1115 1136 1142 1143 1146 1149 1176 1203 1221 1222 1227 1235 1241 1247 1248 1305 1318 1327 1356 1370 1414
1419 1582 1630 3554 4068
"""
ABOUT_THE_TEXT: Final = frozenset(map(int, _NUMBERS.split()))
