"""The serving phase where no plugin looks at statements, rows or texts: nothing is asked, framing alone is kept.

A message passes as its bytes come; it is never held whole. Which messages may follow which is the server's to judge.
"""

from __future__ import annotations

from typing import Final

from gatepost.adapter import CLIENT, Action, Environment, SendClient, SendUpstream, Side
from gatepost.errors import ClientFault, FaultCode, UpstreamFault
from gatepost.values import Statement, Verdict
from gatepost_postgres import chunks, messages
from gatepost_postgres.chunks import LARGE
from gatepost_postgres.frames import HEADER_BYTES, LONGEST, header

_READY_BYTES: Final = HEADER_BYTES + 1
_IDLE: Final = ord("I")

_ASKS: Final = frozenset((messages.QUERY, messages.SYNC))
_FROM_CLIENT: Final = _ASKS | {
    messages.PARSE,
    messages.BIND,
    messages.DESCRIBE,
    messages.EXECUTE,
    messages.CLOSE,
    messages.FLUSH,
    messages.TERMINATE,
    messages.COPY_DATA,
    messages.COPY_DONE,
    messages.COPY_FAIL,
}
_FROM_SERVER: Final = frozenset(
    (
        messages.PARSE_COMPLETE,
        messages.BIND_COMPLETE,
        messages.CLOSE_COMPLETE,
        messages.NOTIFICATION,
        messages.COMMAND_COMPLETE,
        messages.DATA_ROW,
        messages.ERROR,
        messages.COPY_IN,
        messages.COPY_OUT,
        messages.COPY_DATA,
        messages.COPY_DONE,
        messages.EMPTY_QUERY,
        messages.NOTICE,
        messages.PARAMETER_STATUS,
        messages.ROW_DESCRIPTION,
        messages.READY,
        messages.NO_DATA,
        messages.PORTAL_SUSPENDED,
        messages.PARAMETER_DESCRIPTION,
    )
)
_ROWS: Final = frozenset((messages.DATA_ROW, messages.COPY_DATA))


class PassingPhase:
    """Both sides' bytes, as they come.

    Attributes:
        is_over: the client has said that it leaves.
        is_amid_message: a part of one of the server's messages has left for the client.
    """

    def __init__(self, environment: Environment) -> None:
        self.is_over = False
        self._message_bytes = environment.limits.message_bytes
        # Of each side: how much of the message that is passing is still to come, and a header that is not whole yet.
        self._client_rest = self._server_rest = 0
        self._client_header = self._server_header = b""
        self._unanswered = 0
        self._status = _IDLE

    @property
    def is_idle(self) -> bool:
        return not self._unanswered and self._status == _IDLE and not self._client_rest and not self._client_header

    @property
    def is_amid_message(self) -> bool:
        return self._server_rest > 0

    def receive(self, side: Side, data: bytes) -> list[Action]:
        return self._from_client(data) if side is CLIENT else self._from_server(data)

    def _from_client(self, data: bytes) -> list[Action]:
        if self._client_header:
            data, self._client_header = self._client_header + data, b""
        position, end = self._client_rest, len(data)
        while end - position >= HEADER_BYTES:
            kind, length = header(data, position)
            if kind not in _FROM_CLIENT:
                raise _refused(kind)
            if length < 4:
                raise ClientFault("the client sent a message with an impossible length")
            if length > self._message_bytes and kind != messages.COPY_DATA:
                raise ClientFault("the client sent a message that is too long", code=FaultCode.TOO_LARGE)
            if kind in _ASKS:
                self._unanswered += 1
            elif kind == messages.TERMINATE:
                self.is_over = True
            position += 1 + length
        if position >= end:
            self._client_rest = position - end
        else:
            self._client_rest = 0
            data, self._client_header = data[:position], data[position:]
        return [SendUpstream(data)] if data else []

    def _from_server(self, data: bytes) -> list[Action]:
        if self._server_header:
            data, self._server_header = self._server_header + data, b""
        position, end = self._server_rest, len(data)
        if end - position >= LARGE and (kind := data[position]) in _ROWS:
            position = chunks.rows(data, position, kind)[1]
        while end - position >= HEADER_BYTES:
            kind, length = header(data, position)
            if kind not in _FROM_SERVER:
                raise UpstreamFault("the server sent a message that is not allowed here")
            if length < 4 or length > LONGEST:
                raise UpstreamFault("the server sent a message with an impossible length")
            if kind == messages.READY:
                if end - position < _READY_BYTES:
                    break
                self._status = data[position + HEADER_BYTES]
                self._unanswered = max(self._unanswered - 1, 0)
            position += 1 + length
        if position >= end:
            self._server_rest = position - end
        else:
            self._server_rest = 0
            data, self._server_header = data[:position], data[position:]
        return [SendClient(data)] if data else []

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        raise AssertionError("nothing is asked here")

    def restate(self, statement: Statement, text: str) -> Statement:
        raise AssertionError("nothing is asked here")

    def renew(self, statement: Statement) -> Statement:
        raise AssertionError("nothing is asked here")

    def abort(self) -> list[Action]:
        return []


def _refused(kind: int) -> ClientFault:
    if kind == messages.FUNCTION_CALL:
        return ClientFault(
            "function calls by message are not supported",
            code=FaultCode.UNSUPPORTED,
            hint="call the function in a SELECT",
        )
    return ClientFault("the client sent a message that is not allowed here")
