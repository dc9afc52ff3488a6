"""MySQL's sessions keep the contract."""

from tests import mysql_wire as wire
from tests.contract.sessions import Cells, SessionContract, Wire

from gatepost.adapter import CLIENT, UPSTREAM, Environment, TlsPolicy
from gatepost.testing import Player, RecordingHooks, make_environment
from gatepost_mysql import ADAPTER


class MySqlWire(Wire):
    """Text results; the login is a password inside TLS, and a database that takes the first proof."""

    adapter = ADAPTER
    pipelines = False
    illegal = {CLIENT: wire.command(0x7F), UPSTREAM: wire.packet(1, wire.ok())}

    def environment(self, hooks: RecordingHooks) -> Environment:
        return make_environment(hooks, client_tls=TlsPolicy.REQUIRED)

    def handshake(self, player: Player) -> Player:
        player.client(wire.ssl_request()).client(wire.login(number=2)).client(wire.packet(4, b"secret\0"))
        return player.upstream(wire.greeting()).upstream(wire.packet(2, wire.ok())).upstream(wire.settings())

    def query(self, text: str) -> bytes:
        return wire.query(text)

    def answer(self, sent: bytes, rows: list[Cells]) -> bytes:
        answer = b""
        for _ in wire.split(sent):
            definitions = [wire.definition(f"c{index}") for index in range(len(rows[0]))]
            answer += wire.result(definitions, [wire.text_row(*row) for row in rows])
        return answer

    def rows(self, cells: list[Cells]) -> bytes:
        first = 2 + len(cells[0])
        return wire.packets(first, *(wire.text_row(*row) for row in cells))


class TestMySql(SessionContract):
    wire = MySqlWire()
