"""A database that answers as MySQL would, without SQL: what a text does is decided by its first word."""

from __future__ import annotations

import struct

from tests import mysql_wire as wire

FORBIDDEN = "forbidden"
MORE, IN_TRANSACTION, CURSOR_EXISTS, LAST_ROW_SENT = 0x08, 0x01, 0x40, 0x80
TEXT_ROW = wire.text_row("1")
BINARY_ROW = b"\0\0" + wire.counted(b"1")


class Server:
    """Takes a client's bytes, gives the server's.

    Attributes:
        ran: the texts that it was asked to run or to prepare.
        closed: it has ended the session.
    """

    def __init__(self, capabilities: int) -> None:
        self._capabilities = capabilities
        self._more = more = b"\1\4json" if capabilities & wire.EXTENDED_METADATA else None
        self._column, self._parameter = wire.definition("c", more=more), wire.definition("?", more=more)
        self._described: set[int] = set()
        self.ran: list[str] = []
        self.closed = False
        self._eof = not capabilities & wire.DEPRECATE_EOF
        self._data = b""
        self._prepared: dict[int, str] = {}
        self._cursors: set[int] = set()
        self._last = 0
        self._status = 2
        self._file_packet = 0

    @property
    def waits_for_file(self) -> bool:
        """It has asked for a file whose end has not come."""
        return self._file_packet > 0

    def receive(self, data: bytes) -> bytes:
        """What it answers to these bytes, which may end within a message."""
        self._data += data
        answer = b""
        while len(self._data) >= 4 and not self.closed:
            length = int.from_bytes(self._data[:3], "little")
            if len(self._data) < 4 + length:
                break
            number, payload, self._data = self._data[3], self._data[4 : 4 + length], self._data[4 + length :]
            if self._file_packet:
                assert number == self._file_packet
                self._file_packet = number + 1 if payload else 0
                answer += b"" if payload else wire.packet(number + 1, wire.ok(affected=1, status=self._status))
                continue
            assert number == 0
            answer += wire.packets(1, *self._command(payload[0], payload[1:]))
        return answer

    def _command(self, kind: int, body: bytes) -> list[bytes]:
        if kind == wire.QUIT:
            self.closed = True
            return []
        if kind == wire.QUERY:
            return self._texts(self._behind_attributes(body).decode())
        if kind == wire.FIELD_LIST:
            self.ran.append("SHOW COLUMNS FROM `t`")
            return [wire.field("c", "1", more=self._more), self._end(self._status)]
        if kind == wire.PREPARE:
            return self._prepare(body.decode())
        if kind in (wire.EXECUTE, wire.FETCH, wire.CLOSE, wire.RESET, wire.LONG_DATA):
            return self._statement(kind, int.from_bytes(body[:4], "little"), body[4:])
        if kind == 0x1F:
            self._prepared.clear()
        return [wire.ok(status=self._status)]

    def _texts(self, text: str) -> list[bytes]:
        if text.startswith("SELECT @@sql_mode"):
            definitions, rows = wire.SETTINGS
            return [self._head(4), *definitions, *self._between(), *rows, self._end(self._status)]
        self.ran.append(text)
        if text.startswith("load data local"):
            self._file_packet = 2
            return [b"\xfb" + text.split("'")[1].encode()]
        parts = [part.strip() for part in text.split(";") if part.strip()]
        answers: list[bytes] = []
        for index, part in enumerate(parts):
            more = MORE if index + 1 < len(parts) else 0
            answers += self._text(part, more)
            if answers[-1][0] == 0xFF:
                break
        return answers or [wire.err(1065, "Query was empty")]

    def _text(self, text: str, more: int) -> list[bytes]:
        word = text.split()[0].lower()
        if word == "fail":
            return [wire.err()]
        if word == "begin":
            self._status |= IN_TRANSACTION
        if word in ("commit", "rollback"):
            self._status &= ~IN_TRANSACTION
        if word == "select":
            rows = [TEXT_ROW, *self._progress(), TEXT_ROW]
            return [self._head(1), self._column, *self._between(), *rows, self._end(self._status | more)]
        return [*self._progress(), wire.ok(affected=1, status=self._status | more)]

    def _behind_attributes(self, body: bytes) -> bytes:
        if not self._capabilities & wire.QUERY_ATTRIBUTES:
            return body
        count, rest = body[0], body[2:]
        assert body[1] == 1
        return rest[2 + count * (2 + len(wire.counted(b"name")) + len(wire.counted(b"x"))) :] if count else rest

    def _head(self, columns: int, *, follow: bool = True) -> bytes:
        return bytes((columns, follow) if self._capabilities & wire.CACHE_METADATA else (columns,))

    def _progress(self) -> list[bytes]:
        return [wire.progress()] if self._capabilities & wire.PROGRESS else []

    def _prepare(self, text: str) -> list[bytes]:
        self.ran.append(text)
        if not text or text.startswith("fail") or ";" in text:
            return [wire.err()]
        self._last += 1
        self._prepared[self._last] = text
        columns, parameters = int(text.lower().startswith("select")), text.count("?")
        if columns and not parameters:
            columns = 0  # it tells them with the first execution, as of INSERT … RETURNING
        elif columns:
            self._described.add(self._last)
        head = struct.pack("<BIHHBH", 0, self._last, columns, parameters, 0, 0)
        answer = [head, *[self._parameter] * parameters, *(self._between() if parameters else ())]
        return [*answer, *([self._column, *self._between()] if columns else ())]

    def _statement(self, kind: int, number: int, body: bytes) -> list[bytes]:
        if kind == wire.LONG_DATA:
            return []
        if kind == wire.CLOSE:
            self._prepared.pop(number, None)
            return []
        text = self._prepared.get(number)
        if text is None:
            return [wire.err(1243, "unknown statement")]
        if kind == wire.RESET:
            self._cursors.discard(number)
            return [wire.ok(status=self._status)]
        if kind == wire.FETCH:
            if number not in self._cursors:
                return [wire.err(1421, "no open cursor")]
            self._cursors.discard(number)
            return [BINARY_ROW, self._end(self._status | LAST_ROW_SENT)]
        self.ran.append(text)
        if not text.lower().startswith("select"):
            return self._text(text, 0)
        follow = not self._capabilities & wire.CACHE_METADATA or number not in self._described
        self._described.add(number)
        head = [self._head(1, follow=follow), *([self._column] if follow else ())]
        if body[0] & 1:
            self._cursors.add(number)
            return [*head, self._end(self._status | CURSOR_EXISTS)]
        return [*head, *self._between(), *self._progress(), BINARY_ROW, self._end(self._status)]

    def _between(self) -> list[bytes]:
        return [wire.eof(self._status)] if self._eof else []

    def _end(self, status: int) -> bytes:
        return wire.eof(status) if self._eof else wire.ok(head=0xFE, status=status)
