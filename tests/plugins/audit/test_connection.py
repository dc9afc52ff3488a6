"""The recorder's end of a connection: the same frames, however they come."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from gatepost_audit import wire
from gatepost_audit.connection import LARGEST, READ, Connection

SIZES = (1, 7, 300, READ - wire.FRAME.size, READ, READ + 1, 3 * LARGEST, 5)
PIECES = (1, 4, 6, 5000, 100_000, READ)

Frame = tuple[int, bytearray]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Connection]]:
    worker, recorder = socket.socketpair()
    recorder.setblocking(False)
    with worker, recorder:
        yield worker, Connection(recorder)


def exchange(ends: tuple[socket.socket, Connection], data: bytes, sizes: Callable[[], int]) -> Iterator[list[Frame]]:
    """What each reading gives, while `data` is sent in pieces of such `sizes`, as far as they fit the socket."""
    worker, connection = ends
    worker.setblocking(False)
    while True:
        with suppress(BlockingIOError):
            data = data[worker.send(data[: sizes()]) :]
        try:
            yield connection.receive()
        except BlockingIOError:
            if not data:
                return


@pytest.mark.parametrize("seed", range(5))
def test_any_split_gives_the_same_frames(ends: tuple[socket.socket, Connection], seed: int) -> None:
    chance = random.Random(seed)
    sent = [(number % 4, chance.randbytes(size)) for number, size in enumerate(chance.sample(SIZES, len(SIZES)))]
    data = b"".join(wire.frame(payload, flags) for flags, payload in sent)
    taken = [frame for frames in exchange(ends, data, lambda: chance.choice(PIECES)) for frame in frames]
    assert taken == sent


def test_a_large_frame_takes_memory_as_it_comes_and_gives_it_back(ends: tuple[socket.socket, Connection]) -> None:
    payload = bytes(2 * LARGEST)
    taken = []
    for frames in exchange(ends, wire.frame(payload, 0), lambda: READ):
        taken += frames
        assert len(ends[1].buffer) <= max(READ, 2 * ends[1].filled)
    assert taken == [(0, payload)]
    assert len(ends[1].buffer) == READ


@pytest.mark.parametrize("length", [0, wire.MAX_PAYLOAD + 1])
def test_a_length_that_no_frame_has(ends: tuple[socket.socket, Connection], length: int) -> None:
    worker, connection = ends
    worker.sendall(wire.FRAME.pack(length, 0))
    with pytest.raises(ValueError, match="no frame"):
        connection.receive()


def test_a_worker_that_has_gone(ends: tuple[socket.socket, Connection]) -> None:
    worker, connection = ends
    worker.close()
    with pytest.raises(EOFError):
        connection.receive()
