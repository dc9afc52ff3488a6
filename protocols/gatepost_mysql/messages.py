"""MySQL's messages: command bytes, first bytes of answers, status flags, and encoders for what we write ourselves.

Source: MySQL internals manual, "Text Protocol", "Prepared Statements" and "Generic Response Packets".
"""

from __future__ import annotations

import struct
from typing import Final

from gatepost.values import Deny
from gatepost_mysql import codes
from gatepost_mysql.capabilities import Capability

# What a client sends.
QUIT: Final = 0x01
INIT_DB: Final = 0x02
QUERY: Final = 0x03
FIELD_LIST: Final = 0x04
CREATE_DB: Final = 0x05
DROP_DB: Final = 0x06
REFRESH: Final = 0x07
SHUTDOWN: Final = 0x08
STATISTICS: Final = 0x09
PROCESS_INFO: Final = 0x0A
CONNECT: Final = 0x0B
PROCESS_KILL: Final = 0x0C
DEBUG: Final = 0x0D
PING: Final = 0x0E
TIME: Final = 0x0F
DELAYED_INSERT: Final = 0x10
CHANGE_USER: Final = 0x11
BINLOG_DUMP: Final = 0x12
TABLE_DUMP: Final = 0x13
CONNECT_OUT: Final = 0x14
REGISTER_SLAVE: Final = 0x15
STMT_PREPARE: Final = 0x16
STMT_EXECUTE: Final = 0x17
STMT_SEND_LONG_DATA: Final = 0x18
STMT_CLOSE: Final = 0x19
STMT_RESET: Final = 0x1A
SET_OPTION: Final = 0x1B
STMT_FETCH: Final = 0x1C
DAEMON: Final = 0x1D
BINLOG_DUMP_GTID: Final = 0x1E
RESET_CONNECTION: Final = 0x1F
CLONE: Final = 0x20

# What stands before a text without attributes, where it might have some.
NO_ATTRIBUTES: Final = b"\x00\x01"

# How an answer begins.
OK: Final = 0x00
MORE_DATA: Final = 0x01
LOCAL_FILE: Final = 0xFB
EOF: Final = 0xFE
ERROR: Final = 0xFF

# MariaDB's ERR that is none, and ends nothing: how far a long statement is.
PROGRESS: Final = b"\xff\xff\xff"

# An EOF is shorter than this; a row may begin with the same byte.
EOF_BELOW: Final = 9

# Status flags.
IN_TRANSACTION: Final = 0x0001
AUTOCOMMIT: Final = 0x0002
MORE_RESULTS: Final = 0x0008
CURSOR_EXISTS: Final = 0x0040
IN_READ_ONLY_TRANSACTION: Final = 0x2000
STATE_CHANGED: Final = 0x4000

_ok = struct.Struct("<BBBHH").pack


def query(text: bytes, capabilities: Capability) -> bytes:
    """A text as a command."""
    return bytes((QUERY,)) + (NO_ATTRIBUTES if capabilities & Capability.QUERY_ATTRIBUTES else b"") + text


def ok(status: int) -> bytes:
    """An OK with nothing to say."""
    return _ok(OK, 0, 0, status & ~(STATE_CHANGED | MORE_RESULTS | CURSOR_EXISTS), 0)


def error(number: int, sqlstate: str, text: str, *, has_sqlstate: bool = True) -> bytes:
    """An ERR of our own. One to a client that has not said which protocol it speaks has no SQLSTATE."""
    state = b"#" + sqlstate.encode() if has_sqlstate else b""
    return b"\xff" + number.to_bytes(2, "little") + state + text.encode("utf-8", "replace")


def refusal(deny: Deny, code: tuple[int, str] | None = None) -> bytes:
    """The ERR that says so: reason, rule and hint in the one text that it has."""
    number, sqlstate = code or codes.OF_DENIAL[deny.code]
    source = f"{deny.plugin}: {deny.rule}" if deny.plugin and deny.rule else deny.plugin or deny.rule
    return error(number, sqlstate, told(deny.reason, source, deny.hint))


def told(reason: str, rule: str = "", hint: str = "") -> str:
    """One text for a person, or a model, to act on."""
    text = f"{reason} (rule {rule})" if rule else reason
    return f"{text.rstrip('.')}. Hint: {hint}" if hint else text
