# SPDX-License-Identifier: Apache-2.0
"""What links share: one buffer for a loop, sends that are collected, and batches that end before the buffer changes."""

from __future__ import annotations

import asyncio
from typing import cast

from wire.h2io.link import Link
from wire.h2io.reactor import BUFFER_SIZE, Reactor, reactor


class Told:
    """As much of a link as a reactor sees."""

    def __init__(self, *, wakes: Told | None = None) -> None:
        self.dirty = False
        self.flushed = 0
        self._wakes = wakes

    @property
    def link(self) -> Link:
        return cast("Link", self)

    def flush(self) -> None:
        self.flushed += 1
        if self._wakes is not None:
            shared.touch(self._wakes.link)


shared = Reactor()


async def test_one_for_each_loop() -> None:
    assert reactor() is reactor()
    assert len(reactor().buffer) == BUFFER_SIZE
    mine = reactor()

    def elsewhere() -> Reactor:
        async def ask() -> Reactor:
            return reactor()

        return asyncio.run(ask())

    assert await asyncio.to_thread(elsewhere) is not mine


async def test_sends_of_one_turn_are_collected() -> None:
    one, own = Told(), Reactor()
    for _ in range(5):
        own.touch(one.link)
    assert one.flushed == 0
    await asyncio.sleep(0)
    assert one.flushed == 1
    own.touch(one.link)
    await asyncio.sleep(0)
    assert one.flushed == 2


async def test_a_batch_is_sent_before_it_ends() -> None:
    one, two, own = Told(), Told(), Reactor()
    own.in_batch = True
    own.touch(one.link)
    own.touch(two.link)
    assert (one.flushed, two.flushed) == (0, 0)
    own.leave()
    assert (one.flushed, two.flushed, own.in_batch) == (1, 1, False)


async def test_a_link_that_is_woken_by_another_is_sent_too() -> None:
    woken = Told()
    first = Told(wakes=woken)
    shared.in_batch = True
    shared.touch(first.link)
    shared.leave()
    assert (first.flushed, woken.flushed) == (1, 1)
