# SPDX-License-Identifier: Apache-2.0
"""What Envoy is asked, and what becomes of its answers. A server of ours stands in for its admin port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.envoy.admin import EnvoyAdmin
from agent.envoy.options import AdminOptions
from agent.envoy.stats import NO_DATA
from agent.httpd import Reply, Request
from mesh.errors import EnvoyFailed
from tests.support.http import serving


@asynccontextmanager
async def answering(reply: Reply, asked: list[str]) -> AsyncIterator[int]:
    async def answer(request: Request) -> Reply:
        query = f"?{request.query}" if request.query else ""
        asked.append(f"{request.method} {request.path}{query}")
        return reply

    async with serving(answer) as port:
        yield port


@pytest.mark.parametrize(
    ("inbound_only", "skip_exit", "query"),
    [
        (True, False, "inboundonly&graceful"),
        (True, True, "inboundonly&graceful&skip_exit"),
        (False, False, "graceful"),
        (False, True, "graceful&skip_exit"),
    ],
)
async def test_drain_says_how(*, inbound_only: bool, skip_exit: bool, query: str) -> None:
    asked: list[str] = []
    async with answering(Reply(500), asked) as port:
        admin = EnvoyAdmin(AdminOptions(port=port, inbound_only=inbound_only))
        await admin.drain(skip_exit=skip_exit)  # the status says nothing
    assert asked == [f"POST /drain_listeners?{query}"]


async def test_open_connections_without_our_own() -> None:
    text = (
        b"listener.0.0.0.0_15006.downstream_cx_active: 4\n"
        b"listener.0.0.0.0_15021.downstream_cx_active: 2\n"
    )
    asked: list[str] = []
    async with answering(Reply(200, text), asked) as port:
        admin = EnvoyAdmin(AdminOptions(port=port, own_ports=(15021,)))
        assert await admin.active_connections() == 4
    assert asked == ["GET /stats?usedonly&filter=downstream_cx_active$"]


async def test_an_empty_answer_is_no_data() -> None:
    async with answering(Reply(200), []) as port:
        assert await EnvoyAdmin(AdminOptions(port=port)).active_connections() == NO_DATA


async def test_another_status_is_no_answer() -> None:
    async with answering(Reply(503, b"soon"), []) as port:
        with pytest.raises(EnvoyFailed, match="unexpected status code: 503"):
            await EnvoyAdmin(AdminOptions(port=port)).active_connections()


async def test_nobody_listens() -> None:
    async with answering(Reply(200), []) as port:
        admin = EnvoyAdmin(AdminOptions(port=port))
    with pytest.raises(EnvoyFailed, match="Connect call failed"):
        await admin.drain()
