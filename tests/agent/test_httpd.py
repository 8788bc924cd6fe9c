# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent import http1
from agent.httpd import BODY_LIMIT, HttpServer, Reply, Request
from tests.support.http import raw, running, serving


async def echo(request: Request) -> Reply:
    """What was asked, as a reply."""
    text = f"{request.method} {request.path} {request.query} {len(request.body)}"
    return Reply(200, text.encode(), headers=(("X-Own", "yes"),))


def target(port: int, path: str = "/", method: str = "GET") -> http1.Target:
    return http1.Target("127.0.0.1", port, path, method)


async def test_a_request_reaches_the_handler() -> None:
    async with serving(echo) as port:
        reply = await http1.ask(target(port, "/a?b=c", "POST"), timeout=5, body=b"1234")
    assert reply.text == "POST /a b=c 4"
    assert ("x-own", "yes") in reply.headers
    assert ("content-type", "text/plain; charset=utf-8") in reply.headers


async def test_two_requests_on_one_connection() -> None:
    async with serving(echo) as port:
        one = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
        said = await raw(port, one % b"1" + one % b"2", half_close=True)
    assert said.count(b"200") == 2
    assert b"GET /1" in said
    assert b"GET /2" in said


async def test_head_has_no_body() -> None:
    async with serving(echo) as port:
        said = await raw(port, b"HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert said.endswith(b"\r\n\r\n")
    assert b"Content-Length: 10\r\n" in said


class Counting:
    """A body in pieces that knows whether it was let go."""

    def __init__(self, *pieces: bytes, fault: Exception | None = None) -> None:
        self.closed = 0
        self._pieces = pieces
        self._fault = fault

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._fault:
            raise self._fault

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_body_in_pieces_is_let_go_of() -> None:
    body = Counting(b"abc", b"de")

    async def page(_: Request) -> Reply:
        return Reply(200, body)

    async with serving(page) as port:
        assert (await http1.ask(target(port), timeout=5)).body == b"abcde"
        await http1.ask(target(port, method="HEAD"), timeout=5)
    assert body.closed == 2


async def test_a_body_that_breaks_off_ends_its_connection_only() -> None:
    async def page(_: Request) -> Reply:
        return Reply(200, Counting(b"abc", fault=LookupError("gone")))

    async with serving(page) as port:
        for _ in range(2):
            with pytest.raises(http1.RequestFailed, match="not HTTP"):
                await http1.ask(target(port), timeout=5)


async def test_a_page_that_fails_is_a_500() -> None:
    async def page(_: Request) -> Reply:
        raise LookupError("secret detail")

    async with serving(page) as port:
        reply = await http1.ask(target(port), timeout=5)
    assert (reply.status, reply.text) == (500, "internal error\n")


async def test_continue_is_said_before_a_body() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        await reader.readline()
        writer.write(b"ab")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % 2**30, b"413"),
    ],
)
async def test_what_is_no_request_is_refused(request_bytes: bytes, status: bytes) -> None:
    filler = b"b" * (BODY_LIMIT + 1) if status == b"413" else b""
    async with serving(echo) as port:
        assert (await raw(port, request_bytes + filler)).startswith(b"HTTP/1.1 " + status)
        assert (await http1.ask(target(port), timeout=5)).status == 200


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le"])
async def test_a_request_that_never_ends_is_cut(begun: bytes) -> None:
    async with serving(echo, idle=0.05) as port:
        assert await raw(port, begun) == b""


async def test_a_drip_of_bytes_buys_no_time() -> None:
    async with serving(echo, idle=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 1000:
            if reader.at_eof() or writer.transport.is_closing():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
        else:
            pytest.fail("a slow request was never cut")
        writer.close()


async def test_more_connections_than_allowed_are_closed() -> None:
    async with serving(echo, connections=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        with pytest.raises(http1.RequestFailed):
            await http1.ask(target(port), timeout=5)
        writer.close()


async def test_a_unix_socket_has_exactly_the_mode_and_no_peer_address(short_tmp: Path) -> None:
    path = short_tmp / "new" / "ADMIN"
    peers: list[str] = []

    async def page(request: Request) -> Reply:
        peers.append(request.peer)
        return Reply(200, b"here")

    for _ in range(2):  # a stale socket file is replaced
        server = HttpServer(page)
        await server.bind_unix(str(path), mode=0o600)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        async with running(server):
            via = http1.Via(path=str(path))
            reply = await http1.ask(target(0), timeout=5, via=via)
        assert reply.text == "here"
    assert peers == ["", ""]


@pytest.mark.parametrize(
    ("peer", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("", False)],
)
def test_who_counts_as_local(peer: str, *, loopback: bool) -> None:
    assert Request("GET", "/", "", (("host", "a"),), peer).loopback is loopback
