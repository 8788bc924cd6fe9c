# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import socket
import sys

import pytest
from aiohttp import web

from agent.http1 import RequestFailed
from agent.status.options import CallOptions
from agent.status.probers import Exec, GrpcCheck, HttpGet, TcpSocket
from agent.status.probing import Probing
from tests.support.apps import health_app, http_app, tls_of_app
from tests.support.http import Scripted, plain, talking
from tests.support.sockets import lingering_to


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture
def probing() -> Probing:
    return Probing(CallOptions(host="127.0.0.1"))


async def test_calls_leave_from_their_own_address(probing: Probing) -> None:
    seen: list[str | None] = []

    async def app(request: web.BaseRequest) -> web.Response:
        seen.append(request.remote)
        return web.Response(text="yes")

    async with http_app(app) as port, probing.http(HttpGet(port), [], timeout=5) as answer:
        assert answer.status == 200
    assert seen == ["::ffff:127.0.0.6"]


async def test_redirects_on_the_same_host_are_followed_with_the_headers(probing: Probing) -> None:
    async with talking(Scripted(plain("there"))) as other:
        to = f"Location: http://127.0.0.1:{other}/b?c=d\r\n"
        said = plain("").replace(b"200 OK\r\n", b"302 Found\r\n" + to.encode())
        async with (
            talking(Scripted(said)) as port,
            probing.http(HttpGet(port), [("X-A", "1")], timeout=5) as answer,
        ):
            assert [piece async for piece in answer.body] == [b"there"]


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:99999/"])
async def test_a_redirect_that_cannot_be_read(probing: Probing, location: str) -> None:
    said = plain("").replace(b"200 OK\r\n", f"301 M\r\nLocation: {location}\r\n".encode())
    async with talking(Scripted(said)) as port:
        with pytest.raises(RequestFailed, match="redirect that cannot be read"):
            async with probing.http(HttpGet(port), [], timeout=5):
                pass


async def test_a_certificate_that_nobody_knows(probing: Probing) -> None:
    async def app(_: web.BaseRequest) -> web.Response:
        return web.Response()

    async with http_app(app, tls=tls_of_app(None)) as port:
        action = HttpGet(port, https=True)
        async with probing.http(action, [], timeout=5) as answer:
            assert answer.status == 200
        with pytest.raises(RequestFailed, match="ertificate"):
            async with probing.http(action, [], timeout=5, verify=True):
                pass


async def test_a_slow_application_is_given_up(probing: Probing) -> None:
    async with talking(Scripted(b"", hang=True)) as port:
        with pytest.raises(RequestFailed, match="no answer within"):
            async with probing.http(HttpGet(port), [], timeout=0.05):
                pass


async def test_tcp(probing: Probing) -> None:
    async with talking(Scripted(b"")) as port:
        assert await probing.tcp(TcpSocket(port), timeout=5) == ""
        assert await probing.tcp(TcpSocket(port, "[::1]"), timeout=5)
    assert await probing.tcp(TcpSocket(closed_port()), timeout=5)


async def test_grpc(probing: Probing) -> None:
    async with health_app({"": 1, "down": 2, "unknown": 0, "long" * 50: 1}) as port:
        assert await probing.grpc(GrpcCheck(port), timeout=5) == ""
        assert await probing.grpc(GrpcCheck(port, "long" * 50), timeout=5, user_agent="k") == ""
        assert await probing.grpc(GrpcCheck(port, "down"), timeout=5) == "service is NOT_SERVING"
        assert await probing.grpc(GrpcCheck(port, "unknown"), timeout=5) == "service is UNKNOWN"
        assert "NOT_FOUND" in await probing.grpc(GrpcCheck(port, "other"), timeout=5)
        assert await probing.grpc(GrpcCheck(port), timeout=0) == "no time was given"
    assert "unavailable" in await probing.grpc(GrpcCheck(closed_port()), timeout=5)


async def test_commands(probing: Probing) -> None:
    def run(code: str) -> Exec:
        return Exec((sys.executable, "-c", code))

    assert await probing.command(run("pass"), timeout=30) == ""
    assert await probing.command(run("exit(3)"), timeout=30) == "command ended with status 3"
    slow = await probing.command(run("import time; time.sleep(60)"), timeout=0.1)
    assert slow == "command timed out after 0.1 s"
    assert "cannot run" in await probing.command(Exec(("/does/not/exist",)), timeout=5)
    assert "cannot run" in await probing.command(Exec(()), timeout=5)


class Watch:
    """Looks at the socket of ours that an application is asked on: the kernel's own word."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def look(self, port: int) -> None:
        self.seen += lingering_to(port, source="127.0.0.6")


async def test_http_sockets_linger_a_second_as_the_peers(probing: Probing) -> None:
    watch = Watch()

    async def app(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        watch.look(request.transport.get_extra_info("sockname")[1])
        return web.Response()

    for tls in (None, tls_of_app(None)):
        async with http_app(app, tls=tls) as port:
            for host in ("", "127.0.0.1"):  # the second is a machine that the probe names
                action = HttpGet(port, https=tls is not None, host=host)
                async with probing.http(action, [], timeout=20):
                    pass
    assert watch.seen == [(1, 1), (0, 0)] * 2


async def test_tcp_sockets_do(probing: Probing, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, close = Watch(), asyncio.StreamWriter.close

    def looked(writer: asyncio.StreamWriter) -> None:
        watch.look(port)
        close(writer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(asyncio.StreamWriter, "close", looked)
        assert await probing.tcp(TcpSocket(port), timeout=20) == ""
    assert watch.seen == [(1, 1)]


async def test_grpc_sockets_do(probing: Probing) -> None:
    watch = Watch()
    async with health_app({"": 1}, on_check=watch.look) as port:
        assert await probing.grpc(GrpcCheck(port), timeout=20) == ""
    assert watch.seen == [(1, 1)]
