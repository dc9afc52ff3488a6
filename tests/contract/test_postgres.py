"""PostgreSQL's sessions keep the contract."""

import struct

from tests import wire as bytes_of
from tests.contract.sessions import Cells, SessionContract, Wire

from gatepost.adapter import CLIENT, UPSTREAM, Environment, TlsPolicy
from gatepost.testing import Player, RecordingHooks, make_environment
from gatepost_postgres import ADAPTER

message = bytes_of.message

READY = message("Z", b"I")
NO_SUCH = message("E", b"SERROR\0VERROR\0C42601\0Msyntax error\0\0")
TEXT = 25


def description(count: int) -> bytes:
    columns = (f"c{index}\0".encode() + struct.pack("!IhIhih", 0, 0, TEXT, -1, -1, 0) for index in range(count))
    return message("T", struct.pack("!h", count) + b"".join(columns))


class PostgresWire(Wire):
    """Text results of simple queries; the login is a password inside TLS, and a database that trusts."""

    adapter = ADAPTER
    illegal = {CLIENT: message("d", b"data"), UPSTREAM: message("D", b"\0\0")}

    def environment(self, hooks: RecordingHooks) -> Environment:
        return make_environment(hooks, client_tls=TlsPolicy.REQUIRED)

    def handshake(self, player: Player) -> Player:
        player.client(bytes_of.SSL_REQUEST).client(bytes_of.startup("agent", "shop")).client(message("p", b"secret\0"))
        settings = b"".join(
            message("S", f"{name}\0{value}\0".encode())
            for name, value in (("client_encoding", "UTF8"), ("standard_conforming_strings", "on"))
        )
        login = message("R", struct.pack("!i", 0)) + settings + message("K", struct.pack("!ii", 1, 2)) + READY
        return player.upstream(login)

    def query(self, text: str) -> bytes:
        return bytes_of.query(text)

    def answer(self, sent: bytes, rows: list[Cells]) -> bytes:
        answer = b""
        while sent:
            kind, length = sent[:1], struct.unpack_from("!I", sent, 1)[0]
            sent = sent[1 + length :]
            if kind == b"Q":
                tag = message("C", f"SELECT {len(rows)}\0".encode())
                answer += description(len(rows[0])) + self.rows(rows) + tag + READY
            elif kind == b"P":
                answer += NO_SUCH
            elif kind == b"S":
                answer += READY
        return answer

    def rows(self, cells: list[Cells]) -> bytes:
        return b"".join(
            message(
                "D",
                struct.pack("!h", len(row))
                + b"".join(
                    struct.pack("!i", -1) if cell is None else struct.pack("!i", len(cell.encode())) + cell.encode()
                    for cell in row
                ),
            )
            for row in cells
        )


class TestPostgres(SessionContract):
    wire = PostgresWire()
