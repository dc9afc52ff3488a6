"""A stand-in for an OPA server: it speaks as much HTTP/1.1 as the Data API needs, and misbehaves as it is told.

It evaluates no policy, so what is tested against it is the way to a server and back, and nothing of OPA itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec


class Asked(NamedTuple):
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: Any


class OpaStandIn:
    """Answers every request alike.

    Attributes:
        answer: what it sends; None: nothing, ever.
        closes: it closes the connection after the answer.
        asked: the requests so far.
        connections: how many there have been.
    """

    def __init__(self) -> None:
        self.answer: bytes | None = result({"allow": True})
        self.closes = False
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *fields = head.strip().split("\r\n")
                headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.asked.append(Asked(line, headers, msgspec.json.decode(body)))
                if self.answer is not None:
                    writer.write(self.answer)
                    await writer.drain()
                if self.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def http(status: str, body: bytes, *headers: str) -> bytes:
    """A whole answer."""
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return head.encode() + b"\r\n\r\n" + body


def result(decision: object) -> bytes:
    """The Data API's answer with this result."""
    return http("200 OK", msgspec.json.encode({"decision_id": "1", "result": decision}))


@asynccontextmanager
async def running(tls: ssl.SSLContext | None = None) -> AsyncIterator[OpaStandIn]:
    """A stand-in on a port of its own."""
    stand_in = OpaStandIn()
    server = await asyncio.start_server(stand_in.serve, "127.0.0.1", 0, ssl=tls)
    stand_in.port = server.sockets[0].getsockname()[1]
    try:
        yield stand_in
    finally:
        server.close()
