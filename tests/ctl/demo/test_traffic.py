# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from ctl.demo.echo import application
from ctl.demo.traffic import Client, steady_load


@pytest.fixture
async def proxy() -> AsyncIterator[str]:
    """The echo application itself: it answers absolute-form requests as a proxy would get them."""
    runner = web.AppRunner(application("reviews-v1"))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_asks_through_the_proxy(proxy: str) -> None:
    async with Client(proxy) as client:
        answer = await client.ask("/x")
    assert (answer.ok, answer.app) == (True, "reviews-v1")
    assert answer.headers["host"] == "reviews.demo.svc.cluster.local"


async def test_no_answer_is_an_answer() -> None:
    async with Client("http://127.0.0.1:1") as client:
        answer = await client.ask()
    assert (answer.ok, answer.status) == (False, 0)
    assert answer.error


async def test_load_counts_successes_and_failures(proxy: str) -> None:
    async with Client(proxy) as client, steady_load(client, per_second=200) as load:
        while load.sent < 10:
            await asyncio.sleep(0.01)
    assert load.apps["reviews-v1"] == load.sent
    assert not load.failures
    async with Client("http://127.0.0.1:1") as client, steady_load(client, per_second=200) as load:
        while load.sent < 3:
            await asyncio.sleep(0.01)
    assert len(load.failures) == load.sent
