"""A worker's link to the recorder, without one: what is sent again, and when those who wait are told."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gatepost import PluginFault
from gatepost_audit import wire
from gatepost_audit.client import JOINED, Link


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.has_written = asyncio.Event()

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))
        self.has_written.set()


def play(scene: Callable[[Link, FakeTransport], Coroutine[Any, Any, None]], tmp_path: Path) -> None:
    async def run() -> None:
        link = Link(tmp_path, room=1 << 20)
        link._loop = asyncio.get_running_loop()
        link._changed = asyncio.Event()
        transport = FakeTransport()
        connect(link, transport)
        transport.written.clear()
        await scene(link, transport)

    asyncio.run(run())


def connect(link: Link, transport: FakeTransport) -> None:
    link.connection_made(transport)
    link.data_received(wire.REPLY.pack(0, 0))


def acknowledge(link: Link, count: int) -> None:
    link.data_received(wire.REPLY.pack(0, count))


def frames(*payloads: bytes) -> bytes:
    return b"".join(wire.frame(payload, wire.DISK) for payload in payloads)


def test_frames_of_one_turn_share_a_write_and_a_waiter(tmp_path: Path) -> None:
    async def scene(link: Link, transport: FakeTransport) -> None:
        first, second = link.share(b"a", wire.DISK), link.share(b"b", wire.DISK)
        assert first is second
        await asyncio.sleep(0)
        assert transport.written == [frames(b"a", b"b")]
        assert link.share(b"c", wire.DISK) is not first

    play(scene, tmp_path)


def test_who_may_cancel_cancels_nobody_elses_wait(tmp_path: Path) -> None:
    async def scene(link: Link, transport: FakeTransport) -> None:
        cancelled, other, shared = (wait(b"x", wire.DISK) for wait in (link.confirm, link.confirm, link.share))
        cancelled.cancel()
        await asyncio.sleep(0)
        acknowledge(link, 3)
        await other
        await shared

    play(scene, tmp_path)


def test_nobody_is_told_before_all_of_the_write_is_acknowledged_and_only_the_rest_is_sent_again(tmp_path: Path) -> None:
    async def scene(link: Link, transport: FakeTransport) -> None:
        shared = link.share(b"a", wire.DISK)
        own = link.confirm(b"b", wire.DISK)
        link.share(b"c", wire.DISK)
        await asyncio.sleep(0)
        later = link.share(b"d", wire.DISK)
        acknowledge(link, 2)
        assert not shared.done()
        assert not own.done()
        assert link.held == len(frames(b"c", b"d"))
        connect(link, again := FakeTransport())
        assert again.written == [frames(b"c", b"d")]
        await asyncio.sleep(0)
        assert len(again.written) == 1
        acknowledge(link, 2)
        await asyncio.gather(shared, own, later)
        assert link.held == 0

    play(scene, tmp_path)


def test_all_who_wait_are_told_that_there_is_no_recorder(tmp_path: Path) -> None:
    async def scene(link: Link, transport: FakeTransport) -> None:
        sent = link.share(b"a", wire.DISK), link.confirm(b"b", wire.DISK)
        await asyncio.sleep(0)
        unsent = link.share(b"c", wire.DISK), link.confirm(b"d", wire.DISK)
        link.data_received(wire.REPLY.pack(errno.ENOSPC, 0))
        for each in (*sent, *unsent):
            with pytest.raises(PluginFault, match="No space left"):
                await each
        with pytest.raises(PluginFault, match="No space left"):
            link.share(b"e", wire.DISK)

    play(scene, tmp_path)


def test_what_nobody_waits_for_is_sent_soon_or_with_what_somebody_waits_for(tmp_path: Path) -> None:
    async def scene(link: Link, transport: FakeTransport) -> None:
        link.send(b"a", wire.DISK)
        link.share(b"b", wire.DISK)
        await asyncio.sleep(0)
        assert transport.written == [frames(b"a", b"b")]
        transport.has_written.clear()
        link.send(b"c", wire.DISK)
        await transport.has_written.wait()
        assert transport.written[1] == frames(b"c")

    play(scene, tmp_path)


def test_what_is_large_is_sent_at_the_end_of_the_turn_though_nobody_waits_for_it(tmp_path: Path) -> None:
    async def scene(link: Link, transport: FakeTransport) -> None:
        large = b"a" * (JOINED + 1)
        link.send(large, wire.DISK)
        assert transport.written == []
        await asyncio.sleep(0)
        assert transport.written == [frames(large)]

    play(scene, tmp_path)
