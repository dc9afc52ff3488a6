"""A database that answers as PostgreSQL would, without SQL: what a text does is decided by its first words.

Source: PostgreSQL 18 documentation, 54.2 "Message Flow".
"""

from __future__ import annotations

import struct

from tests.wire import message

ROW = message("D", struct.pack("!hi", 1, 1) + b"1")
DESCRIPTION = message("T", struct.pack("!h", 1) + b"c\0" + struct.pack("!IhIhih", 0, 0, 25, -1, -1, 0))
COPY_FORMAT = struct.pack("!bhh", 0, 1, 0)


def error(code: str = "42601", severity: str = "ERROR") -> bytes:
    return message("E", f"S{severity}\0V{severity}\0C{code}\0Mno\0\0".encode())


class Server:
    """Takes the frontend's bytes, gives the backend's.

    Attributes:
        closed: it has ended the session.
    """

    def __init__(self) -> None:
        self.closed = False
        self._data = b""
        self._prepared: dict[bytes, str] = {}
        self._portals: dict[bytes, tuple[str, int]] = {}
        self._skipping = False
        self._copying: str | None = None
        self._status = b"I"

    def receive(self, data: bytes) -> bytes:
        """What it answers to these bytes, which may end within a message."""
        self._data += data
        answer = b""
        while len(self._data) >= 5 and not self.closed:
            kind, length = self._data[:1].decode(), struct.unpack_from("!I", self._data, 1)[0]
            if len(self._data) < 1 + length:
                break
            body, self._data = self._data[5 : 1 + length], self._data[1 + length :]
            answer += self._message(kind, body)
        return answer

    def _message(self, kind: str, body: bytes) -> bytes:
        if self._copying is not None:
            return self._copy(kind)
        if kind == "X":
            self.closed = True
            return b""
        if kind == "S":
            self._skipping = False
            return self._ready()
        if self._skipping or kind in "Hdcf":
            return b""
        handler = {
            "Q": self._query,
            "P": self._parse,
            "B": self._bind,
            "D": self._describe,
            "E": self._execute,
            "C": self._close,
        }[kind]
        return handler(body)

    def _ready(self) -> bytes:
        if self._status == b"I":
            self._portals.clear()
        return message("Z", self._status)

    def _failed(self) -> bytes:
        if self._status == b"T":
            self._status = b"E"
        return error()

    def _skip(self) -> bytes:
        self._skipping = True
        return self._failed()

    def _copy(self, kind: str) -> bytes:
        if kind in "dHS":
            return b""
        ending, self._copying = self._copying, None
        if kind == "c":
            return message("C", b"COPY 0\0") + (self._ready() if ending == "Q" else b"")
        if kind == "f":
            return self._failed() + self._ready() if ending == "Q" else self._skip()
        self.closed = True
        return error("08P01", "FATAL")

    def _query(self, body: bytes) -> bytes:
        texts = [text for text in body[:-1].decode().split(";") if text.strip()]
        if not texts:
            return message("I") + self._ready()
        answer = b""
        self._portals.pop(b"", None)
        self._prepared.pop(b"", None)
        for text in texts:
            part, is_over = self._run(text, "Q")
            answer += part
            if not is_over:
                return answer
            if part.endswith(error()):
                break
        return answer + self._ready()

    def _run(self, text: str, mode: str) -> tuple[bytes, bool]:
        """What running it answers, and whether that is all."""
        words = text.split()
        verb = words[0]
        if verb == "fail" or (self._status == b"E" and verb not in ("commit", "rollback")):
            return self._failed(), True
        tag = message("C", verb.upper().encode() + b"\0")
        if verb == "copy" and "from" in words:
            self._copying = mode
            return message("G", COPY_FORMAT), False
        if verb == "copy":
            return message("H", COPY_FORMAT) + message("d", b"1\n") * 2 + message("c") + tag, True
        if verb in ("select", "fetch"):
            return (DESCRIPTION if mode == "Q" else b"") + ROW * 2 + tag, True
        if verb == "begin":
            self._status = b"T"
        elif verb in ("commit", "rollback"):
            self._status = b"I"
            self._portals.clear()
        elif verb == "prepare":
            self._prepared[words[1].encode()] = " ".join(words[3:])
        elif verb == "deallocate" and words[1] == "all":
            self._prepared.clear()
        elif verb == "deallocate" and self._prepared.pop(words[1].encode(), None) is None:
            return self._failed(), True
        elif verb == "discard":
            self._prepared.clear()
            self._portals.clear()
        elif verb == "declare":
            self._portals[words[1].encode()] = ("select 1", 2)
        elif verb == "close" and self._portals.pop(words[1].encode(), None) is None:
            return self._failed(), True
        return tag, True

    def _parse(self, body: bytes) -> bytes:
        name, text, _ = body.split(b"\0", 2)
        decoded = text.decode()
        if decoded.startswith(("fail", "denied by gatepost")) or ";" in decoded or (name and name in self._prepared):
            return self._skip()
        self._prepared[name] = decoded
        return message("1")

    def _bind(self, body: bytes) -> bytes:
        portal, name, _ = body.split(b"\0", 2)
        if name not in self._prepared or (portal and portal in self._portals):
            return self._skip()
        self._portals[portal] = (self._prepared[name], 2)
        return message("2")

    def _describe(self, body: bytes) -> bytes:
        kind, name = body[:1], body[1:-1]
        if kind == b"S" and name in self._prepared:
            return message("t", b"\0\0") + self._columns(self._prepared[name])
        if kind == b"P" and name in self._portals:
            return self._columns(self._portals[name][0])
        return self._skip()

    @staticmethod
    def _columns(text: str) -> bytes:
        return DESCRIPTION if text.startswith(("select", "fetch")) else message("n")

    def _execute(self, body: bytes) -> bytes:
        name, limit = body[:-5], struct.unpack("!I", body[-4:])[0]
        if name not in self._portals:
            return self._skip()
        text, left = self._portals[name]
        if not text.strip():
            return message("I")
        if text.startswith(("select", "fetch")) and self._status != b"E":
            count = min(left, limit) if limit else left
            self._portals[name] = (text, left - count)
            is_suspended = limit and count == limit
            return ROW * count + (message("s") if is_suspended else message("C", b"SELECT\0"))
        answer, _ = self._run(text, "E")
        if answer.endswith(error()):
            self._skipping = True
        return answer

    def _close(self, body: bytes) -> bytes:
        (self._portals if body[:1] == b"P" else self._prepared).pop(body[1:-1], None)
        return message("3")
