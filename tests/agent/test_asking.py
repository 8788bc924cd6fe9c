# SPDX-License-Identifier: Apache-2.0
"""The commands that ask a running agent; servers of ours stand in for it, in a thread of their own loop."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.asking import NotAnswered, request_once, upgrade_once, wait_until_ready
from agent.httpd import HttpServer, Reply, Request
from mesh.errors import BadSetting
from tests.support.http import running, serving


async def test_the_body_and_nothing_else() -> None:
    async def answer(request: Request) -> Reply:
        return Reply(200, f"{request.method} {request.path} {request.body.decode()}".encode())

    async with serving(answer) as port:
        said = await asyncio.to_thread(request_once, "post", "a/b", "text", port=port)
    assert said == "POST /a/b text"


@pytest.mark.parametrize("status", [404, 204])
async def test_statuses_that_the_peer_passes(status: int) -> None:
    async def answer(_: Request) -> Reply:
        return Reply(status)

    async with serving(answer) as port:
        assert await asyncio.to_thread(request_once, "GET", "/x", "", port=port) == ""


async def test_a_status_that_is_none() -> None:
    async def answer(_: Request) -> Reply:
        return Reply(503, b"no")

    async with serving(answer) as port:
        with pytest.raises(NotAnswered, match="unsuccessful status code 503: no"):
            await asyncio.to_thread(request_once, "GET", "/x", "", port=port)


async def test_waiting_ends_with_the_first_good_answer() -> None:
    statuses = iter([503, 503, 200])

    async def answer(_: Request) -> Reply:
        return Reply(next(statuses))

    async with serving(answer) as port:
        await asyncio.to_thread(
            lambda: wait_until_ready(
                f"http://127.0.0.1:{port}/ready", deadline=30, request_timeout=10, period=0.01
            )
        )
    assert list(statuses) == []


async def test_waiting_in_vain_says_the_last_reason() -> None:
    async def answer(_: Request) -> Reply:
        return Reply(503)

    async with serving(answer) as port:
        with pytest.raises(NotAnswered, match="HTTP status code 503"):
            await asyncio.to_thread(
                lambda: wait_until_ready(
                    f"http://127.0.0.1:{port}/", deadline=1.0, request_timeout=10, period=0.01
                )
            )


def test_a_url_of_another_kind() -> None:
    with pytest.raises(BadSetting, match="not an http URL"):
        wait_until_ready("https://a/", deadline=1, request_timeout=1, period=1)


@pytest.mark.parametrize(
    ("status", "said", "wanted"),
    [
        (409, {"error": "versions differ", "hint": "a new pod"}, "versions differ"),
        (500, None, "status 500"),
    ],
)
async def test_an_upgrade_refused(short_tmp: Path, status: int, said: object, wanted: str) -> None:
    async def answer(request: Request) -> Reply:
        assert request.header("authorization") == "Bearer t"
        assert json.loads(request.body) == {"envoy": "/new"}
        return Reply(status, json.dumps(said).encode() if said else b"")

    server = HttpServer(answer)
    await server.bind_unix(str(short_tmp / "A"), mode=0o600)
    async with running(server):
        with pytest.raises(NotAnswered, match=wanted) as caught:
            await asyncio.to_thread(upgrade_once, "/new", socket=str(short_tmp / "A"), token="t")
    assert caught.value.hint == ("a new pod" if said else NotAnswered.hint)


def test_no_agent_there(short_tmp: Path) -> None:
    with pytest.raises(NotAnswered, match="cannot be asked"):
        upgrade_once("/new", socket=str(short_tmp / "A"), token="t")
