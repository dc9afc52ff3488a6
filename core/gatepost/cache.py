"""A small memory of what was found out before."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_CACHED: Final = 256


class Cache(Generic[K, V]):
    """A dictionary that forgets what it has held longest."""

    def __init__(self, size: int = _CACHED) -> None:
        self._size = size
        self._values: dict[K, V] = {}
        self.get = self._values.get

    def clear(self) -> None:
        self._values.clear()

    def put(self, key: K, value: V) -> V:
        if len(self._values) >= self._size:
            del self._values[next(iter(self._values))]
        self._values[key] = value
        return value
