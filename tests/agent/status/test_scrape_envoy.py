# SPDX-License-Identifier: Apache-2.0
"""Real Envoy's own metrics, joined and judged by prometheus-client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent import http1
from agent.status.exposition import Index
from agent.status.options import StatusOptions
from agent.status.prometheus import ScrapeOptions, ScrapeTarget
from tests.support.envoy import find_envoy
from tests.support.http import Scripted, plain, talking
from tests.support.metrics import families
from tests.support.status import status_server

pytestmark = pytest.mark.envoy


@contextlib.asynccontextmanager
async def envoy(directory: Path) -> AsyncIterator[int]:
    """A running Envoy with one cluster; its admin port."""
    loopback = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    cluster = {"name": "one", "type": "STATIC", "connect_timeout": "1s"}
    bootstrap = {"admin": {"address": loopback}, "static_resources": {"clusters": [cluster]}}
    (directory / "bootstrap.json").write_text(json.dumps(bootstrap))
    admin = directory / "admin"
    with open(directory / "log", "wb") as log:
        process = await asyncio.create_subprocess_exec(
            find_envoy(),
            *("-c", str(directory / "bootstrap.json"), "--concurrency", "1"),
            *("--use-dynamic-base-id", "--admin-address-path", str(admin)),
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(60):
            while not admin.exists() or not admin.read_text():
                await asyncio.sleep(0.05)
        yield int(admin.read_text().rpartition(":")[2])
    finally:
        process.kill()
        await process.wait()


async def asked(port: int, target: ScrapeTarget, accept: str) -> http1.Reply:
    scrape = ScrapeOptions(envoy_port=port, targets=(target,))
    async with status_server(StatusOptions(scrape=scrape)) as rig:
        where = http1.Target("127.0.0.1", rig.port, "/metrics")
        return await http1.ask(where, timeout=30, headers=[("Accept", accept)])


async def test_both_formats_are_valid_with_an_application_that_collides(tmp_path: Path) -> None:
    async with envoy(tmp_path) as port:
        where = http1.Target("127.0.0.1", port, "/stats/prometheus")
        alone = (await http1.ask(where, timeout=30)).body
        names = list(Index(alone).families)
        shared = next(each for each in names if each.endswith(b"_uptime")).decode()
        text = f'# TYPE {shared} gauge\n{shared}{{app="mine"}} 1\n'
        for kind, body in (("text/plain", text), (openmetrics, f"{text}# EOF\n")):
            async with talking(Scripted(plain(body, kind=kind))) as app:
                reply = await asked(port, ScrapeTarget(str(app), "/"), kind)
            found = families(reply.text, is_openmetrics=kind == openmetrics)
            assert len(found) >= len(names) / 2
            assert [each.labels.get("app") for each in found[shared].samples] == [None, "mine"]


openmetrics = "application/openmetrics-text; version=1.0.0"
