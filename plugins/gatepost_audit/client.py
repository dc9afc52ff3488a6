"""A worker's connection to the recorder: one write per turn of the event loop, replies in order, reconnection."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from gatepost import FaultCode, PluginFault
from gatepost_audit import records, wire

log = logging.getLogger(__name__)

LAZY = 0.005
"""Seconds between looks for frames that nobody waits for and that no other frame has taken along since the last one."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts to connect."""
HANDOVER = 5.0
"""Seconds to wait for the next recorder after one that stopped in order."""
JOINED = 16 << 10
"""Bytes up to which the frames of a write are joined, and may wait for others to join them."""
SOCKET = 1 << 20
"""Bytes that may be in the socket, as far as the system lets them: more than one session hands over at once."""
HELD_WITHOUT_RECORDER = 64 << 20
"""Bytes to hold while there is no recorder; what comes after is lost, counted, and told as a gap."""


class Group:
    """Frames that share a write, and who waits for them.

    Attributes:
        parts: the header and the payload of each that is not acknowledged, in order; `size` bytes.
        shared: done when all of them are acknowledged; several may wait for it, so nobody cancels it.
        waiters: the same, each for one who may cancel it.
    """

    __slots__ = ("parts", "shared", "size", "waiters")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.shared: asyncio.Future[None] | None = None
        self.waiters: list[asyncio.Future[None]] = []

    def settle(self, fault: PluginFault | None) -> None:
        if self.shared is not None:
            settle(self.shared, fault)
            self.shared = None
        for waiter in self.waiters:
            settle(waiter, fault)
        self.waiters.clear()


class Link(asyncio.Protocol):
    """Frames to the recorder; each is kept until it is acknowledged, and sent again on a new connection.

    Args:
        folder: where the recorder's socket is.
        room: bytes that may be unacknowledged before `wait_for_room` makes its callers wait.
    """

    def __init__(self, folder: Path, room: int) -> None:
        self._folder = folder
        self._room = room
        self._transport: asyncio.Transport | None = None
        self._kept: deque[Group] = deque()
        self._unsent: Group | None = None
        self._rest = b""
        self._is_scheduled = False
        self._is_timed = False
        self._has_flushed = False
        self._is_greeted = False
        self._handover: asyncio.TimerHandle | None = None
        self._waiting_for_room: list[asyncio.Future[None]] = []
        self._lost = 0
        self._pause = FIRST_PAUSE
        self._problem = "the recorder has not answered yet"
        self._keeper: asyncio.Task[None] | None = None
        self.held = 0
        """Bytes that are not acknowledged."""
        self.is_open = False
        """The recorder takes records."""

    async def open(self, seconds: float) -> None:
        """Connect, and stay connected until `close`.

        Raises PluginFault if the recorder does not answer in `seconds`.
        """
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._keeper = self._loop.create_task(self._keep_connected())
        try:
            async with asyncio.timeout(seconds):
                await self._until(lambda: self.is_open)
        except TimeoutError:
            self._keeper.cancel()
            raise self.fault() from None

    async def close(self, seconds: float) -> None:
        """Wait until all is acknowledged, `seconds` at most, and disconnect."""
        if self._keeper is None:
            return
        self.flush()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._until(lambda: not self._kept)
        self.is_open = False
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper
        self._keeper = None
        if self._kept:
            lost = sum(len(group.parts) // 2 for group in self._kept)
            log.error("%d records could not be handed to the recorder", lost)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def _keep_connected(self) -> None:
        place = wire.Folder(self._folder)
        try:
            while True:
                try:
                    transport, _ = await self._loop.create_unix_connection(lambda: self, place.address)
                except OSError as error:
                    self._problem = f"the recorder does not run ({os.strerror(error.errno or 0)})"
                else:
                    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET)
                    try:
                        await self._until(lambda: self._transport is None)
                    finally:
                        transport.abort()
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)
        finally:
            place.close()

    def fault(self) -> PluginFault:
        return PluginFault(
            f"the record cannot be written: {self._problem}",
            code=FaultCode.RECORD,
            hint="Nothing runs unrecorded. Try again in a moment; if it lasts, tell the operator of the gate.",
        )

    def send(self, payload: bytes, flags: int = 0) -> None:
        """Hand over a record that nobody waits for."""
        if not self.is_open and self.held > HELD_WITHOUT_RECORDER:
            self._lost += 1
            return
        group = self._keep(payload, flags)
        if group.size > JOINED:
            self._flush_soon()
        elif not self._is_timed and not self._is_scheduled:
            self._time()

    def confirm(self, payload: bytes, flags: int) -> asyncio.Future[None]:
        """Hand over a record. The future is done when the recorder has acknowledged it, or fails with a PluginFault.

        Raises PluginFault if there is no recorder.
        """
        group = self._keep_soon(payload, flags)
        waiter = self._loop.create_future()
        group.waiters.append(waiter)
        return waiter

    def share(self, payload: bytes, flags: int) -> asyncio.Future[None]:
        """As `confirm`, for less: others wait for the same future, so it must not be cancelled."""
        group = self._keep_soon(payload, flags)
        if group.shared is None:
            group.shared = self._loop.create_future()
        return group.shared

    def wait_for_room(self) -> asyncio.Future[None] | None:
        """None while there is room, else a future that is done when there is again.

        Raises PluginFault if there is no recorder to make room.
        """
        if self.held <= self._room:
            return None
        if not self.is_open:
            raise self.fault()
        waiter = self._loop.create_future()
        self._waiting_for_room.append(waiter)
        return waiter

    def _keep_soon(self, payload: bytes, flags: int) -> Group:
        """Keep a frame that somebody is going to wait for, and send it at the end of this turn of the loop."""
        if not self.is_open:
            raise self.fault()
        self._flush_soon()
        return self._keep(payload, flags)

    def _keep(self, payload: bytes, flags: int) -> Group:
        length = len(payload)
        if length > wire.MAX_PAYLOAD:
            raise PluginFault("the record cannot be written: it is too large", code=FaultCode.RECORD)
        group = self._unsent
        if group is None:
            group = self._unsent = Group()
            self._kept.append(group)
        size = length + wire.FRAME.size
        group.parts += (wire.FRAME.pack(length, flags), payload)
        group.size += size
        self.held += size
        return group

    def _flush_soon(self) -> None:
        """Send what is kept at the end of this turn of the loop."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        self._is_scheduled = False
        group = self._unsent
        if group is not None and self._transport is not None and self._is_greeted:
            self._unsent = None
            self._has_flushed = True
            write(self._transport, group.parts, group.size)

    def _time(self) -> None:
        self._is_timed = True
        self._has_flushed = False
        self._loop.call_later(LAZY, self._look)

    def _look(self) -> None:
        """A timer that runs out costs less than one that each flush cancels."""
        self._is_timed = False
        if self._unsent is None or self._is_scheduled:
            return
        if self._has_flushed:
            self._time()
        else:
            self.flush()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._is_greeted = False
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        whole = len(data) - len(data) % wire.REPLY.size
        self._rest = data[whole:]
        for status, count in wire.REPLY.iter_unpack(data[:whole]):
            if status:
                self._shut(f"the recorder reports: {os.strerror(status)}")
            elif not self._is_greeted:
                self._begin()
            elif count:
                self._acknowledge(count)
            else:
                self._handover = self._loop.call_later(HANDOVER, self._shut, "the recorder has not come back")

    def _begin(self) -> None:
        """The recorder is there: send all again that it may not have."""
        self._is_greeted = True
        self._end_handover()
        self.is_open = True
        self._pause = FIRST_PAUSE
        if self._lost:
            detail = f"{self._lost} records of process {os.getpid()} are lost: there was no recorder to take them"
            self._lost = 0
            self._keep(
                records.encode(records.Event(time.time_ns(), records.EventKind.GAP, "worker", detail)), wire.DISK
            )
        self._unsent = None
        assert self._transport is not None
        write(self._transport, [part for group in self._kept for part in group.parts], self.held)
        self._changed.set()

    def _acknowledge(self, count: int) -> None:
        kept = self._kept
        while count:
            group = kept[0]
            frames = len(group.parts) // 2
            if count < frames:
                size = sum(map(len, group.parts[: 2 * count]))
                del group.parts[: 2 * count]
                group.size -= size
                self.held -= size
                break
            kept.popleft()
            count -= frames
            self.held -= group.size
            group.settle(None)
        if self._waiting_for_room and self.held <= self._room // 2:
            self._release_room(None)
        if not kept:
            self._changed.set()

    def _release_room(self, fault: PluginFault | None) -> None:
        waiting, self._waiting_for_room = self._waiting_for_room, []
        for waiter in waiting:
            settle(waiter, fault)

    def _shut(self, problem: str) -> None:
        """There is no recorder now: who waits for one is told, and what is kept waits for the next."""
        self._problem = problem
        self._end_handover()
        if not self.is_open:
            return
        self.is_open = False
        log.error("the record cannot be written: %s", problem)
        for group in self._kept:
            group.settle(self.fault())
        self._release_room(self.fault())

    def _end_handover(self) -> None:
        if self._handover is not None:
            self._handover.cancel()
            self._handover = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.is_open and self._handover is None:
            self._shut("the recorder has gone")
        self._changed.set()


def write(transport: asyncio.Transport, parts: list[bytes], size: int) -> None:
    """Send `parts`, of `size` bytes together; copied into one piece where that costs less than to send them apart."""
    if size > JOINED:
        transport.writelines(parts)
    else:
        transport.write(b"".join(parts))


def settle(waiter: asyncio.Future[None], fault: PluginFault | None) -> None:
    """Unless it was cancelled meanwhile."""
    if waiter.done():
        return
    if fault is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(fault)
        waiter.exception()  # it may be that nobody asks for it: a read whose answer never comes
