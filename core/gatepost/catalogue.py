"""A target's catalogue as one worker knows it: read, read again in time, and not known where it may be wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gatepost.adapter import Catalogue
from gatepost.errors import Fault, describe

log = logging.getLogger("gatepost.catalogue")

READ_SECONDS: Final = 60.0
WAIT_SECONDS: Final = 10.0
_FIRST_PAUSE: Final = 1.0
# How often as long as a reading takes it rests after it, so that agents can't keep the database busy with readings.
_REST: Final = 4


class Keeper:
    """Keeps one target's catalogue.

    Args:
        name: the target's.
        read: reads the catalogue; None where nobody has credentials for that, and then it stays unknown.
        refresh: seconds after which it is read again, for what was defined behind gatepost's back.
    """

    def __init__(self, name: str, read: Callable[[], Awaitable[Catalogue | None]], refresh: float) -> None:
        self._name = name
        self._read = read
        self._refresh = refresh
        self._catalogue: Catalogue | None = None
        self._is_kept = True
        self._stale = asyncio.Event()
        # It is known, or the latest reading has failed.
        self._settled = asyncio.Event()

    def current(self) -> Catalogue | None:
        """The catalogue, or None while it is not known or stale."""
        return self._catalogue

    def redefined(self) -> None:
        """What the catalogue describes may have changed: it is unknown until it was read from here on."""
        self._catalogue = None
        self._stale.set()
        self._settled.clear()

    def is_kept(self) -> bool:
        """Whether it is known, or can become so: False where nobody has credentials."""
        return self._is_kept

    def reading(self) -> Awaitable[None] | None:
        """Ends with the reading that is under way or due, or after `WAIT_SECONDS`.

        None where there is nothing to wait for: it is known, nobody reads it, or the latest reading has failed.
        """
        return None if self._settled.is_set() else self._wait()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await self._settled.wait()

    async def run(self) -> None:
        """Read it again and again. Ends at once if nobody has credentials."""
        patience = _FIRST_PAUSE
        was_read = False
        loop = asyncio.get_running_loop()
        while True:
            self._stale.clear()
            began = loop.time()
            try:
                async with asyncio.timeout(READ_SECONDS):
                    catalogue = await self._read()
            except Exception as error:
                self._catalogue = None
                self._settled.set()
                was_read = False
                pause = min(patience, self._refresh)
                patience = 2 * pause
                log.warning("the catalogue of target %s could not be read: %s", self._name, _cause(error))
            else:
                if catalogue is None:
                    self._is_kept = False
                    self._settled.set()
                    return
                if not was_read:
                    log.info("the catalogue of target %s was read", self._name)
                was_read = True
                patience, pause = _FIRST_PAUSE, self._refresh
                # What was defined meanwhile may or may not be in it.
                if not self._stale.is_set():
                    self._catalogue = catalogue
                    self._settled.set()
                await asyncio.sleep(_REST * (loop.time() - began))
            try:
                async with asyncio.timeout(pause):
                    await self._stale.wait()
            except TimeoutError:
                pass


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"it took more than {READ_SECONDS:.0f} seconds"
    return str(error) if isinstance(error, Fault) else describe(error)
