# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import socket

import pytest

from agent import http1
from agent.httpd import HttpServer, Reply, Request
from tests.support.http import Reader, Scripted, Writer, plain, running, talking


def at(port: int, path: str = "/", method: str = "GET") -> http1.Target:
    return http1.Target("127.0.0.1", port, path, method)


async def test_asks_and_reads_the_whole_answer() -> None:
    said = Scripted(plain("welcome", kind="text/x"))
    async with talking(said) as port:
        reply = await http1.ask(at(port, "/a?b=c"), timeout=5, headers=[("X-One", "1")])
    assert (reply.status, reply.text) == (200, "welcome")
    assert ("content-type", "text/x") in reply.headers
    assert said.heads[0].startswith("GET /a?b=c HTTP/1.1\r\n")
    assert said.header("host") == [f"127.0.0.1:{port}"]
    assert said.header("x-one") == ["1"]
    assert said.header("connection") == ["close"]


async def test_a_body_goes_along_and_a_host_of_the_caller_wins() -> None:
    got: list[bytes] = []

    async def talk(reader: Reader, writer: Writer) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        got.append(await reader.readexactly(4))
        writer.write(plain(""))
        await writer.drain()

    async with talking(talk) as port:
        headers = [("Host", "other:1")]
        await http1.ask(at(port, "/", "POST"), timeout=5, headers=headers, body=b"abcd")
    assert b"host: other:1\r\n" in got[0].lower()
    assert b"content-length: 4\r\n" in got[0].lower()
    assert got[1] == b"abcd"


async def test_chunks_come_as_pieces() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    async with talking(Scripted(chunked)) as port, http1.asking(at(port), timeout=5) as answer:
        pieces = [piece async for piece in answer.body]
    assert b"".join(pieces) == b"abcde"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "not HTTP"),
        (b"garbage\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000, "not HTTP"),
    ],
)
async def test_what_is_not_http_is_named(answer: bytes, why: str) -> None:
    async with talking(Scripted(answer)) as port:
        with pytest.raises(http1.RequestFailed, match=why) as error:
            await http1.ask(at(port), timeout=5)
    assert error.value.url == f"http://127.0.0.1:{port}/"


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(http1.RequestFailed, match="failed: "):
        await http1.ask(at(port), timeout=5)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
async def test_an_answer_that_hangs_is_given_up(answer: bytes) -> None:
    async with talking(Scripted(answer, hang=True)) as port:
        with pytest.raises(http1.RequestFailed, match="no answer within"):
            await http1.ask(at(port), timeout=0.05)


async def test_the_deadline_never_cuts_the_callers_own_waits() -> None:
    unfinished = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
    async with (
        talking(Scripted(unfinished, hang=True)) as port,
        http1.asking(at(port), timeout=0.1) as answer,
    ):
        assert await anext(answer.body) == b"abc"
        await asyncio.sleep(0.2)
        with pytest.raises(http1.RequestFailed, match="no answer within"):
            await anext(answer.body)


async def test_an_answer_that_is_too_long() -> None:
    async with talking(Scripted(plain("x" * 100))) as port:
        with pytest.raises(http1.RequestFailed, match="longer than 99"):
            await http1.ask(at(port), timeout=5, limit=99)


async def test_the_caller_may_choose_its_own_address() -> None:
    peers: list[str] = []

    async def page(request: Request) -> Reply:
        peers.append(request.peer)
        return Reply(200)

    server = HttpServer(page)
    port = await server.bind_tcp("127.0.0.1", 0)
    async with running(server):
        via = http1.Via(source="127.0.0.6")
        await http1.ask(at(port), timeout=5, via=via)
    assert peers == ["127.0.0.6"]


def test_a_target_reads_as_an_address() -> None:
    assert str(http1.Target("::1", 80, "/x")) == "http://[::1]:80/x"
