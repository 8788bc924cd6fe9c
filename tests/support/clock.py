# SPDX-License-Identifier: Apache-2.0
"""A clock that stands still until told to move."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class FakeClock:
    """``advance`` moves both clocks and wakes sleepers in order; ``jump`` moves the wall clock only."""

    def __init__(self, *, now: float = 1_700_000_000.0, auto: bool = False) -> None:
        self._wall = now
        self._mono = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self.auto = auto
        """Sleeping advances the time by itself."""

    def now(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._mono

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        if self.auto:
            await self.advance(seconds)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._mono + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, waking each sleeper at its own time."""
        end = self._mono + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._move(due - self._mono)
            if not future.done():
                future.set_result(None)
            await _settle()
        self._move(end - self._mono)
        await _settle()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or a resume would."""
        self._wall += seconds

    def _move(self, seconds: float) -> None:
        self._wall += seconds
        self._mono += seconds


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
