# SPDX-License-Identifier: Apache-2.0
"""One wait that several loops of this room share. Source: DESIGN section 5."""

from __future__ import annotations

import asyncio

from mesh.clock import Clock


async def event_or_timeout(event: asyncio.Event, seconds: float | None, clock: Clock) -> None:
    """Return once ``event`` is set; ``seconds`` on ``clock`` from now it sets itself. None: it does not."""
    if seconds is None or event.is_set():
        await event.wait()  # no deadline: the caller has nothing to do until then
        return

    async def set_it() -> None:
        await clock.sleep(seconds)
        event.set()

    async with asyncio.TaskGroup() as group:
        timer = group.create_task(set_it(), name="timer")
        await event.wait()  # no deadline: the timer sets it
        timer.cancel()
