# SPDX-License-Identifier: Apache-2.0
"""HTTP's other side in tests: a server that says scripted bytes, and running servers of ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from agent.httpd import Handler, HttpServer

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


@contextlib.asynccontextmanager
async def talking(talk: Callable[[Reader, Writer], Awaitable[None]]) -> AsyncIterator[int]:
    """A TCP server whose every connection is ``talk``; its port."""

    async def serve(reader: Reader, writer: Writer) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            # what ended already has no loop to abort it in
            with contextlib.suppress(AttributeError):
                writer.transport.abort()

    async with asyncio.TaskGroup() as group:
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: Reader, writer: Writer) -> None:
            tasks.add(group.create_task(serve(reader, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in tasks:
                task.cancel()
    await settle()


async def settle() -> None:
    """Let what was begun or aborted get there."""
    for _ in range(5):
        await asyncio.sleep(0)


class Runs(Protocol):
    """Something served until cancelled."""

    async def run(self) -> None: ...


class Scripted:
    """Answers each request with the same bytes; remembers the heads it got."""

    def __init__(self, answer: bytes, *, hang: bool = False) -> None:
        self.answer = answer
        self.hang = hang
        self.heads: list[str] = []

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode("latin-1"))
        writer.write(self.answer)
        await writer.drain()
        if self.hang:
            await reader.read()  # until the other side goes
        else:
            writer.close()
            await writer.wait_closed()

    def header(self, name: str) -> list[str]:
        """Values of a header of the last request."""
        lines = [line.partition(":") for line in self.heads[-1].split("\r\n")[1:]]
        return [value.strip() for key, _, value in lines if key.lower() == name.lower()]


def plain(body: bytes | str, *, status: str = "200 OK", kind: str = "text/plain") -> bytes:
    """A whole answer."""
    raw = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


@contextlib.asynccontextmanager
async def running(server: Runs) -> AsyncIterator[None]:
    """A bound server of ours, served meanwhile."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        await settle()
        try:
            yield
        finally:
            task.cancel()
    await settle()


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, *, idle: float = 60.0, connections: int = 512
) -> AsyncIterator[int]:
    """A server of ours with this handler on a free loopback port; the port."""
    server = HttpServer(handler, idle=idle, connections=connections)
    port = await server.bind_tcp("127.0.0.1", 0)
    async with running(server):
        yield port


async def raw(port: int, request: bytes, *, half_close: bool = False) -> bytes:
    """Everything a server says to these bytes until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
