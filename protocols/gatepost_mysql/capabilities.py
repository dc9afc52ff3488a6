"""Capabilities: what a client and gatepost agree on, and gatepost and the database likewise.

What gatepost cannot vouch for is not offered. What the client has agreed to, the database has to do as well: from the
login on both speak in the same forms.

Source: MySQL internals manual, "Capabilities Flags"; MariaDB Knowledge Base, "Connecting".
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final


class Capability(IntFlag):
    LONG_PASSWORD = 1 << 0  # MariaDB's servers leave it out, and so tell that they are none of MySQL's
    FOUND_ROWS = 1 << 1
    LONG_FLAG = 1 << 2
    CONNECT_WITH_DB = 1 << 3
    NO_SCHEMA = 1 << 4
    COMPRESS = 1 << 5
    ODBC = 1 << 6
    LOCAL_FILES = 1 << 7
    IGNORE_SPACE = 1 << 8
    PROTOCOL_41 = 1 << 9
    INTERACTIVE = 1 << 10
    SSL = 1 << 11
    IGNORE_SIGPIPE = 1 << 12
    TRANSACTIONS = 1 << 13
    RESERVED = 1 << 14
    SECURE_CONNECTION = 1 << 15
    MULTI_STATEMENTS = 1 << 16
    MULTI_RESULTS = 1 << 17
    PS_MULTI_RESULTS = 1 << 18
    PLUGIN_AUTH = 1 << 19
    CONNECT_ATTRS = 1 << 20
    PLUGIN_AUTH_LENENC = 1 << 21
    EXPIRED_PASSWORDS = 1 << 22
    SESSION_TRACK = 1 << 23
    DEPRECATE_EOF = 1 << 24
    OPTIONAL_METADATA = 1 << 25
    ZSTD = 1 << 26
    QUERY_ATTRIBUTES = 1 << 27
    MULTI_FACTOR = 1 << 28
    EXTENSION = 1 << 29
    SSL_VERIFY_SERVER_CERT = 1 << 30
    REMEMBER_OPTIONS = 1 << 31
    # MariaDB's own.
    PROGRESS = 1 << 32
    BULK_OPERATIONS = 1 << 34
    EXTENDED_METADATA = 1 << 35
    CACHE_METADATA = 1 << 36


# LOCAL_FILES lets a database read the agent's files; the session sees to it that it reads none but those which judged
# statements name. Why the others are not: COMPRESS and ZSTD hide bytes from plugins; IGNORE_SPACE and NO_SCHEMA change
# what a text means; OPTIONAL_METADATA leaves out what rows are read by; BULK_OPERATIONS make any number of rows one
# statement, and connectors that are not offered it execute row by row, so that each is judged and recorded by itself.
OFFERED: Final = (
    Capability.LONG_PASSWORD
    | Capability.FOUND_ROWS
    | Capability.LONG_FLAG
    | Capability.CONNECT_WITH_DB
    | Capability.ODBC
    | Capability.LOCAL_FILES
    | Capability.PROTOCOL_41
    | Capability.INTERACTIVE
    | Capability.IGNORE_SIGPIPE
    | Capability.TRANSACTIONS
    | Capability.RESERVED
    | Capability.SECURE_CONNECTION
    | Capability.MULTI_STATEMENTS
    | Capability.MULTI_RESULTS
    | Capability.PS_MULTI_RESULTS
    | Capability.PLUGIN_AUTH
    | Capability.CONNECT_ATTRS
    | Capability.PLUGIN_AUTH_LENENC
    | Capability.SESSION_TRACK
    | Capability.DEPRECATE_EOF
)

# Offered in front of a database that is known to have them.
EXTENSIONS: Final = (
    Capability.QUERY_ATTRIBUTES | Capability.PROGRESS | Capability.EXTENDED_METADATA | Capability.CACHE_METADATA
)

# Without these nothing can be agreed on.
NEEDED: Final = Capability.PROTOCOL_41 | Capability.SECURE_CONNECTION

# What the forms of statements and answers depend on: agreed with the client, then with the database.
SHARED: Final = (
    Capability.FOUND_ROWS
    | Capability.ODBC
    | Capability.LOCAL_FILES
    | Capability.INTERACTIVE
    | Capability.TRANSACTIONS
    | Capability.MULTI_STATEMENTS
    | Capability.MULTI_RESULTS
    | Capability.PS_MULTI_RESULTS
    | Capability.SESSION_TRACK
    | Capability.DEPRECATE_EOF
    | EXTENSIONS
)

# What gatepost asks of a database besides.
OWN: Final = (
    Capability.LONG_PASSWORD
    | Capability.LONG_FLAG
    | Capability.PROTOCOL_41
    | Capability.SECURE_CONNECTION
    | Capability.PLUGIN_AUTH
    | Capability.PLUGIN_AUTH_LENENC
)


def offered(upstream: Capability) -> Capability:
    """What a client may agree on in front of a database with these capabilities."""
    return (OFFERED | EXTENSIONS) & (upstream | ~(SHARED | Capability.LONG_PASSWORD))
