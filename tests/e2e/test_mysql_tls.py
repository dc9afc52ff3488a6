"""TLS towards real MySQL and MariaDB servers: every mode, certificates not to be trusted, and gatepost's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mysql.connector
import pymysql
import pytest
from tests.certificates import Authority
from tests.mysql_servers import MySqlDatabase, connect, mysql_front
from tests.servers import Gate, MakeGate, eventually, gates

# The database's certificate is not one that gatepost trusts; and the server has not said why it hung up.
REFUSED, LOST = 1429, 1158
INSPECTED = """
[plugins.secrets.targets.shop.inspector]
user = "{user}"
password = "file:upstream.password"
[plugins.policy.roles.reader]
require_catalogue = true
allow = [{{ do = "read", on = "shop.*" }}]
[plugins.mask]
[plugins.audit]
"""


def tls(mode: str, authority: Authority | None = None, files: tuple[Path, Path] | None = None) -> str:
    """Keys of a target; `files` are gatepost's own certificate and its key."""
    keys = {"mode": mode, "ca": authority and authority.certificate}
    keys |= dict(zip(("certificate", "key"), files or (), strict=False))
    return "\n".join(f'upstream_tls.{name} = "{value}"' for name, value in keys.items() if value)


def cipher(gate: Gate) -> str:
    """What the connection to the database is encrypted with, as the server tells; "" for nothing."""
    with connect(gate) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        ((_, name),) = cursor.fetchall()
        return str(name)


def refusal(gate: Gate, *codes: int) -> str:
    """Why a login ends in an error."""
    with pytest.raises(pymysql.OperationalError) as refused:
        connect(gate)
    assert refused.value.args[0] in (codes or (REFUSED,))
    assert "clerk" not in str(refused.value)
    return str(refused.value)


def assert_serving(gate: Gate, server: MySqlDatabase) -> None:
    """Rows as text and in binary, large ones, and a write."""
    with connect(gate) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pan FROM cards ORDER BY id")
        assert [pan[-4:] for (pan,) in cursor.fetchall()] == [pan[-4:] for pan in server.pans]
        cursor.execute("SELECT REPEAT('x', 17000000)")
        assert len(cursor.fetchall()[0][0]) == 17000000
        assert cursor.execute("UPDATE customers SET name = 'Kim' WHERE id = 1 AND name = 'nobody'") == 0
    login = {"host": "127.0.0.1", "port": gate.port, "user": "agent", "password": gate.password, "database": "shop"}
    with mysql.connector.connect(**login, use_pure=True) as connection:
        prepared = connection.cursor(prepared=True)
        for number in (1, 2):
            prepared.execute("SELECT id, name FROM customers WHERE id = %s", (number,))
            assert prepared.fetchall() == [(number, f"Customer {number}")]


def create(server: MySqlDatabase, user: str, identified: str) -> MySqlDatabase:
    """The server, with another login of gatepost's."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP USER IF EXISTS {user}@'127.0.0.1'")
        cursor.execute(f"CREATE USER {user}@'127.0.0.1' {identified.format(password=server.password)}")
        cursor.execute(f"GRANT ALL ON shop.* TO {user}@'127.0.0.1'")
    return server._replace(user=user)


@contextmanager
def showing(server: MySqlDatabase, files: tuple[Path, Path]) -> Iterator[None]:
    """The server shows another certificate."""
    with server.connect() as connection, connection.cursor() as cursor:
        reload = "FLUSH SSL" if server.flavour == "mariadb" else "ALTER INSTANCE RELOAD TLS"
        cursor.execute("SELECT @@ssl_cert, @@ssl_key")
        ((certificate, key),) = cursor.fetchall()
        kept = Path(certificate).read_bytes(), Path(key).read_bytes()
        try:
            shutil.copy(files[0], certificate)
            shutil.copy(files[1], key)
            cursor.execute(reload)
            yield
        finally:
            Path(certificate).write_bytes(kept[0])
            Path(key).write_bytes(kept[1])
            cursor.execute(reload)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeGate]:
    """Starts gates, and gives one that was asked for before again."""
    started: dict[str, Gate] = {}
    with gates(tmp_path_factory.mktemp("mysqltls")) as make:

        def once(upstream: MySqlDatabase, **options: str) -> Gate:
            key = f"{upstream} {options}"
            if key not in started:
                started[key] = make(upstream, **options)
            return started[key]

        yield once


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
def test_a_connection_is_encrypted(
    gate: MakeGate, mysql_server: MySqlDatabase, authority: Authority, mode: str
) -> None:
    front = mysql_front(gate, mysql_server, target=tls(mode, authority))
    assert cipher(front).startswith(("TLS_", "ECDHE"))
    assert_serving(front, mysql_server)


def test_a_connection_is_not_encrypted_where_that_is_disabled(gate: MakeGate, mysql_server: MySqlDatabase) -> None:
    front = mysql_front(gate, mysql_server, target=tls("disable"))
    assert cipher(front) == ""
    assert_serving(front, mysql_server)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_of_another_authority(
    gate: MakeGate, mysql_server: MySqlDatabase, tmp_path: Path, mode: str
) -> None:
    front = mysql_front(gate, mysql_server, target=tls(mode, Authority(tmp_path)))
    if mode == "require":
        assert cipher(front)
    else:
        assert "certificate" in refusal(front)


def test_the_authorities_of_the_system_are_those_to_trust_where_none_are_named(
    gate: MakeGate, mysql_server: MySqlDatabase
) -> None:
    assert "certificate" in refusal(mysql_front(gate, mysql_server, target=tls("verify-ca")))


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_of_another_name(
    gate: MakeGate, mysql_server: MySqlDatabase, authority: Authority, mode: str
) -> None:
    front = mysql_front(gate, mysql_server, target=tls(mode, authority))
    with showing(mysql_server, authority.server("db.example")):
        if mode == "verify-full":
            assert "127.0.0.1" in refusal(front)
        else:
            assert cipher(front)
    assert cipher(front)


def test_a_certificate_of_gatepost_s_own(
    gate: MakeGate, mysql_server: MySqlDatabase, authority: Authority, tmp_path: Path
) -> None:
    upstream = create(mysql_server, "certified", "IDENTIFIED BY '{password}' REQUIRE SUBJECT '/CN=gatepost'")
    shown = mysql_front(gate, upstream, target=tls("verify-full", authority, authority.client("gatepost")))
    assert cipher(shown)
    assert_serving(shown, upstream)
    for files in (None, authority.client("another")):
        assert "refused gatepost's login" in refusal(
            mysql_front(gate, upstream, target=tls("verify-full", authority, files))
        )
    stranger = Authority(tmp_path).client("gatepost")
    assert refusal(mysql_front(gate, upstream, target=tls("verify-full", authority, stranger)), REFUSED, LOST)


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_a_server_without_tls(
    gate: MakeGate, plain_mysql_server: MySqlDatabase, authority: Authority, mode: str
) -> None:
    front = mysql_front(gate, plain_mysql_server, target=tls(mode, authority))
    if mode == "prefer":
        assert cipher(front) == ""
        assert_serving(front, plain_mysql_server)
    else:
        assert "offers no TLS" in refusal(front)


def test_the_inspector_speaks_tls_too(gate: MakeGate, mysql_server: MySqlDatabase, authority: Authority) -> None:
    upstream = create(mysql_server, "inspected", "IDENTIFIED BY '{password}' REQUIRE X509")
    target = 'database = "shop"\n' + tls("verify-full", authority, authority.client("gatepost"))
    front = mysql_front(gate, upstream, plugins=INSPECTED.format(user="inspected"), target=target)
    eventually(lambda: reads(front))


def test_the_inspector_trusts_no_other_authority(gate: MakeGate, mysql_server: MySqlDatabase, tmp_path: Path) -> None:
    target = 'database = "shop"\n' + tls("verify-ca", Authority(tmp_path))
    front = mysql_front(gate, mysql_server, plugins=INSPECTED.format(user=mysql_server.user), target=target)
    front.log.wait_for("catalogue")
    assert "certificate" in refusal(front)


def reads(gate: Gate) -> bool:
    """A role that requires the catalogue reads a table."""
    with connect(gate) as connection, connection.cursor() as cursor:
        try:
            return bool(cursor.execute("SELECT id FROM cards LIMIT 1"))
        except pymysql.Error:
            return False
