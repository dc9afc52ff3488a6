"""Recorded output of a session, decoded for a person to read."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from gatepost.errors import UpstreamFault
from gatepost.partial import Partial
from gatepost.values import Shown
from gatepost_postgres import messages
from gatepost_postgres.columns import Description, describe
from gatepost_postgres.frames import HEADER_BYTES, LONGEST, header
from gatepost_postgres.types import BINARY_FORMAT, to_text

_count: Final = struct.Struct("!H").unpack_from
_length: Final = struct.Struct("!i").unpack_from

_STATUSES: Final[Mapping[bytes, str]] = {b"I": "idle", b"T": "in a transaction", b"E": "in a failed transaction"}
_ERROR_FIELDS: Final = ("severity", "code", "message", "detail", "hint")


def shown(output: Iterable[bytes]) -> Iterator[Shown]:
    """What the client was shown, message by message, in order.

    The chunks are those of `on_output`. A message that the recording ends in is left out; at bytes that are no
    message of a server, as where a recording starts amid one, the reading ends.
    """
    reader = _Reader()
    partial = Partial()
    for chunk in output:
        data = partial.join(chunk)
        if data is None:
            continue
        position = 0
        while len(data) - position >= HEADER_BYTES:
            kind, length = header(data, position)
            if kind not in _BACKEND or not 4 <= length <= LONGEST:
                return
            stop = position + 1 + length
            if stop > len(data):
                partial.keep(data[position:], 1 + length)
                break
            read = _READERS.get(kind)
            if read is not None:
                try:
                    yield from read(reader, data[position + HEADER_BYTES : stop])
                except (UpstreamFault, ValueError, struct.error):
                    return
            position = stop
        else:
            partial.keep(data[position:], HEADER_BYTES)


class _Reader:
    """One reading of a recording.

    A cell's format is known from the description of its result. That of a prepared statement does not say it, and
    a statement that is executed again is not described again: then a cell is taken for what it looks like.
    """

    def __init__(self) -> None:
        self._description: Description | None = None
        self._is_prepared = False

    def parameters(self, body: bytes) -> Iterator[Shown]:
        self._is_prepared = True
        return iter(())

    def columns(self, body: bytes) -> Iterator[Shown]:
        self._description = describe(body)
        yield Shown(kind="columns", cells=self._description.names)

    def row(self, body: bytes) -> Iterator[Shown]:
        (count,) = _count(body)
        at, cells = 2, []
        for column in range(count):
            (length,) = _length(body, at)
            at += 4
            if length > len(body) - at:
                raise ValueError("a cell is longer than its row")
            cells.append(None if length < 0 else self._cell(column, count, body[at : at + length]))
            at += max(length, 0)
        yield Shown(kind="row", cells=tuple(cells))

    def _cell(self, column: int, count: int, data: bytes) -> str:
        description = self._description
        if description is None or len(description.oids) != count:
            text = _looks_like_text(data)
            return _hex(data) if text is None else text
        if not self._is_prepared:
            is_binary = description.formats[column] == BINARY_FORMAT
            return to_text(description.oids[column], data) if is_binary else data.decode("utf-8", "replace")
        text = _looks_like_text(data)
        return to_text(description.oids[column], data) if text is None else text

    def tag(self, body: bytes) -> Iterator[Shown]:
        self._end()
        yield Shown(kind="tag", cells=tuple(_texts(body)))

    def error(self, body: bytes) -> Iterator[Shown]:
        self._end()
        return self._fields("error", body)

    def notice(self, body: bytes) -> Iterator[Shown]:
        return self._fields("notice", body)

    def _fields(self, kind: str, body: bytes) -> Iterator[Shown]:
        texts = {
            messages.FIELD_NAMES.get(chr(part[0])): part[1:].decode("utf-8", "replace")
            for part in body.split(b"\0")
            if part
        }
        yield Shown(kind=kind, cells=tuple(texts.get(name) for name in _ERROR_FIELDS))

    def notification(self, body: bytes) -> Iterator[Shown]:
        yield Shown(kind="notification", cells=tuple(_texts(body[4:])))

    def parameter(self, body: bytes) -> Iterator[Shown]:
        yield Shown(kind="state", cells=tuple(_texts(body)))

    def ready(self, body: bytes) -> Iterator[Shown]:
        yield Shown(kind="state", cells=(_STATUSES.get(body, ""),))

    def copy(self, body: bytes) -> Iterator[Shown]:
        text = _looks_like_text(body)
        yield Shown(kind="copy", cells=(_hex(body) if text is None else text.rstrip("\n"),))

    def _end(self) -> None:
        """The result is over; what comes next may be of another statement."""
        self._description = None
        self._is_prepared = False


_READERS: Final[Mapping[int, Callable[[_Reader, bytes], Iterator[Shown]]]] = {
    messages.PARAMETER_DESCRIPTION: _Reader.parameters,
    messages.ROW_DESCRIPTION: _Reader.columns,
    messages.DATA_ROW: _Reader.row,
    messages.COMMAND_COMPLETE: _Reader.tag,
    messages.ERROR: _Reader.error,
    messages.NOTICE: _Reader.notice,
    messages.NOTIFICATION: _Reader.notification,
    messages.PARAMETER_STATUS: _Reader.parameter,
    messages.READY: _Reader.ready,
    messages.COPY_DATA: _Reader.copy,
}

_BACKEND: Final = frozenset(_READERS) | {
    messages.PARSE_COMPLETE,
    messages.BIND_COMPLETE,
    messages.CLOSE_COMPLETE,
    messages.EMPTY_QUERY,
    messages.NO_DATA,
    messages.PORTAL_SUSPENDED,
    messages.COPY_IN,
    messages.COPY_OUT,
    messages.COPY_DONE,
    messages.BACKEND_KEY_DATA,
}


def _looks_like_text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\t\r\n" for character in text) else None


def _hex(data: bytes) -> str:
    return "\\x" + data.hex()


def _texts(body: bytes) -> list[str]:
    return [part.decode("utf-8", "replace") for part in body.split(b"\0")[:-1]]
