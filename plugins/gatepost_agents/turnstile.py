"""How many attempts on one name are under way at once."""

from __future__ import annotations

import asyncio
from collections import Counter


class Turnstile:
    """Lets at most `width` sessions at once try to prove the same name; the others wait.

    Attempts count as failures until they succeed, so a client that opens many connections at once would lock
    itself out. Names that do not exist wait as well, or waiting would tell which do.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._interested: Counter[str] = Counter()
        self._inside: dict[str, str] = {}

    async def enter(self, session: str, name: str) -> None:
        """Wait until the session may try the name. It stays inside until it leaves."""
        if session in self._inside:
            return
        self._interested[name] += 1
        try:
            await self._gates.setdefault(name, asyncio.Semaphore(self._width)).acquire()
        except BaseException:
            self._forget(name)
            raise
        self._inside[session] = name

    def leave(self, session: str) -> None:
        """The session's attempt, if it had one, has ended one way or the other."""
        name = self._inside.pop(session, None)
        if name is not None:
            self._gates[name].release()
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._interested[name] -= 1
        if not self._interested[name]:
            del self._interested[name], self._gates[name]
