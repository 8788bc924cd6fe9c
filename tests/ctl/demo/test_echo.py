# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import aiohttp
from aiohttp import web

from ctl.demo.echo import application


async def test_echo_tells_what_it_was_sent() -> None:
    runner = web.AppRunner(application("me"))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/a", headers={"X-Test": "1"}) as reply:
                body = await reply.json()
            async with session.get(f"{url}/slow?seconds=0.01") as reply:
                assert reply.status == 200
        assert (body["app"], body["path"], body["headers"]["x-test"]) == ("me", "/a", "1")
    finally:
        await runner.cleanup()
