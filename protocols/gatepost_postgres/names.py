"""What the server knows by name, prepared statements or portals, while messages about it are under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """What can be known by a name."""

    @property
    def size(self) -> int:
        """Roughly how many bytes it takes to know it."""


T = TypeVar("T", bound=Sized)


class Unsettled(Exception):
    """What a name means depends on answers that are still to come."""


class Names(Generic[T]):
    """Names as the server has confirmed them, and as they will be.

    Within a batch (what ends in one Sync) the server runs a message only if all before it succeeded, so what an
    earlier message of the batch says holds for a later one. Of an earlier batch it may have failed, and then
    the name means what it meant before.
    """

    def __init__(self) -> None:
        self.settled: dict[bytes, T] = {}
        # Of names that messages are under way about: the latest message, its batch, what it makes the name mean.
        self._moving: dict[bytes, tuple[object, int, T | None]] = {}

    def __len__(self) -> int:
        return len(self.settled) + len(self._moving)

    def has_room(self, name: bytes, size: int, most: int, room: int) -> bool:
        """Whether `name` may come to mean a thing of this size, where `most` may be known, and in `room` bytes.

        What takes no more than its share of the room is bounded by how many there are, and larger things by what the
        others take together.
        """
        if len(self) >= most:
            return False
        return size <= room // most or sum(each.size for each in self._others(name)) <= room

    def _others(self, name: bytes) -> Iterator[T]:
        for other, thing in self.settled.items():
            if other != name:
                yield thing
        for other, (_, _, moving) in self._moving.items():
            if other != name and moving is not None:
                yield moving

    @property
    def is_moving(self) -> bool:
        """Messages about a name are under way."""
        return bool(self._moving)

    def begin(self, name: bytes, message: object, thing: T | None, batch: int) -> None:
        """A message is sent that makes `name` mean `thing`, or nothing."""
        self._moving[name] = (message, batch, thing)

    def end(self, name: bytes, message: object) -> None:
        """A message of `begin` was answered, or the server skipped it. Answers come in order."""
        if self._moving[name][0] is message:
            del self._moving[name]

    def find(self, name: bytes, batch: int) -> T | None:
        """What `name` means for a message of this batch. Raises Unsettled."""
        if name in self._moving:
            _, latest, thing = self._moving[name]
            if latest != batch:
                raise Unsettled
            return thing
        return self.settled.get(name)

    def latest(self, name: bytes) -> T | None:
        """What `name` means if all messages about it succeed."""
        if name in self._moving:
            return self._moving[name][2]
        return self.settled.get(name)
