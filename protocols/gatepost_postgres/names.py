"""What the server knows by name, prepared statements or portals, while messages about it are under way."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class _Moving(Struct, Generic[T]):
    """What a name will mean if the latest message about it succeeds, and how many are unanswered."""

    unanswered: int
    batch: int
    thing: T | None


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
        self._moving: dict[bytes, _Moving[T]] = {}

    def __len__(self) -> int:
        return len(self.settled) + len(self._moving)

    def begin(self, name: bytes, thing: T | None, batch: int) -> None:
        """A message is sent that makes `name` mean `thing`, or nothing."""
        moving = self._moving.get(name)
        if moving is None:
            self._moving[name] = _Moving(1, batch, thing)
        else:
            moving.unanswered += 1
            moving.batch = batch
            moving.thing = thing

    def end(self, name: bytes) -> None:
        """A message of `begin` was answered, or the server skipped it."""
        moving = self._moving[name]
        moving.unanswered -= 1
        if not moving.unanswered:
            del self._moving[name]

    def find(self, name: bytes, batch: int) -> T | None:
        """What `name` means for a message of this batch. Raises Unsettled."""
        if self._moving:
            moving = self._moving.get(name)
            if moving is not None:
                if moving.batch != batch:
                    raise Unsettled
                return moving.thing
        return self.settled.get(name)

    def latest(self, name: bytes) -> T | None:
        """What `name` means if all messages about it succeed."""
        moving = self._moving.get(name) if self._moving else None
        return moving.thing if moving is not None else self.settled.get(name)
