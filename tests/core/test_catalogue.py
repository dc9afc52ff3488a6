"""The keeper of a catalogue: when it is known, and when not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
from tests.core.line_protocol import LineCatalogue

from gatepost.adapter import Catalogue
from gatepost.catalogue import Keeper
from gatepost.errors import UpstreamFault

LONG = 3600.0


class Database:
    """What a keeper reads: it takes an answer for each reading, in the order in which they are given."""

    def __init__(self) -> None:
        self.readings = 0
        self.asked = asyncio.Event()
        self._answers: asyncio.Queue[Catalogue | Exception | None] = asyncio.Queue()

    async def read(self) -> Catalogue | None:
        self.readings += 1
        self.asked.set()
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def answer(self, answer: Catalogue | Exception | None) -> None:
        """The reading that is under way, or the next one, comes to this; returns when the keeper knows."""
        await self.asked.wait()
        self.asked.clear()
        self._answers.put_nowait(answer)
        for _ in range(5):
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def keeping(database: Database, refresh: float = LONG) -> AsyncIterator[tuple[Keeper, asyncio.Task[None]]]:
    keeper = Keeper("shop", database.read, refresh)
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper, task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_is_unknown_until_it_was_read() -> None:
    database, first = Database(), LineCatalogue()
    async with keeping(database) as (keeper, _):
        assert keeper.current() is None
        await database.answer(first)
        assert keeper.current() is first
        assert database.readings == 1


async def test_what_was_redefined_is_unknown_until_it_was_read_again() -> None:
    database, second = Database(), LineCatalogue()
    async with keeping(database) as (keeper, _):
        await database.answer(LineCatalogue())
        keeper.redefined()
        assert keeper.current() is None
        await database.answer(second)
        assert keeper.current() is second


async def test_a_reading_during_which_something_was_redefined_does_not_count() -> None:
    database, third = Database(), LineCatalogue()
    async with keeping(database) as (keeper, _):
        await database.answer(LineCatalogue())
        keeper.redefined()
        await database.asked.wait()
        keeper.redefined()
        await database.answer(LineCatalogue())
        assert keeper.current() is None
        await database.answer(third)
        assert keeper.current() is third


async def test_it_is_read_again_in_time() -> None:
    database, second = Database(), LineCatalogue()
    async with keeping(database, refresh=0.001) as (keeper, _):
        await database.answer(LineCatalogue())
        await database.answer(second)
        assert keeper.current() is second


async def test_a_reading_that_fails_leaves_nothing_known_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    database, third = Database(), LineCatalogue()
    caplog.set_level(logging.INFO, "gatepost.catalogue")
    async with keeping(database, refresh=0.001) as (keeper, _):
        await database.answer(LineCatalogue())
        await database.answer(UpstreamFault("the database is away"))
        assert keeper.current() is None
        await database.answer(ValueError("4111111111111111"))
        assert keeper.current() is None
        await database.answer(third)
        assert keeper.current() is third
    told = [record.getMessage().partition(":")[0] for record in caplog.records]
    failed, succeeded = "the catalogue of target shop could not be read", "the catalogue of target shop was read"
    assert told == [succeeded, failed, failed, succeeded]
    assert "target shop could not be read: the database is away" in caplog.text
    assert "4111111111111111" not in caplog.text


async def test_without_credentials_it_stays_unknown() -> None:
    database = Database()
    async with keeping(database) as (keeper, task):
        await database.answer(None)
        assert not keeper.is_kept()
        assert keeper.reading() is None
        await task
        assert keeper.current() is None


async def test_who_waits_for_a_reading_waits_for_its_end() -> None:
    database, third = Database(), LineCatalogue()
    async with keeping(database) as (keeper, _):
        assert keeper.is_kept()
        waiting = asyncio.ensure_future(reading(keeper))
        await database.answer(LineCatalogue())
        await waiting
        assert keeper.reading() is None
        keeper.redefined()
        waiting = asyncio.ensure_future(reading(keeper))
        await database.asked.wait()
        keeper.redefined()
        await database.answer(LineCatalogue())
        assert not waiting.done(), "that reading does not count"
        await database.answer(third)
        await waiting
        assert keeper.current() is third


async def test_nobody_waits_while_it_cannot_be_read() -> None:
    database = Database()
    async with keeping(database) as (keeper, _):
        waiting = asyncio.ensure_future(reading(keeper))
        await database.answer(UpstreamFault("the database is away"))
        await waiting
        assert keeper.is_kept()
        assert keeper.current() is None
        assert keeper.reading() is None


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.catalogue.WAIT_SECONDS", 0.0)
    async with keeping(Database()) as (keeper, _):
        await reading(keeper)
        assert keeper.current() is None


async def reading(keeper: Keeper) -> None:
    waiting = keeper.reading()
    assert waiting is not None
    await waiting
