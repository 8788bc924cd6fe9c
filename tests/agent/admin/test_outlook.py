# SPDX-License-Identifier: Apache-2.0
"""Many watchers, one look; nobody, none; a look that fails ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.admin.outlook import EVERY, FRESH, Outlook
from tests.support.clock import FakeClock


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.looks = 0
        self.broken = False
        self.outlook = Outlook(self.draw, self.clock)

    async def draw(self) -> str:
        self.looks += 1
        if self.broken:
            raise RuntimeError("nobody there")
        return f"picture {self.looks}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            task = group.create_task(self.outlook.run())
            yield
            task.cancel()

    async def second(self) -> None:
        await self.clock.advance(EVERY)
        await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_nobody_watches_and_nobody_looks() -> None:
    world = World()
    async with world.running():
        for _ in range(5):
            await world.second()
    assert world.looks == 0


async def test_all_watchers_share_each_look() -> None:
    world = World()
    seen: list[list[str]] = [[] for _ in range(8)]

    async def watcher(at: int) -> None:
        async for picture in world.outlook.watch():
            seen[at].append(picture)

    async with world.running(), asyncio.TaskGroup() as group:
        tasks = [group.create_task(watcher(at)) for at in range(8)]
        await settled()
        for _ in range(3):
            await world.second()
        assert world.outlook.watchers == 8
        for task in tasks:
            task.cancel()
    assert world.looks == 4
    assert seen == [["picture 1", "picture 2", "picture 3", "picture 4"]] * 8
    assert world.outlook.watchers == 0


async def test_looking_ends_with_the_last_watcher_and_begins_with_the_next() -> None:
    world = World()
    async with world.running():
        watching = world.outlook.watch()
        assert await anext(watching) == "picture 1"
        await watching.aclose()
        for _ in range(5):
            await world.second()
        assert world.looks == 1
        later = world.outlook.watch()
        asked = asyncio.ensure_future(anext(later))  # noqa: TID251  one step of a generator
        await settled()
        assert await asked == "picture 2", "what is older than that is not shown as now"
        await later.aclose()
    assert EVERY * 5 > FRESH


async def test_who_comes_while_others_watch_sees_the_last_picture_at_once() -> None:
    world = World()
    async with world.running():
        first = world.outlook.watch()
        assert await anext(first) == "picture 1"
        second = world.outlook.watch()
        assert await anext(second) == "picture 1"
        assert world.looks == 1
        for each in (first, second):
            await each.aclose()


async def test_a_look_that_fails_is_said_and_the_next_one_comes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World()
    world.broken = True
    async with world.running(), asyncio.TaskGroup() as group:
        watching = world.outlook.watch()
        asked = group.create_task(_first(watching))
        await settled()
        assert "nobody there" in capsys.readouterr().out
        world.broken = False
        await world.second()
        assert await asked == "picture 2"
        await watching.aclose()


async def _first(pictures: AsyncIterator[str]) -> str:
    return await anext(pictures)
