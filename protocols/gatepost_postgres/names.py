"""What the server knows by name, prepared statements or portals, while messages about it are under way."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


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
        # For each name: how many messages about it are unanswered, the batch of the latest, and what that one makes it.
        self._moving: dict[bytes, tuple[int, int, T | None]] = {}

    def __len__(self) -> int:
        return len(self.settled) + len(self._moving)

    def begin(self, name: bytes, thing: T | None, batch: int) -> None:
        """A message is sent that makes `name` mean `thing`, or nothing."""
        moving = self._moving.get(name)
        self._moving[name] = (1 if moving is None else moving[0] + 1, batch, thing)

    def end(self, name: bytes) -> None:
        """A message of `begin` was answered, or the server skipped it."""
        unanswered, batch, thing = self._moving.pop(name)
        if unanswered > 1:
            self._moving[name] = (unanswered - 1, batch, thing)

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
