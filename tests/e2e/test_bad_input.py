"""What no client should send: answered in the protocol's form where there is one, closed, logged; none disturbed."""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest
from tests.servers import Gate
from tests.wire import SYNC, Message, Wire, WireError, bind, execute, message, parse, query, startup


class Bad(NamedTuple):
    """What a client sends, and the SQLSTATE of the answer ("" where the protocol has no form for one)."""

    name: str
    data: bytes
    code: str = ""


BEFORE_LOGIN = [
    Bad("an HTTP request", b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
    Bad("a TLS record of nothing", b"\x16\x03\x01\x00\x05hello"),
    Bad("an SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n"),
    Bad("zeros", b"\0" * 64),
    Bad("ones", b"\xff" * 64),
    Bad("a length below the header's own", struct.pack("!II", 7, 0x30000)),
    Bad("an oversize startup", struct.pack("!II", 1 << 20, 0x30000) + b"x" * 4096),
    Bad("a startup that lies about its length", struct.pack("!II", 9, 0x30000) + b"\x01"),
    Bad("version 2", struct.pack("!II", 9, 0x20000) + b"\0", "0A000"),
    Bad("version 4", struct.pack("!II", 9, 0x40000) + b"\0", "0A000"),
    Bad("no user", startup("", "shop"), "28000"),
    Bad("a name without a value", struct.pack("!II", 13, 0x30000) + b"user\0", "08P01"),
    Bad("no end of the list", struct.pack("!II", 20, 0x30000) + b"user\0agent\0x"[:12], "08P01"),
    Bad("bytes after the end of the list", struct.pack("!II", 23, 0x30000) + b"user\0agent\0\0abc", "08P01"),
    Bad("a name twice", struct.pack("!II", 31, 0x30000) + b"user\0agent\0user\0agent\0\0", "08P01"),
    Bad("a query instead of a password", startup("agent", "shop") + query("SELECT 1"), "08P01"),
    Bad(
        "an unknown SASL mechanism", startup("agent", "shop") + message("p", b"PLAIN\0" + struct.pack("!I", 0)), "08P01"
    ),
    Bad("SASL with a lying length", startup("agent", "shop") + message("p", b"SCRAM-SHA-256\0\0\0\xff\xffn"), "08P01"),
    Bad("SCRAM that is none", startup("agent", "shop") + message("p", b"SCRAM-SHA-256\0\0\0\0\x04nope"), "08P01"),
    Bad("a password of a megabyte", startup("agent", "shop") + b"p" + struct.pack("!I", 1 << 20), "54000"),
]

AFTER_LOGIN = [
    Bad("an unknown message", message("y", b"what"), "08P01"),
    Bad("a server's message", message("D", b"\0\0") + message("Z", b"I"), "08P01"),
    Bad("a length below the header's own", b"Q\0\0\0\x03", "08P01"),
    Bad("a negative length", b"Q\xff\xff\xff\xff", "54000"),
    Bad("a query without its NUL", message("Q", b"SELECT 1"), "08P01"),
    Bad("a query with a NUL in it", message("Q", b"SELECT 1\0; DROP TABLE cards\0"), "08P01"),
    Bad("a Parse that counts more types than it has", message("P", b"\0SELECT 1\0\0\xff"), "08P01"),
    Bad("a Parse with bytes to spare", message("P", b"\0SELECT 1\0\0\0more"), "08P01"),
    Bad("a Bind with a lying value", message("B", b"\0\0\0\0\0\x01\0\0\xff\xff1\0\0"), "08P01"),
    Bad("a Bind with a negative count", message("B", b"\0\0\0\0\xff\xff"), "08P01"),
    Bad("a Describe of nothing known", message("D", b"X\0"), "08P01"),
    Bad("a Close of nothing known", message("C", b"X\0"), "08P01"),
    Bad("an Execute without its limit", message("E", b"\0"), "08P01"),
    Bad("a Sync with a body", message("S", b"body"), "08P01"),
    Bad("a Flush with a body", message("H", b"body"), "08P01"),
    Bad("a password after the login", message("p", b"password\0"), "08P01"),
    Bad("a second startup", startup("agent", "shop"), "08P01"),
]

REFUSED = [
    Bad("a query that is not UTF-8", message("Q", b"SELECT '\xff\xfe'\0"), "42601"),
    Bad("a function call", message("F", struct.pack("!IHHH", 957, 0, 0, 0)), "0A000"),
]


@pytest.fixture
def bystander(full_gate: Gate):
    """Another session, which must not notice."""
    with Wire(full_gate.port).log_in("agent", full_gate.password) as wire:
        wire.query("BEGIN")
        yield wire
        answer = wire.query("SELECT 'undisturbed'")
        assert [each.kind for each in answer] == list("TDCZ")
        assert answer[-1].body == b"T"


def answers(wire: Wire) -> list[Message]:
    """All that the peer still says, strictly framed, up to the end of the stream."""
    found = []
    while True:
        try:
            found.append(wire.read())
        except (EOFError, ConnectionResetError):
            return found


@pytest.mark.parametrize("bad", BEFORE_LOGIN, ids=lambda bad: bad.name)
def test_before_the_login(full_gate: Gate, bystander: Wire, bad: Bad) -> None:
    with Wire(full_gate.port) as wire:
        wire.send(bad.data)
        said = [each for each in answers(wire) if each.kind != "R"]
    assert [each.kind for each in said] == ["E"] * len(said)
    if bad.code:
        assert [each.fields["C"] for each in said] == [bad.code]
        assert said[0].fields["S"] == "FATAL"
    full_gate.log.wait_for(wire.address)


@pytest.mark.parametrize("bad", AFTER_LOGIN, ids=lambda bad: bad.name)
def test_after_the_login(full_gate: Gate, bystander: Wire, bad: Bad) -> None:
    with Wire(full_gate.port).log_in("agent", full_gate.password) as wire:
        wire.send(bad.data)
        said = answers(wire)
    assert [(each.kind, each.fields["C"], each.fields["S"]) for each in said] == [("E", bad.code, "FATAL")]
    full_gate.log.wait_for(wire.address)


@pytest.mark.parametrize("bad", REFUSED, ids=lambda bad: bad.name)
def test_what_is_well_formed_but_refused_leaves_the_session(full_gate: Gate, bystander: Wire, bad: Bad) -> None:
    with Wire(full_gate.port).log_in("agent", full_gate.password) as wire:
        wire.send(bad.data)
        (error, _) = wire.read_until("Z")
        assert (error.kind, error.fields["C"], error.fields["S"]) == ("E", bad.code, "ERROR")
        assert [each.kind for each in wire.query("SELECT 1")] == list("TDCZ")


@pytest.mark.parametrize("length", range(1, len(startup("agent", "shop")), 7))
def test_half_a_startup(full_gate: Gate, bystander: Wire, length: int) -> None:
    with Wire(full_gate.port) as wire:
        wire.send(startup("agent", "shop")[:length])
        wire.socket.shutdown(1)
        assert [each.kind for each in answers(wire)] in ([], ["E"])


def test_half_a_statement(full_gate: Gate, bystander: Wire) -> None:
    with Wire(full_gate.port).log_in("agent", full_gate.password) as wire:
        wire.send(query("CREATE TABLE half_a_statement (a int)")[:-1])
        wire.socket.shutdown(1)
        assert [each.kind for each in answers(wire)] in ([], ["E"])
    assert b"half_a_statement" not in b"".join(each.body for each in bystander.query("SELECT relname FROM pg_class"))


def test_messages_that_come_byte_by_byte(full_gate: Gate) -> None:
    with Wire(full_gate.port) as wire:
        wire.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
        for byte in startup("agent", "shop"):
            wire.send(bytes([byte]))
        wire.authenticate(full_gate.password)
        wire.until_ready()
        for byte in query("SELECT 'whole'") + parse("SELECT $1::text") + bind(parameters=[b"x"]) + execute() + SYNC:
            wire.send(bytes([byte]))
        assert [each.kind for each in wire.read_until("Z")] == list("TDCZ")
        assert [each.kind for each in wire.read_until("Z")] == list("12DCZ")


def test_a_login_is_not_taken_over_by_what_follows_it(full_gate: Gate) -> None:
    """A client that sends statements before it is proven gets none of them run."""
    with Wire(full_gate.port) as wire, pytest.raises((WireError, EOFError, ConnectionError)):
        wire.send(startup("agent", "shop"), query("CREATE TABLE smuggled (a int)"))
        wire.authenticate("wrong")
    with Wire(full_gate.port).log_in("agent", full_gate.password) as wire:
        assert b"smuggled" not in b"".join(each.body for each in wire.query("SELECT relname FROM pg_class"))
