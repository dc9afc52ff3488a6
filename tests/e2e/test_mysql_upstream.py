"""gatepost's login to real MySQL and MariaDB servers, by each kind of authentication that they have."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest
from tests.mysql_servers import MySqlDatabase, MySqlServer, connect, mysql_front
from tests.servers import PATIENCE, MakeGate

KINDS = {
    "mariadb": {
        "native": "IDENTIFIED VIA mysql_native_password USING PASSWORD('{password}')",
        "ed25519": "IDENTIFIED VIA ed25519 USING PASSWORD('{password}')",
    },
    "mysql": {"sha2": "IDENTIFIED WITH caching_sha2_password BY '{password}'"},
}


@pytest.mark.parametrize("mode", ["disable", "require"])
@pytest.mark.parametrize("kind", ["native", "ed25519", "sha2"])
def test_login(gate: MakeGate, mysql_server: MySqlDatabase, kind: str, mode: str) -> None:
    identified = KINDS[mysql_server.flavour].get(kind)
    if identified is None:
        pytest.skip(f"{mysql_server.flavour} has no such authentication")
    user = f"{kind}_{mode}"
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER {user}@'127.0.0.1' {identified.format(password=mysql_server.password)}")
        cursor.execute(f"GRANT SELECT ON shop.* TO {user}@'127.0.0.1'")
    front = mysql_front(gate, mysql_server._replace(user=user), target=f'upstream_tls.mode = "{mode}"')
    for _ in range(2):  # the second time the server may know the password by heart
        with connect(front) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)")
            assert cursor.fetchall() == ((user,),)
            cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            ((_, cipher),) = cursor.fetchall()
            assert bool(cipher) is (mode == "require")


@pytest.mark.parametrize("mode", ["disable", "require"])
def test_a_wrong_password(gate: MakeGate, mysql_server: MySqlDatabase, mode: str) -> None:
    front = mysql_front(gate, mysql_server._replace(password="wrong"), target=f'upstream_tls.mode = "{mode}"')
    with pytest.raises(Exception, match="refused gatepost's login") as refused:
        connect(front)
    assert mysql_server.user not in str(refused.value)


@contextlib.contextmanager
def reachable_at(port: int, server: int) -> Iterator[None]:
    """Let a server be reached at another port too."""

    class Way(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", server)) as other:
                back = threading.Thread(target=pump, args=(other, self.request))
                back.start()
                pump(self.request, other)
                back.join()

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Way) as way:
        thread = threading.Thread(target=way.serve_forever)
        thread.start()
        yield
        way.shutdown()
        thread.join()


def version(port: int) -> str:
    """What a client is greeted with."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        return connection.recv(1024)[5:].split(b"\0")[0].decode()


def test_a_database_that_is_not_there_yet(gate: MakeGate, mysql_server: MySqlDatabase) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port: int = nobody.getsockname()[1]
    front = mysql_front(gate, mysql_server._replace(server=MySqlServer(port)))
    assert version(front.port) == "5.7.44-gatepost"
    with pytest.raises(Exception, match="cannot be reached"):
        connect(front)
    with reachable_at(port, mysql_server.server.port):
        assert version(front.port) == "5.7.44-gatepost"
        connect(front).close()
        assert version(front.port) == version(mysql_server.server.port)
