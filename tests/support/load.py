# SPDX-License-Identifier: Apache-2.0
"""Steady traffic with witnesses of others: HTTP/1.1 by hand, unary and streamed gRPC by grpcio. Nothing is retried.

A client does what a good client does: it closes a connection whose answer says so, and opens the next.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.grpcio import grpc

BODY = b"hello"
PACE = 0.01
SAY, TALK = "/load.Echo/Say", "/load.Echo/Talk"


class _Echo(grpc.GenericRpcHandler):  # type: ignore[misc]  # untyped on purpose
    def service(self, details: Any) -> object:
        if details.method == SAY:
            return grpc.unary_unary_rpc_method_handler(_say)
        if details.method == TALK:
            return grpc.stream_stream_rpc_method_handler(_talk)
        return None


async def _say(request: bytes, _: Any) -> bytes:
    return request


async def _talk(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def _serve_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        writer.close()


@asynccontextmanager
async def upstream() -> AsyncIterator[tuple[int, int]]:
    """An application: its HTTP/1.1 port and its gRPC port."""
    plain = await asyncio.start_server(_serve_http, "127.0.0.1", 0)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield plain.sockets[0].getsockname()[1], port
    finally:
        plain.close()
        await server.stop(None)


class Load:
    """Traffic through one port of Envoy until ``stop`` is set; ``failed`` says what went wrong."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self.stop = asyncio.Event()
        self._port = port

    async def run(self) -> None:
        """Every kind at once; returns when each has ended in good order."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._http())
            group.create_task(self._grpc())

    async def _grpc(self) -> None:
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{self._port}") as channel,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._calls(channel))
            group.create_task(self._stream(channel))

    def figures(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.done.items()))
        return f"{self.name}: {kinds}; {len(self.failed)} failed"

    async def _http(self) -> None:
        while not self.stop.is_set():
            try:
                async with asyncio.timeout(30):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except (OSError, TimeoutError) as error:
                self.failed.append(f"http/1.1 connection: {error!r}")
                await asyncio.sleep(PACE)
                continue
            try:
                while not self.stop.is_set() and await self._request(reader, writer):
                    await asyncio.sleep(PACE)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.failed.append(f"http/1.1: {error!r}")
            finally:
                writer.close()
            await asyncio.sleep(PACE)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again."""
        async with asyncio.timeout(30):
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(len(BODY))
        if not head.startswith(b"http/1.1 200") or body != BODY:
            self.failed.append(f"http/1.1: {head[:60]!r}")
        self.done["HTTP/1.1 requests"] += 1
        return b"connection: close" not in head

    async def _calls(self, channel: Any) -> None:
        say = channel.unary_unary(SAY)
        while not self.stop.is_set():
            try:
                assert await say(BODY, timeout=30) == BODY
                self.done["HTTP/2 calls"] += 1
            except grpc.aio.AioRpcError as error:
                self.failed.append(f"call: {error.code()} {error.details()}")
            await asyncio.sleep(PACE)

    async def _stream(self, channel: Any) -> None:
        """One stream from beginning to end."""
        call = channel.stream_stream(TALK)()
        try:
            while not self.stop.is_set():
                await call.write(BODY)
                assert await asyncio.wait_for(call.read(), 30) == BODY
                self.done["messages of one stream"] += 1
                await asyncio.sleep(PACE)
            await call.done_writing()
            assert await asyncio.wait_for(call.read(), 30) is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self.failed.append(f"stream: {error!r}")
