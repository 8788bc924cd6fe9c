# SPDX-License-Identifier: Apache-2.0
"""What all watchers of the page see: one look a second for all of them, and none while nobody watches.

A look asks Envoy, whose admin port is one thread: eight open pages must not cost it more than one. Who comes sees the
last picture at once if it is fresh. Transport is ``server``'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import NoReturn

import mesh.log
from mesh.clock import Clock

EVERY = 1.0
"""Seconds between two looks."""
FRESH = 2 * EVERY
"""Seconds for which a picture is worth being shown to who comes."""

log = mesh.log.get()


class Outlook:
    """``run`` as a part; ``watch`` for each watcher."""

    def __init__(self, draw: Callable[[], Awaitable[str]], clock: Clock) -> None:
        self._draw = draw
        self._clock = clock
        self._watchers = 0
        self._picture = ""
        self._drawn_at = float("-inf")
        self._somebody = asyncio.Event()
        self._next = asyncio.Event()

    @property
    def watchers(self) -> int:
        return self._watchers

    async def run(self) -> NoReturn:
        """Look while somebody watches."""
        while True:
            await self._somebody.wait()  # no deadline: nobody, nothing to do
            await self._look()
            await self._clock.sleep(EVERY)

    async def watch(self) -> AsyncGenerator[str]:
        """The pictures, one after the other. Close the iterator to leave."""
        self._watchers += 1
        self._somebody.set()
        try:
            if self._clock.monotonic() - self._drawn_at < FRESH:
                yield self._picture
            while True:
                await self._next.wait()  # no deadline: drawn each second while somebody watches
                yield self._picture
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._somebody.clear()

    async def _look(self) -> None:
        try:
            picture = await self._draw()
        except Exception as error:  # noqa: BLE001  a page must not end the agent
            log.error("page failed", why=repr(error))  # noqa: TRY400  one line, no traceback
            return
        self._picture, self._drawn_at = picture, self._clock.monotonic()
        self._next.set()
        self._next = asyncio.Event()
