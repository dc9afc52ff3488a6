"""Clients that break MySQL's protocol: an ERR where it has one, closed, logged, and nobody else is disturbed."""

from __future__ import annotations

import socket
import struct

import pytest
from tests import mysql_wire as wire
from tests.mysql_servers import connect
from tests.servers import PATIENCE, Gate


def read_message(stream: socket.socket) -> bytes:
    """One message, b"" if the connection is closed."""
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:3], "little"):
        try:
            part = stream.recv(4096)
        except ConnectionResetError:
            part = b""
        if not part:
            return b""
        data += part
    return data[4:]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\xff\xff\x01",
        wire.packet(5, wire.login()[4:]),
        wire.packet(1, b"\0" * 32),
        wire.query("SELECT 1"),
        wire.login(capabilities=0),
        wire.login(collation=28),
        wire.ssl_request() + wire.login(number=2),
        struct.pack("<I", 1 << 24) + b"x",
    ],
)
def test_before_the_login(mysql_gate: Gate, data: bytes) -> None:
    with connect(mysql_gate) as bystander, bystander.cursor() as cursor:
        logged = len(mysql_gate.log)
        with socket.create_connection(("127.0.0.1", mysql_gate.port), PATIENCE) as client:
            assert read_message(client)[0] == 10
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            answer = read_message(client)
            assert not answer or answer[0] == 0xFF
            assert not answer or read_message(client) == b""
        mysql_gate.log.wait_for("ended", after=logged)
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)


@pytest.mark.parametrize(
    "data",
    [
        wire.packet(3, b"\x03SELECT 1"),
        wire.packet(0, b""),
        wire.command(0x99),
        wire.command(wire.EXECUTE, b"\1"),
        b"\xff\xff\xff\x00" + b"x" * 100,
    ],
)
def test_after_the_login(mysql_gate: Gate, data: bytes) -> None:
    logged = len(mysql_gate.log)
    connection = connect(mysql_gate, ssl_disabled=True)
    stream: socket.socket = connection._sock
    stream.sendall(data)
    stream.shutdown(socket.SHUT_WR)
    answer = read_message(stream)
    assert not answer or answer[0] == 0xFF
    if answer:
        mysql_gate.log.wait_for("client_fault", after=logged)
    connection._force_close()
    with connect(mysql_gate) as other, other.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)
