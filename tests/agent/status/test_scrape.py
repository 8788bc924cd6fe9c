# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent import http1
from agent.httpd import Request
from agent.status.options import StatusOptions
from agent.status.prometheus import Collisions, ScrapeOptions, ScrapeTarget
from tests.support.http import Scripted, plain, talking
from tests.support.metrics import families
from tests.support.status import Rig, status_server

ENVOY = "# TYPE e gauge\ne 1\n"
APP = "# TYPE a gauge\na 1\n"


@contextlib.asynccontextmanager
async def rig(envoy: Scripted | None, *apps: Scripted, **options: Any) -> AsyncIterator[Rig]:
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(talking(envoy)) if envoy else 0
        ports = [await stack.enter_async_context(talking(app)) for app in apps]
        targets = tuple(ScrapeTarget(str(each), "/m") for each in ports)
        scrape = ScrapeOptions(envoy_port=port, targets=targets, **options)
        yield await stack.enter_async_context(status_server(StatusOptions(scrape=scrape)))


async def scrape(given: Rig, *headers: tuple[str, str], query: str = "") -> http1.Reply:
    target = http1.Target("127.0.0.1", given.port, f"/metrics{query}")
    return await http1.ask(target, timeout=20, headers=headers)


async def test_who_is_asked_what() -> None:
    envoy, app = Scripted(plain(ENVOY)), Scripted(plain(APP))
    async with rig(envoy, app) as given:
        reply = await scrape(
            given,
            ("Accept", "application/openmetrics-text;q=0.5,text/plain;q=0.1"),
            ("User-Agent", "prom"),
            ("X-Prometheus-Scrape-Timeout-Seconds", "9.5"),
            query="?usedonly",
        )
    assert envoy.heads[0].startswith("GET /stats/prometheus?usedonly HTTP/1.1")
    assert envoy.header("accept") == ["text/plain;q=0.2"]
    assert app.heads[0].startswith("GET /m HTTP/1.1")
    assert app.header("accept") == ["application/openmetrics-text;q=0.3,text/plain;q=0.2"]
    assert app.header("user-agent") == ["prom"]
    assert app.header("x-prometheus-scrape-timeout-seconds") == ["9.5"]
    text = reply.text
    assert text.index("istio_agent_scrapes_total 1") < text.index(ENVOY) < text.index(APP)
    assert 'pilothouse_scrape_source_up{source="envoy",target=""} 1' in text


async def test_sources_that_fail_are_told_and_left_out() -> None:
    envoy = Scripted(plain("", status="503 X"))
    async with rig(envoy, Scripted(plain(APP)), Scripted(b"")) as given:
        reply = await scrape(given)
        assert reply.status == 200
        assert APP in reply.text
        assert given.own.failures == {"envoy": 1, "application": 1}
        assert 'source_up{source="envoy",target=""} 0' in reply.text


async def test_an_application_that_never_ends_leaves_time_for_envoy() -> None:
    unfinished = Scripted(b"HTTP/1.1 200 OK\r\n\r\n" + APP.encode(), hang=True)
    async with rig(Scripted(plain(ENVOY)), unfinished) as given:
        reply = await scrape(given, ("X-Prometheus-Scrape-Timeout-Seconds", "0.5"))
    assert ENVOY in reply.text
    assert "a 1" not in reply.text
    assert given.own.failures == {"application": 1}


async def test_half_a_line_of_envoy_is_never_told() -> None:
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n# TYPE e gauge\ne 1\nf 12"
    async with rig(Scripted(broken)) as given:
        reply = await scrape(given)
    assert reply.text.endswith("e 1\n")
    assert given.own.failures == {"envoy": 1}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a 1\n", "application/vnd.google.protobuf; proto=x"),
        (b"<html>", "text/html"),
        (b"a\x001\n", "text/plain"),
        (b"\xff\xfe", "text/plain"),
    ],
)
async def test_what_is_no_text_is_left_out(body: bytes, kind: str) -> None:
    async with rig(None, Scripted(plain(body, kind=kind))) as given:
        reply = await scrape(given)
    assert given.own.failures == {"application": 1}
    families(reply.text, is_openmetrics=False)


async def test_one_application_may_say_more_than_is_held() -> None:
    long = "".join(f"a{n} 1\n" for n in range(1000))
    async with rig(Scripted(plain(ENVOY)), Scripted(plain(long)), max_body=100) as given:
        reply = await scrape(given)
    assert reply.text.endswith(ENVOY + long)
    assert given.own.failures == {}


@pytest.mark.parametrize(
    ("collisions", "told"),
    [(Collisions.AUTO, 1), (Collisions.REGROUP, 1), (Collisions.CONCATENATE, 2)],
)
async def test_the_switch_between_joining_and_mending(collisions: Collisions, told: int) -> None:
    shared = '# TYPE e gauge\ne{x="1"} 1\n'
    envoy, app = Scripted(plain(ENVOY)), Scripted(plain(shared))
    async with rig(envoy, app, collisions=collisions) as given:
        reply = await scrape(given)
    assert reply.text.count("# TYPE e gauge") == told
    assert 'e{x="1"} 1' in reply.text


async def test_a_port_that_is_none_only_counts_as_a_failure() -> None:
    scraped = ScrapeOptions(envoy_port=0, targets=(ScrapeTarget("http", "/metrics"),))
    async with status_server(StatusOptions(scrape=scraped)) as given:
        assert (await scrape(given)).status == 200
        assert given.own.failures == {"application": 1}


async def test_a_scraper_that_goes_away_ends_what_it_asked_for() -> None:
    gone = asyncio.Event()

    async def envoy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"e 1\n" * 10_000)
                await writer.drain()
        finally:
            gone.set()

    async with talking(envoy) as port:
        scraped = StatusOptions(scrape=ScrapeOptions(envoy_port=port))
        async with status_server(scraped) as given:
            target = http1.Target("127.0.0.1", given.port, "/metrics")
            async with http1.asking(target, timeout=20) as answer:
                await anext(answer.body)
            async with asyncio.timeout(20):
                await gone.wait()


async def test_our_own_failure_costs_only_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(Scripted(plain(ENVOY))) as given:

        def broken() -> str:
            raise LookupError("no")

        monkeypatch.setattr(given.merge, "_render", broken)
        reply = await scrape(given)
    assert reply.text == ENVOY
    assert given.own.failures == {"agent": 1}


async def test_local_only() -> None:
    options = StatusOptions(metrics_local_only=True, scrape=ScrapeOptions(envoy_port=0))
    async with status_server(options) as given:
        assert (await scrape(given)).status == 200
        asked = Request("GET", "/metrics", "", (), "10.1.1.1")
        reply = await given.server.answer(asked)
    assert reply.status == 403
