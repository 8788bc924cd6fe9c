# SPDX-License-Identifier: Apache-2.0
"""Scrapes of any size through the whole server, in a process of its own: what it holds of them is bounded.

Memory is what the kernel counts (VmHWM), over what was resident before; figures are printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
import zstandard

from agent.status.prometheus import Collisions
from tests.support.http import Reader, Scripted, Writer, plain, talking
from tests.support.metrics import families
from tests.support.status_process import MIB, StatusProcess, running

App = Callable[[Reader, Writer], Awaitable[None]]

SIZE = 50 * MIB
HELD = 16 * MIB
"""What a scrape of 50 MiB may add, whatever is done with it on its way."""
DEADLINE = 300.0
TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SHARED = b'# TYPE shared_total counter\nshared_total{from="envoy"} 1\n'
LINES = b"# TYPE envoy_requests counter\n"
BLOCK = b"".join(
    b'envoy_requests{cluster="outbound|80||s%d.shop.svc.cluster.local",code="200"} %d\n' % (n, n)
    for n in range(700)
)
BLOCKS = SIZE // len(BLOCK) + 1
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n\r\n"


async def envoy(reader: Reader, writer: Writer) -> None:
    """50 MiB, as fast as they are taken."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD % TEXT.encode() + SHARED + LINES)
    for _ in range(BLOCKS):
        writer.write(BLOCK)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


SMALL = Scripted(plain("# TYPE e gauge\ne 1\n"))


class Scraped(NamedTuple):
    """One answer, and what it cost."""

    headers: str
    body: bytes
    grown: int


async def scrape(process: StatusProcess, *headers: str) -> Scraped:
    lines = ["GET /metrics HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    before = process.forget_peak()
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    try:
        writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(DEADLINE):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            body = b"".join([piece async for piece in _chunks(reader)])
    finally:
        writer.close()
    return Scraped(head, body, process.peak() - before)


async def _chunks(reader: Reader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


@contextlib.asynccontextmanager
async def served(
    of: App, *apps: App, collisions: Collisions = Collisions.AUTO
) -> AsyncIterator[StatusProcess]:
    """A server in its process between these, warm: what is imported by the first scrape is not counted."""
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(talking(each)) for each in (of, *apps)]
        server = running(ports[0], *ports[1:], collisions=collisions)
        process = await stack.enter_async_context(server)
        await scrape(process)
        yield process


def told(kind: str) -> Scripted:
    """An application that shares one family with Envoy."""
    body = '# TYPE shared_total counter\nshared_total{from="app"} 2\n# TYPE own gauge\nown 3\n'
    if kind == OPENMETRICS:
        body = body.replace("TYPE shared_total", "TYPE shared") + "# EOF\n"
    return Scripted(plain(body, kind=kind))


def whole(body: bytes) -> bool:
    """Every line of Envoy's came, in its order."""
    begin = body.index(b"envoy_requests{")
    return body[begin : begin + BLOCKS * len(BLOCK)] == BLOCK * BLOCKS


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
async def test_envoys_text_passes_in_flat_memory(encoding: str) -> None:
    async with served(envoy) as process:
        found = await scrape(process, *([f"Accept-Encoding: {encoding}"] if encoding else []))
    body = found.body
    if encoding:
        assert f"Content-Encoding: {encoding}" in found.headers
        body = _unpacked(encoding, body)
    print(f"50 MiB, {encoding or 'as they are'}: +{found.grown / MIB:.1f} MiB")
    assert whole(body)
    assert found.grown < HELD


def _unpacked(encoding: str, body: bytes) -> bytes:
    if encoding == "gzip":
        assert zlib.decompressobj(31).decompress(body) == gzip.decompress(body)
        return gzip.decompress(body)
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


async def test_where_an_application_shares_a_family_only_that_is_held() -> None:
    async with served(envoy, told(TEXT)) as process:
        found = await scrape(process)
    print(f"50 MiB, one family shared: +{found.grown / MIB:.1f} MiB")
    assert whole(found.body)
    assert found.body.count(b"# TYPE shared_total counter") == 1
    assert b'shared_total{from="envoy"} 1\nshared_total{from="app"} 2\n' in found.body
    assert found.grown < HELD


@pytest.mark.long
@pytest.mark.parametrize("kind", [TEXT, OPENMETRICS])
async def test_where_every_line_is_read_too(kind: str) -> None:
    async with served(envoy, told(kind), collisions=Collisions.REGROUP) as process:
        found = await scrape(process, f"Accept: {kind}")
    print(f"50 MiB, every line read, {kind}: +{found.grown / MIB:.1f} MiB")
    assert f"Content-Type: {kind.partition(';')[0]}" in found.headers
    assert whole(found.body)
    assert found.body.count(b"# EOF") == (kind == OPENMETRICS)
    assert found.body.endswith(b"# EOF\n") is (kind == OPENMETRICS)
    assert b'shared_total{from="envoy"} 1\nshared_total{from="app"} 2\n' in found.body
    assert found.grown < HELD


def flood(line: bytes, *, kind: str = TEXT, pause: float = 0.0) -> App:
    """An application that never ends its answer."""

    async def app(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD % kind.encode())
        while True:
            writer.write(line)
            await writer.drain()
            await asyncio.sleep(pause)

    return app


async def silence(reader: Reader, _: Writer) -> None:
    """An application that takes the question and says nothing."""
    await reader.read()


LIMIT = 10 * MIB
"""What is held of one application's text."""
ENDLESS: dict[str, App] = {
    "fast": flood(b'app_requests{x="1"} 1\n' * 1000),
    "one line": flood(b"a" * 20_000),
    "binary": flood(b"\x00\xff" * 10_000),
    "no metrics": flood(b"<p>" * 10_000, kind="text/html"),
    "protobuf": flood(b"\x08\x01" * 10_000, kind="application/vnd.google.protobuf; proto=x"),
    "a drip": flood(b"a 1\n", pause=0.05),
    "silent": silence,
}


@pytest.mark.parametrize(
    ("kind", "beside"), [*((kind, False) for kind in ENDLESS), ("fast", True), ("silent", True)]
)
async def test_an_application_without_end_costs_neither_the_scrape_nor_the_memory(
    kind: str, *, beside: bool
) -> None:
    talks: list[App] = [SMALL, ENDLESS[kind], *([told(TEXT)] if beside else [])]
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(talking(each)) for each in talks]
        process = await stack.enter_async_context(running(ports[0], *ports[1:]))
        found = await scrape(process, "X-Prometheus-Scrape-Timeout-Seconds: 1")
        again = await scrape(process, "X-Prometheus-Scrape-Timeout-Seconds: 1")
    print(f"{kind}: +{found.grown / MIB:.1f} MiB, {len(found.body) / MIB:.1f} MiB said")
    assert b"# TYPE e gauge\ne 1\n" in found.body
    assert (b'shared_total{from="app"} 2' in found.body) is beside
    assert b'scrape_failures_total{type="application"}' in again.body
    assert max(found.grown, again.grown) < 4 * LIMIT


@pytest.mark.long
async def test_every_application_may_say_all_that_is_held() -> None:
    """Three times its text is what one costs, though its families collide with another's."""
    line = b'app_requests{route="/cart/%d",code="200"} %d\n'
    body = b"# TYPE app_requests counter\n" + b"".join(line % (n, n) for n in range(200_000))
    assert LIMIT * 0.7 < len(body) < LIMIT
    async with served(SMALL, Scripted(plain(body)), Scripted(plain(body))) as process:
        found = await scrape(process)
    print(f"2 x {len(body) / MIB:.1f} MiB of applications: +{found.grown / MIB:.1f} MiB")
    assert found.body.count(b"# TYPE app_requests") == 1
    assert found.body.count(b"\napp_requests{") == 200_000, "the first source of a series counts"
    assert found.grown < 3 * 2 * len(body) + HELD


@pytest.mark.long
async def test_the_loop_goes_on_while_long_texts_are_joined() -> None:
    """Other pages are answered meanwhile: a scrape is no reason to be restarted by the kubelet."""
    body = "".join(f'x{{n="{n}"}} 1\n' for n in range(300_000))
    app, during = Scripted(plain(body)), 0
    async with served(SMALL, app, app) as process, asyncio.TaskGroup() as group:
        scraping = group.create_task(scrape(process))
        while not scraping.done():
            reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
            writer.write(b"GET /healthz/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(DEADLINE):
                assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
            during += not scraping.done()
    print(f"{during} other answers during the scrape")
    families(scraping.result().body.decode(), is_openmetrics=False)
    assert during > 5
