# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

from sdsserver.waiting import event_or_timeout
from tests.support.clock import FakeClock


async def test_the_event_ends_the_wait_and_the_timer() -> None:
    clock, event = FakeClock(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(event_or_timeout(event, 100.0, clock))
        await asyncio.sleep(0)
        event.set()
        await task


async def test_the_time_ends_the_wait() -> None:
    clock, event = FakeClock(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(event_or_timeout(event, 100.0, clock))
        for _ in range(3):
            await asyncio.sleep(0)
        await clock.advance(99.0)
        assert not task.done()
        await clock.advance(1.0)
        await task
    assert event.is_set()


async def test_no_time_waits_for_the_event_alone() -> None:
    event = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(event_or_timeout(event, None, FakeClock()))
        await asyncio.sleep(0)
        assert not task.done()
        event.set()
