# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import http1
from agent.httpd import Reply, Request
from agent.status.health import Health
from agent.status.options import StatusOptions
from agent.status.prometheus import ScrapeOptions
from mesh.clock import SystemClock
from tests.support.status import Rig, status_server

LOCAL, REMOTE = "127.0.0.1", "10.0.0.7"


def body(reply: Reply) -> bytes:
    assert isinstance(reply.body, bytes)
    return reply.body


async def page(rig: Rig, path: str, *, method: str = "GET", peer: str = LOCAL) -> Reply:
    return await rig.server.answer(Request(method, path, "", (), peer))


@pytest.mark.parametrize("path", ["/quitquitquit", "/drain"])
@pytest.mark.parametrize(
    ("method", "peer", "status", "body"),
    [
        ("POST", LOCAL, 200, b"OK"),
        ("POST", "::1", 200, b"OK"),
        ("GET", LOCAL, 405, b"Method Not Allowed"),
        ("POST", REMOTE, 403, b"Only requests from localhost are allowed"),
        ("GET", REMOTE, 403, b"Only requests from localhost are allowed"),
    ],
)
async def test_what_changes_the_process(
    path: str, method: str, peer: str, status: int, body: bytes
) -> None:
    async with status_server() as rig:
        reply = await page(rig, path, method=method, peer=peer)
        await asyncio.sleep(0)
        assert (reply.status, reply.body) == (status, body)
        assert rig.life.quits + rig.life.drains == (1 if status == 200 else 0)


async def test_the_answer_to_quit_leaves_before_the_end() -> None:
    async with status_server() as rig:
        target = http1.Target("127.0.0.1", rig.port, "/quitquitquit", "POST")
        assert (await http1.ask(target, timeout=5)).text == "OK"
        assert rig.life.quits == 1


async def test_ready_says_nothing_but_its_status() -> None:
    async with status_server() as rig:
        reply = await page(rig, "/healthz/ready", peer=REMOTE)
        assert (reply.status, reply.body) == (200, b"")
    async with status_server(health=Health(None, extra=[lambda: "no dns"])) as rig:
        reply = await page(rig, "/healthz/ready", peer=REMOTE)
        assert (reply.status, reply.body) == (503, b"")


async def test_ready_with_its_reasons_for_this_machine_only() -> None:
    async with status_server(health=Health(None, extra=[lambda: "no dns"])) as rig:
        for query in ("verbose", "verbose=1", "a=b&verbose"):
            asked = Request("GET", "/healthz/ready", query, (), LOCAL)
            reply = await rig.server.answer(asked)
            assert (reply.status, reply.content_type) == (503, "application/json")
            assert isinstance(reply.body, bytes)
            assert json.loads(reply.body) == {"ready": {"fault": "a reason"}}
            assert (await rig.server.answer(asked._replace(peer=REMOTE))).body == b""
        assert (await page(rig, "/healthz/live", peer=REMOTE)).status == 200


async def test_reasons_hold_no_secrets() -> None:
    async with status_server() as rig:
        rig.life.details = {"secrets": {"last_error": "sent Bearer canary"}, "token": "canary"}
        reply = await rig.server.answer(Request("GET", "/healthz/ready", "verbose", (), LOCAL))
        assert json.loads(body(reply))["secrets"]["last_error"].startswith("sent Bearer ")
        assert b"canary" not in body(reply)


async def test_startup() -> None:
    async with status_server() as rig:
        assert (await page(rig, "/healthz/startup")).status == 503
        rig.life.is_started = True
        assert (await page(rig, "/healthz/startup")).status == 200


async def test_the_name_table() -> None:
    async with status_server() as rig:
        assert (await page(rig, "/debug/ndsz", peer=REMOTE)).status == 403
        reply = await page(rig, "/debug/ndsz")
        assert (reply.status, reply.body, reply.content_type) == (404, b"{}", "application/json")
        rig.life.table = '{"table":{}}'
        reply = await page(rig, "/debug/ndsz")
        assert (reply.status, reply.body) == (200, b'{"table":{}}')


async def test_profiling_is_for_this_machine_and_by_the_switch() -> None:
    async with status_server() as rig:
        assert b"goroutine" in body(await page(rig, "/debug/pprof/"))
        assert (await page(rig, "/debug/pprof/", peer=REMOTE)).status == 403
        for path in ("trace", "symbol", "heap"):
            assert (await page(rig, f"/debug/pprof/{path}")).status == 404
    async with status_server(StatusOptions(profiling=False)) as rig:
        assert (await page(rig, "/debug/pprof/")).status == 404
        assert (await page(rig, "/debug/pprof/", peer=REMOTE)).status == 404


PATHS = [
    *("/quitquitquit", "/drain", "/debug/ndsz", "/debug/pprof/", "/debug/pprof/profile"),
    *("/healthz/ready", "/healthz/live", "/healthz/startup", "/metrics", "/stats/prometheus"),
    *("/", "/app-health/a/livez", "/app-lifecycle/a/prestopz"),
]


@given(
    path=st.sampled_from(PATHS),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]),
    peer=st.ip_addresses().filter(lambda address: not address.is_loopback).map(str),
    query=st.sampled_from(["", "verbose", "seconds=1"]),
    claimed=st.sampled_from(["x-forwarded-for", "host", "x-envoy-internal", "forwarded"]),
)
async def test_nobody_from_elsewhere_changes_anything(
    path: str, method: str, peer: str, query: str, claimed: str
) -> None:
    rig = Rig(StatusOptions(scrape=ScrapeOptions(envoy_port=0)))
    headers = ((claimed, "127.0.0.1"),)
    reply = await rig.server.answer(Request(method, path, query, headers, peer))
    await asyncio.sleep(0)
    assert (rig.life.quits, rig.life.drains) == (0, 0)
    assert reply.content_type != "application/json"


async def test_unknown_pages() -> None:
    async with status_server() as rig:
        for path in ("/", "/metricsx", "/healthz", "//healthz/ready"):
            assert (await page(rig, path)).status == 404


async def test_a_port_that_is_taken_is_lived_with() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with status_server() as rig:
            other = type(rig.server)(
                StatusOptions(host="127.0.0.1", port=taken.getsockname()[1]),
                rig.health,
                rig.merge,
                rig.life,
                SystemClock(),
            )
            assert await other.bind() == 0
