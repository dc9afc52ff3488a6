"""Cancelling what a session runs in its database."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from gatepost.adapter import UPSTREAM, Action, Close, ProtocolSession, SendUpstream, Side, StartTls
from gatepost.errors import Fault
from gatepost.link import Link
from gatepost.listener import Listener, dial
from gatepost.values import Restriction, UpstreamCredentials

log = logging.getLogger("gatepost.session")


class Canceller:
    """A second connection to the database, which cancels what a session runs there."""

    def __init__(self, request: ProtocolSession, listener: Listener, connect_seconds: float) -> None:
        self._request = request
        self._listener = listener
        self._connect_seconds = connect_seconds
        self._link = Link(self, UPSTREAM)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        try:
            await dial(self._link, self._listener, self._connect_seconds)
            self._run(self._request.connected(UpstreamCredentials(user=""), Restriction()))
            await asyncio.wait_for(self._done, self._connect_seconds)
        except (Fault, TimeoutError) as error:
            log.warning("a cancel request did not reach target %s: %s", self._listener.target.name, error)
        finally:
            self._link.close()

    def _run(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case SendUpstream():
                    self._link.write(action.data)
                case StartTls() if self._listener.upstream_layer is not None:
                    self._link.start_tls(self._listener.upstream_layer(), action.early)
                case Close():
                    self._finish()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def made(self, side: Side) -> None:
        pass

    def received(self, side: Side, data: bytes) -> None:
        try:
            self._run(self._request.receive(side, data))
        except Fault as fault:
            self.broken(fault)

    def tls_established(self, side: Side, info: Any) -> None:
        self._run(self._request.tls_started(side, info))

    def lost(self, side: Side) -> None:
        self._finish()

    def broken(self, fault: Fault) -> None:
        if not self._done.done():
            self._done.set_exception(fault)

    def slow(self, side: Side, is_slow: bool) -> None:
        pass
