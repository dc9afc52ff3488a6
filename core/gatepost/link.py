"""One side of a session: a transport, and the TLS layer on it if there is one."""

from __future__ import annotations

import asyncio
import select
from typing import Final, Protocol, cast

from gatepost import tls
from gatepost.adapter import Side, TlsInfo
from gatepost.errors import Fault

# Where so much comes at once there may be more, and uvloop would read it on and on before anything else has its turn.
_LARGE: Final = 128 * 1024
# The link's own reason to stop reading; its owner's are below.
_OTHERS_TURN: Final = 1 << 7


class Owner(Protocol):
    """Whom a link reports to."""

    def made(self, side: Side) -> None:
        """The connection stands."""

    def received(self, side: Side, data: bytes) -> None:
        """Plaintext has come."""

    def tls_established(self, side: Side, info: TlsInfo) -> None:
        """The TLS handshake is over."""

    def lost(self, side: Side) -> None:
        """The peer has closed, or the connection broke."""

    def broken(self, fault: Fault) -> None:
        """TLS failed."""

    def slow(self, side: Side, is_slow: bool) -> None:
        """The peer does not take what it is sent, or does again."""


class Link(asyncio.Protocol):
    """The asyncio protocol of one transport; tells its owner, in the owner's words, what happens on it."""

    __slots__ = ("_closed", "_holds", "_layer", "_owner", "_side", "_transport")

    def __init__(self, owner: Owner, side: Side) -> None:
        self._owner = owner
        self._side = side
        self._transport: asyncio.Transport | None = None
        self._layer: tls.Layer | None = None
        self._holds = 0
        self._closed = False

    @property
    def peer(self) -> str:
        """The peer's address, "host:port", or "unix"."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        if not isinstance(name, tuple):
            return "unix"
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._owner.made(self._side)

    def data_received(self, data: bytes) -> None:
        if len(data) >= _LARGE:
            self.hold(_OTHERS_TURN)
            asyncio.get_running_loop().call_soon(self.release, _OTHERS_TURN)
        if self._layer is None:
            self._owner.received(self._side, data)
        else:
            self._decrypt(data)

    def eof_received(self) -> None:
        """Half-closed connections are closed: neither protocol has a use for them."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._owner.lost(self._side)

    def pause_writing(self) -> None:
        self._owner.slow(self._side, True)

    def resume_writing(self) -> None:
        self._owner.slow(self._side, False)

    def write(self, data: bytes) -> None:
        if self._transport is None or self._closed:
            return
        self._transport.write(data if self._layer is None else self._layer.send(data))

    def start_tls(self, layer: tls.Layer, early: bytes) -> None:
        """Speak TLS from here on; `early` is ciphertext that has already come."""
        assert self._transport is not None
        self._layer = layer
        if hello := layer.begin():
            self._transport.write(hello)
        if early:
            self._decrypt(early)

    def hold(self, reason: int) -> None:
        """Stop reading, until every reason (a bit each, below `_OTHERS_TURN`) is released."""
        if self._holds == 0 and self._transport is not None and not self._closed:
            self._transport.pause_reading()
        self._holds |= reason

    def release(self, reason: int) -> None:
        if self._holds & reason:
            self._holds &= ~reason
            if self._holds == 0 and self._transport is not None and not self._closed:
                self._transport.resume_reading()

    def peer_has_left(self) -> bool:
        """Whether a peer that is not read from has closed its side: nothing else would tell."""
        if not self._holds or self._transport is None or self._closed:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close once what was written has left."""
        if self._transport is None or self._closed:
            return
        if self._layer is not None and (goodbye := self._layer.close()):
            self._transport.write(goodbye)
        self._transport.close()

    def abort(self) -> None:
        """Close at once, dropping what has not left."""
        if self._transport is not None and not self._closed:
            self._transport.abort()

    def _decrypt(self, data: bytes) -> None:
        layer, transport = self._layer, self._transport
        assert layer is not None
        assert transport is not None
        established = layer.info is not None
        try:
            plain, reply, closed = layer.receive(data)
        except Fault as fault:
            self._owner.broken(fault)
            transport.close()
            return
        if reply:
            transport.write(reply)
        if not established and layer.info is not None:
            self._owner.tls_established(self._side, layer.info)
        if plain:
            self._owner.received(self._side, plain)
        if closed:
            transport.close()
