# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from ctl.demo import echo
from ctl.demo.caller import address, application


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_names_go_to_the_service_with_their_host_header() -> None:
    async with serving(echo.application("me")) as app, serving(application("127.0.0.1")) as caller:
        async with aiohttp.ClientSession() as session:
            url = f"http://reviews.example:{app}/a?b=c"
            proxy = f"http://127.0.0.1:{caller}"
            async with session.post(url, proxy=proxy, headers={"X-Test": "1"}, data=b"x") as reply:
                body = await reply.json()
        assert (body["app"], body["path"]) == ("me", "/a")
        assert body["headers"]["host"].partition(":")[0] == "reviews.example"
        assert body["headers"]["x-test"] == "1"


async def test_nobody_there_is_a_bad_gateway() -> None:
    async with serving(application("127.0.0.1")) as caller, aiohttp.ClientSession() as session:
        reply = await session.get("http://a.example:1/", proxy=f"http://127.0.0.1:{caller}")
        assert reply.status == 502
        assert "Error" in await reply.text()


@pytest.mark.parametrize(
    ("host", "where"),
    [("127.0.0.1", "127.0.0.1"), ("reviews.demo", "10.0.0.9"), ("", "10.0.0.9")],
)
def test_addresses_stay_what_they_are(host: str, where: str) -> None:
    assert address(host, "10.0.0.9") == where
