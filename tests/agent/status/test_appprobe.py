# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from aiohttp import web

from agent.httpd import Request
from agent.status.appprobe import BODY_LIMIT, AppProbes
from agent.status.options import CallOptions
from agent.status.probers import HttpGet, Prober, TcpSocket
from tests.support.apps import http_app
from tests.support.clock import FakeClock

PATH = "/app-health/web/livez"


def asked(*headers: tuple[str, str], path: str = PATH) -> Request:
    return Request("GET", path, "", headers, "127.0.0.1")


def probes(prober: Prober) -> AppProbes:
    return AppProbes(
        {PATH: prober}, CallOptions(host="127.0.0.1"), status_port=15020, clock=FakeClock()
    )


async def test_a_path_that_nobody_configured() -> None:
    page = probes(Prober(TcpSocket(1)))
    path = "/app-lifecycle/web/prestopz"
    assert page.serves(path)
    assert not page.serves("/app-healthy")
    reply = await page.answer(asked(path=path))
    assert reply.status == 400
    assert reply.body == f"app prober config does not exists for {path}".encode()


async def test_the_status_port_in_host_becomes_the_applications() -> None:
    hosts: list[str | None] = []

    async def app(request: web.BaseRequest) -> web.Response:
        hosts.append(request.headers.get("Host"))
        return web.Response(text="fine", content_type="text/x")

    async with http_app(app) as port:
        page = probes(Prober(HttpGet(port)))
        reply = await page.answer(asked(("host", "10.0.0.1:15020")))
        await page.answer(asked(("host", "named:9")))
    assert (reply.status, reply.body) == (200, b"fine")
    assert reply.content_type.startswith("text/x")
    assert hosts == [f"10.0.0.1:{port}", "named:9"]


async def test_a_body_without_end_is_cut() -> None:
    async def app(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=503)
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(b"x" * 1000)
        return response

    async with http_app(app) as port:
        reply = await probes(Prober(HttpGet(port))).answer(asked())
    assert reply.status == 503
    assert reply.body == b"x" * BODY_LIMIT


async def test_nobody_there_is_a_500() -> None:
    reply = await probes(Prober(HttpGet(1))).answer(asked())
    assert (reply.status, reply.body) == (500, b"")
