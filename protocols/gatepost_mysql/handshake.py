"""What a server says first: who it is, and what a login's proof is made with.

Sources: MySQL internals manual, "Protocol::HandshakeV10"; MariaDB Knowledge Base, "Connecting", "Initial Handshake
Packet".
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from gatepost.errors import UpstreamFault
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.frames import Reader

_PROTOCOL: Final = 10
_FIRST_NONCE_BYTES: Final = 8
_VERSION: Final = re.compile(rb"[ -~]{1,128}")


class Upstream(Struct, frozen=True):
    """What a server is, as its clients are greeted.

    Attributes:
        version: as it says it, printable ASCII.
        capabilities: all that it has; MariaDB's own above the 32nd bit.
    """

    version: bytes
    capabilities: Capability

    @property
    def is_mariadb(self) -> bool:
        return not self.capabilities & Capability.LONG_PASSWORD or b"MariaDB" in self.version


class Handshake(Struct, frozen=True, kw_only=True):
    """A server's first message.

    Attributes:
        number: the connection's, at the server.
        nonce: what a proof is made with.
        plugin: what the client is asked to prove itself by, "" if that is not said.
    """

    upstream: Upstream
    number: int
    nonce: bytes
    plugin: str

    def __repr__(self) -> str:
        return "Handshake(…)"


def read(message: bytes) -> Handshake:
    """Read a server's first message, which is no ERR. Raises UpstreamFault."""
    reader = Reader(message)
    if reader.number(1) != _PROTOCOL:
        raise UpstreamFault("the database speaks another protocol", hint="Is there a MySQL server on that port?")
    version = reader.zero_ended()
    if not _VERSION.fullmatch(version):
        raise UpstreamFault("the database's version is not readable")
    number = reader.number(4)
    nonce = reader.take(_FIRST_NONCE_BYTES)
    reader.take(1)
    low = reader.number(2)
    reader.take(3)  # its collation and status, which are settled anew
    capabilities = low | reader.number(2) << 16
    nonce_bytes = reader.number(1)
    reader.take(6)
    extended = reader.number(4)
    if not capabilities & Capability.LONG_PASSWORD:
        capabilities |= extended << 32
    nonce += reader.take(max(13, nonce_bytes - _FIRST_NONCE_BYTES))[:-1]
    plugin = reader.zero_ended().decode("ascii", "replace") if capabilities & Capability.PLUGIN_AUTH else ""
    return Handshake(upstream=Upstream(version, Capability(capabilities)), number=number, nonce=nonce, plugin=plugin)
