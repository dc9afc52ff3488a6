"""What a client was sent, byte for byte."""

from __future__ import annotations

import socket
from typing import Any, Protocol


class Client(Protocol):
    """A client whose socket can be replaced."""

    socket: socket.socket


class Tap:
    """A client's socket, and all that was received from it."""

    def __init__(self, client: Client) -> None:
        self._socket = client.socket
        self.seen = b""
        client.socket = self  # type: ignore[assignment]

    def recv(self, size: int) -> bytes:
        data = self._socket.recv(size)
        self.seen += data
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
