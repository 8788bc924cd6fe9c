# SPDX-License-Identifier: Apache-2.0
"""Connections kept between probes, counted by applications that are not ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from agent.http1 import Line, Target
from agent.httpd import Reply, Request
from agent.status.appprobe import AppProbes
from agent.status.kept import AT_ONCE, KeptLines
from agent.status.options import CallOptions
from agent.status.probers import HttpGet, Prober
from tests.support.apps import h2_app, http_app, tls_of_app
from tests.support.clock import FakeClock
from tests.support.http import Reader, Writer, talking

READY, LIVE = "/app-health/web/readyz", "/app-health/web/livez"


class App:
    """An application that counts the connections it was asked on."""

    def __init__(self, body: bytes = b"fine") -> None:
        self.body = body
        self.connections: list[object] = []
        self.closes: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        self.connections.append(request.transport.get_extra_info("peername"))
        self.closes.append(request.headers.get("Connection", ""))
        return web.Response(body=self.body)

    @property
    def accepted(self) -> int:
        return len(set(self.connections))


@contextlib.asynccontextmanager
async def probes(
    action: HttpGet, *, keepalive: bool = True, timeout: float = 20.0
) -> AsyncIterator[AppProbes]:
    options = CallOptions(host="127.0.0.1", keepalive=keepalive)
    prober = Prober(action, timeout)
    found = AppProbes({READY: prober, LIVE: prober}, options, status_port=1, clock=FakeClock())
    try:
        yield found
    finally:
        found.close()


async def asked(page: AppProbes, *headers: tuple[str, str], path: str = READY) -> Reply:
    return await page.answer(Request("GET", path, "", headers, "127.0.0.1"))


@pytest.mark.parametrize(("keepalive", "accepted"), [(False, 5), (True, 1)])
async def test_the_switch(*, keepalive: bool, accepted: int) -> None:
    app = App()
    async with http_app(app) as port, probes(HttpGet(port), keepalive=keepalive) as page:
        for _ in range(5):
            assert (await asked(page)).status == 200
    assert app.accepted == accepted
    assert set(app.closes) == ({""} if keepalive else {"close"})


async def test_two_probes_share_nothing() -> None:
    app = App()
    async with http_app(app) as port, probes(HttpGet(port)) as page:
        for path in (READY, LIVE, READY, LIVE):
            assert (await asked(page, path=path)).status == 200
    assert app.accepted == 2


async def test_who_asks_to_close_is_passed_on() -> None:
    app = App()
    async with http_app(app) as port, probes(HttpGet(port)) as page:
        for _ in range(2):
            await asked(page, ("connection", "close"))
    assert app.accepted == 2
    assert app.closes == ["close", "close"]


@pytest.mark.parametrize(("size", "accepted"), [(200_000, 1), (2_000_000, 2)])
async def test_a_long_answer_is_read_to_its_end_within_reason(size: int, accepted: int) -> None:
    app = App(b"x" * size)
    async with http_app(app) as port, probes(HttpGet(port)) as page:
        for _ in range(2):
            assert (await asked(page)).status == 200
    assert app.accepted == accepted


async def test_redirects_are_followed_on_the_same_connection() -> None:
    seen = App()

    async def app(request: web.BaseRequest) -> web.Response:
        await seen(request)
        if request.path == "/there":
            return web.Response(text="there")
        return web.Response(status=302, headers={"Location": "/there"})

    async with http_app(app) as port, probes(HttpGet(port)) as page:
        assert (await asked(page)).body == b"there"
    assert (len(seen.connections), seen.accepted) == (2, 1)


async def test_over_tls_too() -> None:
    app = App()
    async with (
        http_app(app, tls=tls_of_app(None)) as port,
        probes(HttpGet(port, https=True)) as page,
    ):
        for _ in range(3):
            assert (await asked(page)).status == 200
    assert app.accepted == 1


async def test_http2_too() -> None:
    accepted: list[object] = []
    async with (
        h2_app(tls_of_app(["h2"]), accepted=accepted) as port,
        probes(HttpGet(port, https=True)) as page,
    ):
        for _ in range(3):
            assert (await asked(page)).body == b"over h2"
    assert len(accepted) == 1


ONCE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    "last", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"]
)
async def test_an_application_that_ends_an_idle_connection_fails_no_probe(last: bytes) -> None:
    """Also one that says why: that answers no question of ours."""
    ended = asyncio.Event()

    async def app(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ONCE + last)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with talking(app) as port, probes(HttpGet(port)) as page:
        for _ in range(3):
            ended.clear()
            assert (await asked(page)).status == 200
            async with asyncio.timeout(20):
                await ended.wait()


async def test_a_connection_that_ends_under_the_question_is_asked_again_on_another() -> None:
    heads: list[bytes] = []

    async def app(reader: Reader, writer: Writer) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ONCE)
        heads.append(await reader.readuntil(b"\r\n\r\n"))  # and no answer

    async with talking(app) as port, probes(HttpGet(port)) as page:
        assert [(await asked(page)).status for _ in range(2)] == [200, 200]
    assert len(heads) == 3


async def test_one_that_never_answers_is_given_up_on_a_kept_connection_too() -> None:
    async def app(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ONCE)
        await reader.read()

    async with talking(app) as port, probes(HttpGet(port), timeout=0.2) as page:
        assert [(await asked(page)).status for _ in range(2)] == [200, 500]


async def test_so_many_and_so_long_are_kept() -> None:
    gone: list[int] = []

    async def app(reader: Reader, writer: Writer) -> None:
        await reader.read()
        gone.append(1)

    async with talking(app) as port:
        target = Target("127.0.0.1", port, "/")
        kept = KeptLines(idle=0.05)
        for _ in range(AT_ONCE + 1):
            kept.give(target, Line(*await asyncio.open_connection("127.0.0.1", port)))
        async with asyncio.timeout(20):
            while not gone:
                await asyncio.sleep(0)
            while len(gone) <= AT_ONCE:
                await asyncio.sleep(0.01)
        assert await kept.take(target) is None
