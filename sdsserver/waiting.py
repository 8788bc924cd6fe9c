# SPDX-License-Identifier: Apache-2.0
"""One wait that several loops of this room share. Source: DESIGN section 5."""

from __future__ import annotations

import asyncio

from mesh.clock import Clock


async def event_or_timeout(event: asyncio.Event, seconds: float | None, clock: Clock) -> None:
    """Return when ``event`` is set or ``seconds`` passed on ``clock``; None waits for the event only."""
    if seconds is None or event.is_set():
        await event.wait()  # no deadline: the caller has nothing to do until then
        return
    woken = asyncio.Event()

    async def _both(wait: asyncio.Event) -> None:
        await wait.wait()  # no deadline: cancelled when the time is over
        woken.set()

    async def _timer() -> None:
        await clock.sleep(seconds)
        woken.set()

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_both(event), name="event"),
            group.create_task(_timer(), name="timer"),
        ]
        await woken.wait()  # no deadline: the timer sets it
        for task in tasks:
            task.cancel()
