"""Serving for tests: sessions whose handshakes are over, a backend that answers as PostgreSQL does, messages."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from tests import wire
from tests.wire import message

from gatepost.adapter import Limits, TlsPolicy
from gatepost.testing import Player, RecordingHooks, make_environment
from gatepost.values import ALLOW, Deny, EndCode, Interest, Limit, Statement, Verdict
from gatepost_postgres import ADAPTER

READY, READY_IN_BLOCK, READY_FAILED = (message("Z", status) for status in (b"I", b"T", b"E"))
PARSED, BOUND, CLOSED, NO_DATA, SUSPENDED, EMPTY = (message(kind) for kind in "123nsI")
INT8, TEXT = 20, 25
DENIED_BY_TEST = "SELECT denied"
DENY = Deny(reason="it was denied", rule="r1", hint="ask for less", plugin="policy")


def description(*names: str, oid: int = TEXT, binary: int = 0) -> bytes:
    columns = (f"{name}\0".encode() + struct.pack("!IhIhih", 0, 0, oid, -1, -1, binary) for name in names)
    return message("T", struct.pack("!h", len(names)) + b"".join(columns))


def row(*cells: bytes | None) -> bytes:
    parts = (struct.pack("!i", -1) if cell is None else struct.pack("!i", len(cell)) + cell for cell in cells)
    return message("D", struct.pack("!h", len(cells)) + b"".join(parts))


def tag(text: str) -> bytes:
    return message("C", text.encode() + b"\0")


def error(code: str, text: str, **fields: str) -> bytes:
    return message("E", _fields({"S": "ERROR", "V": "ERROR", "C": code, "M": text, **fields}))


def notice(text: str) -> bytes:
    return message("N", _fields({"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": text}))


def _fields(fields: dict[str, str]) -> bytes:
    return b"".join(code.encode() + text.encode() + b"\0" for code, text in fields.items()) + b"\0"


def split(data: bytes) -> list[tuple[str, bytes]]:
    """Whole messages: kind and body."""
    found = []
    while data:
        (length,) = struct.unpack_from("!I", data, 1)
        found.append((chr(data[0]), data[5 : 1 + length]))
        data = data[1 + length :]
    return found


def kinds(data: bytes) -> str:
    return "".join(kind for kind, _ in split(data))


def texts(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse."""
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}


def errors(data: bytes) -> list[str]:
    """The codes of the errors in a stream."""
    return [texts(body)["C"] for kind, body in split(data) if kind == "E"]


def judge(statement: Statement) -> Verdict:
    return DENY if DENIED_BY_TEST in statement.text else ALLOW


def serving(
    hooks: RecordingHooks | None = None,
    judge: Callable[[Statement], Verdict | Limit | None] = judge,
    limits: Limits | None = None,
) -> Player:
    """A session that waits for its first statement."""
    environment = make_environment(hooks, client_tls=TlsPolicy.REQUIRED, limits=limits or Limits())
    player = Player(ADAPTER.session(environment), judge=judge)
    player.client(wire.SSL_REQUEST).client(wire.startup("agent", "shop")).client(message("p", b"secret\0"))
    settings = message("S", b"client_encoding\0UTF8\0") + message("S", b"standard_conforming_strings\0on\0")
    player.upstream(message("R", bytes(4)) + settings + message("K", struct.pack("!ii", 1, 2)) + READY)
    assert player.serving
    player.sent()
    return player


def watching(**changes: Any) -> RecordingHooks:
    """Hooks that want everything."""
    return RecordingHooks(Interest.EVERYTHING, **changes)


class _Failure(Exception):
    """The backend's own: SQLSTATE and text."""


class Backend:
    """A PostgreSQL as far as a protocol goes, from 54.2 of its documentation and nothing of the product.

    It knows `SELECT n` (n rows of one column), `COPY IN`, `COPY OUT`, `BEGIN`, `COMMIT`, `ROLLBACK`, `FAIL` and the
    empty statement; all else is a syntax error. A Query may hold several, parted by ";".
    """

    ROWS = 3

    def __init__(self) -> None:
        self.status = b"I"
        self.ran: list[str] = []
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, Iterator[bytes]] = {}
        self._texts: dict[bytes, str] = {}
        self._skips = False
        self._copy: tuple[bool, list[str]] | None = None
        self._inbox = b""

    def feed(self, data: bytes) -> bytes:
        """Messages from a client; returns what the backend says."""
        self._inbox += data
        out = b""
        while len(self._inbox) >= 5:
            (length,) = struct.unpack_from("!I", self._inbox, 1)
            if len(self._inbox) < 1 + length:
                break
            kind, body = chr(self._inbox[0]), self._inbox[5 : 1 + length]
            self._inbox = self._inbox[1 + length :]
            out += b"".join(self._message(kind, body))
        return out

    def _message(self, kind: str, body: bytes) -> Iterator[bytes]:
        is_simple = self._copy[0] if self._copy is not None else kind == "Q"
        try:
            if self._copy is not None:
                yield from self._copied(kind)
            elif kind == "S":
                self._skips = False
                yield self._ready()
            elif not self._skips:
                yield from self._HANDLERS[kind](self, body)
        except _Failure as failure:
            self._copy = None
            self._skips = not is_simple
            if self.status == b"T":
                self.status = b"E"
            yield error(*failure.args)
            if is_simple:
                yield self._ready()

    def _ready(self) -> bytes:
        if self.status == b"I":
            self._portals.clear()
        return message("Z", self.status)

    def _copied(self, kind: str) -> Iterator[bytes]:
        assert self._copy is not None
        assert kind in "dcfHS", "the real one would end the session"
        if kind == "f":
            raise _Failure("57014", "COPY from stdin failed")
        if kind == "c":
            is_simple, rest = self._copy
            self._copy = None
            yield tag("COPY 1")
            if is_simple:
                yield from self._simple(rest)

    def _ignore(self, body: bytes) -> Iterator[bytes]:
        return iter(())

    def _query(self, body: bytes) -> Iterator[bytes]:
        self._statements.pop(b"", None)
        self._portals.pop(b"", None)
        yield from self._simple(body[:-1].decode().split(";"))

    def _simple(self, rest: list[str]) -> Iterator[bytes]:
        while rest:
            text = rest.pop(0).strip()
            self._check(text)
            if text.startswith("SELECT "):
                yield description("a")
            for answer in self._run(text):
                if kinds(answer) == "G":
                    self._copy = (True, rest)
                    yield answer
                    return
                yield answer
        yield self._ready()

    def _check(self, text: str) -> None:
        if text.split(" ")[0] not in ("SELECT", "COPY", "BEGIN", "COMMIT", "ROLLBACK", "FAIL", ""):
            raise _Failure("42601", "syntax error")
        if self.status == b"E" and text not in ("COMMIT", "ROLLBACK", ""):
            raise _Failure("25P02", "current transaction is aborted")

    def _run(self, text: str) -> Iterator[bytes]:
        """The answer in pieces, one row each; the last one is the completion."""
        self.ran.append(text)
        if text == "FAIL":
            raise _Failure("22012", "division by zero")
        if text == "":
            yield EMPTY
        elif text == "COPY IN":
            yield message("G", b"\0\0\1\0\0")
        elif text == "COPY OUT":
            yield message("H", b"\0\0\1\0\0") + message("d", b"line\n") + message("c") + tag("COPY 1")
        elif text.startswith("SELECT"):
            for index in range(self.ROWS):
                yield row(str(index).encode())
            yield tag(f"SELECT {self.ROWS}")
        else:
            self.status = {"BEGIN": b"T"}.get(text, b"I")
            yield tag(text)

    def _parse(self, body: bytes) -> Iterator[bytes]:
        name, text, _ = body.split(b"\0", 2)
        if not name:
            self._statements.pop(b"", None)
        self._check(text.decode())
        if name in self._statements:
            raise _Failure("42P05", "prepared statement already exists")
        self._statements[name] = text.decode()
        yield PARSED

    def _bind(self, body: bytes) -> Iterator[bytes]:
        portal, name, _ = body.split(b"\0", 2)
        if name not in self._statements:
            raise _Failure("26000", "prepared statement does not exist")
        self._check(self._statements[name])
        if portal and portal in self._portals:
            raise _Failure("42P03", "cursor already exists")
        self._texts[portal] = self._statements[name]
        self._portals[portal] = self._run(self._statements[name])
        yield BOUND

    def _describe(self, body: bytes) -> Iterator[bytes]:
        is_portal = body[:1] == b"P"
        if is_portal and body[1:-1] not in self._portals:
            raise _Failure("34000", "portal does not exist")
        if not is_portal and body[1:-1] not in self._statements:
            raise _Failure("26000", "prepared statement does not exist")
        text = self._texts[body[1:-1]] if is_portal else self._statements[body[1:-1]]
        if not is_portal:
            yield message("t", b"\0\0")
        yield description("a") if text.startswith("SELECT") else NO_DATA

    def _execute(self, body: bytes) -> Iterator[bytes]:
        name, limit = body[:-5], int.from_bytes(body[-4:])
        if name not in self._portals:
            raise _Failure("34000", "portal does not exist")
        self._check(self._texts[name])
        count = answered = 0
        for answer in self._portals[name]:
            answered += 1
            if kinds(answer) == "G":
                self._copy = (False, [])
            yield answer
            count += kinds(answer) == "D"
            if limit and count == limit:
                yield SUSPENDED
                return
        if not answered:
            yield tag("SELECT 0")

    def _close(self, body: bytes) -> Iterator[bytes]:
        (self._portals if body[:1] == b"P" else self._statements).pop(body[1:-1], None)
        yield CLOSED

    _HANDLERS = {
        **dict.fromkeys("dcfHX", _ignore),
        "Q": _query,
        "P": _parse,
        "B": _bind,
        "D": _describe,
        "E": _execute,
        "C": _close,
    }


def converse(player: Player, backend: Backend, *batches: bytes) -> bytes:
    """Play what a client says, batch by batch, with the backend's answers. Returns what the client got."""
    player.sent()
    out = b""
    for batch in batches:
        player.client(batch)
        while True:
            to_client, to_upstream = player.sent()
            out += to_client
            if not to_upstream:
                break
            player.upstream(backend.feed(to_upstream))
    assert player.closed is None, player.closed
    return out


def fault_of(player: Player) -> tuple[EndCode, str]:
    """How a session has ended."""
    assert player.closed is not None
    return player.closed.code, player.closed.text
