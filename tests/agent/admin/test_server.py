# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mesh.log
from agent import http1
from agent.admin import api
from agent.admin.server import WATCHERS
from tests.support.admin import Admin, admin


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    before = mesh.log.levels()
    yield
    mesh.log.configure(levels=before)


async def unix(given: Admin, path: str, method: str = "GET", **more: Any) -> http1.Reply:
    target = http1.Target("localhost", 0, path, method)
    return await http1.ask(target, timeout=10, via=http1.Via(path=given.socket), **more)


async def tcp(given: Admin, path: str, *headers: tuple[str, str]) -> http1.Reply:
    target = http1.Target("127.0.0.1", given.server.port, path)
    return await http1.ask(target, timeout=10, headers=headers)


async def test_every_page_of_the_table_answers_as_it_says(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        for page in api.PAGES:
            if page.method != "GET" or page.path.endswith("/events"):
                continue
            reply = await unix(given, page.path)
            assert reply.status == 200, page.path
            assert dict(reply.headers)["content-type"].startswith(page.kind)
            assert dict(reply.headers)["cache-control"] == "no-store"


async def test_the_socket_is_for_its_owner(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        assert stat.S_IMODE(os.stat(given.socket).st_mode) == 0o600
        assert stat.S_IMODE(given.token_file.stat().st_mode) == 0o600
        assert given.server.port == 0


async def test_facts_and_secrets(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        given.facts.status["secrets"]["last_error"] = "sent Bearer canary to the CA"
        for path in ("status", "settings", "nacks", "pushes"):
            assert "canary" not in (await unix(given, f"/api/v1/{path}")).text
        settings = json.loads((await unix(given, "/api/v1/settings")).text)["settings"]
        assert settings[0] == {"name": "POD_NAME", "value": "web", "source": "environment"}
        nacks = json.loads((await unix(given, "/api/v1/nacks")).text)["nacks"]
        assert nacks == [{"type": "CDS", "refused": 1, "error": "bad", "at": 0.0}]
        old_path = json.loads((await unix(given, "/status")).text)
        assert old_path["node"] == given.facts.status["node"]


async def test_what_changes_something_wants_the_token_on_the_socket_too(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        path, body = "/api/v1/logs/levels", json.dumps({"levels": "xdsproxy:debug,warn"}).encode()
        assert (await unix(given, path, "POST", body=body)).status == 401
        assert "xdsproxy" not in mesh.log.levels()
        bearer = [("Authorization", f"Bearer {given.token}")]
        reply = await unix(given, path, "POST", body=body, headers=bearer)
        assert json.loads(reply.text)["levels"]["xdsproxy"] == "debug"
        assert mesh.log.levels()["xdsproxy"] is mesh.log.Level.DEBUG


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"levels": "xdsproxy:loud"}', b'{"levels": 7}', b"\xff"]
)
async def test_levels_that_cannot_be_read(short_tmp: Path, body: bytes) -> None:
    async with admin(short_tmp) as given:
        bearer = [("Authorization", f"Bearer {given.token}")]
        reply = await unix(given, "/api/v1/logs/levels", "POST", body=body, headers=bearer)
        assert reply.status == 400
        assert "error" in json.loads(reply.text)


async def test_unknown_pages_and_methods(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        assert (await unix(given, "/nope")).status == 404
        bearer = [("Authorization", f"Bearer {given.token}")]
        assert (await unix(given, "/status", "DELETE", headers=bearer)).status == 405
        assert (await unix(given, "/api/v1/status", "HEAD")).body == b""


async def test_tcp_wants_token_host_and_origin(short_tmp: Path) -> None:
    async with admin(short_tmp, tcp=True) as given:
        path, port = "/api/v1/status", given.server.port
        bearer = ("Authorization", f"Bearer {given.token}")
        assert (await tcp(given, path)).status == 401
        assert (await tcp(given, path, ("Authorization", "Bearer guessed"))).status == 401
        assert (await tcp(given, path, bearer)).status == 200
        assert (await tcp(given, path, bearer, ("Host", f"localhost:{port}"))).status == 200
        assert (await tcp(given, path, bearer, ("Host", f"evil.example:{port}"))).status == 403
        assert (await tcp(given, path, bearer, ("Origin", "http://evil.example"))).status == 403
        own = ("Origin", f"http://127.0.0.1:{port}")
        assert (await tcp(given, path, bearer, own)).status == 200
        assert (await tcp(given, "/")).status == 200
        assert (await tcp(given, "/", ("Host", "evil.example"))).status == 403


async def test_events_come_when_something_changes(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        target = http1.Target("localhost", 0, "/api/v1/events")
        via = http1.Via(path=given.socket)
        async with http1.asking(target, timeout=20, via=via) as answer:
            first = await anext(answer.body)
            assert first.startswith(b"event: status\ndata: ")
            given.facts.status["state"] = "DRAINING"
            text = b""
            while b"DRAINING" not in text:
                text += await anext(answer.body)
        assert json.loads(first.split(b"data: ")[1])["state"] == "RUNNING"


async def test_only_so_many_watch(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        writers = []
        for _ in range(WATCHERS):
            reader, writer = await asyncio.open_unix_connection(given.socket)
            writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in await reader.readline()
            writers.append(writer)
        assert (await unix(given, "/api/v1/events")).status == 503
        for writer in writers:
            writer.transport.abort()
        async with asyncio.timeout(20):
            while True:
                target = http1.Target("localhost", 0, "/api/v1/events")
                via = http1.Via(path=given.socket)
                async with http1.asking(target, timeout=20, via=via) as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.1)


async def test_the_page_needs_nothing_from_elsewhere(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        reply = await unix(given, "/")
    assert "default-src 'none'" in dict(reply.headers)["content-security-policy"]
    assert not re.search(r"(src|href)=[\"'](?!#|data:,)", reply.text)
    policy = dict(reply.headers)["content-security-policy"]
    assert "unsafe" not in policy
    assert not re.search(r"(https?:)?//[a-z]", reply.text)
    assert '<html lang="en">' in reply.text


async def test_a_socket_that_cannot_be_made_is_lived_without(short_tmp: Path) -> None:
    from agent.admin.options import AdminEndpointOptions
    from agent.admin.server import AdminServer
    from mesh.clock import SystemClock
    from tests.support.admin import Given

    (short_tmp / "file").touch()
    options = AdminEndpointOptions(socket=str(short_tmp / "file" / "ADMIN"))
    assert not await AdminServer(options, Given(), SystemClock(), version="x").bind()


async def test_envoys_own_levels(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        bearer = [("Authorization", f"Bearer {given.token}")]

        async def put(text: str) -> int:
            body = json.dumps({"envoy": text, "levels": "xdsproxy:warn"}).encode()
            reply = await unix(given, "/api/v1/logs/levels", "POST", body=body, headers=bearer)
            return reply.status

        assert await put("loud") == 502
        assert "xdsproxy" not in mesh.log.levels(), "all or nothing"
        assert await put("info,upstream:debug") == 200
        assert given.facts.envoy_levels == "info,upstream:debug"


async def test_an_upgrade_wants_the_token_and_says_why_not(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        bearer = [("Authorization", f"Bearer {given.token}")]

        async def post(body: object, **more: Any) -> http1.Reply:
            raw = json.dumps(body).encode()
            return await unix(given, "/api/v1/upgrade", "POST", body=raw, **more)

        assert (await post({"envoy": "/new"})).status == 401
        assert (await post([], headers=bearer)).status == 400
        refused = await post({"envoy": "/old"}, headers=bearer)
        assert (refused.status, json.loads(refused.text)["error"]) == (409, "cannot run it")
        done = await post({"envoy": "/new"}, headers=bearer)
        assert json.loads(done.text) == {"binary": "/new", "epoch": 1, "pid": 8}
