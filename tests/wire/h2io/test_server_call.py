# SPDX-License-Identifier: Apache-2.0
"""A server's call: whatever a client does to its end, other calls of the connection live."""

from __future__ import annotations

import asyncio

from tests.support.grpc_running import serving
from wire.h2 import frames
from wire.h2.connection import H2Connection, Side
from wire.h2.events import HeadersReceived
from wire.h2io import Limits, ServerCall, connect


async def one(call: ServerCall) -> None:
    await call.send(await call.receive() or b"")


async def test_trailers_after_an_early_refusal_do_not_end_the_connection() -> None:
    async with serving({"/s/One": one}) as running:
        reader, writer = await asyncio.open_connection(*running.target.split(":"))
        client = H2Connection(Side.CLIENT, Limits())
        client.start()
        stream = client.open_stream([(":method", "POST"), (":scheme", "http"), (":path", "/")])
        client.send_data(stream, (b"x",), 1)
        client.end_stream(stream, [("x-last", "1")])
        writer.write(b"".join(client.out) + frames.ping_frame(b"12345678"))
        seen = b""
        async with asyncio.timeout(10):
            while frames.ping_frame(b"12345678", ack=True) not in seen:
                read = await reader.read(4096)
                assert read, "the connection was closed"
                seen += read
        events = client.receive(memoryview(seen), 0.0)
        assert any(isinstance(event, HeadersReceived) for event in events)
        writer.close()


async def test_a_flood_of_empty_messages_stops_at_the_window() -> None:
    go_on = asyncio.Event()

    async def lazy(call: ServerCall) -> None:
        await go_on.wait()

    async with serving({"/s/Lazy": lazy}, limits=Limits(stream_window=100_000)) as running:
        connection = await connect(running.target)
        call = connection.open("/s/Lazy")
        for _ in range(100_000):
            call.send_nowait(b"")
        await asyncio.sleep(0.3)
        [link] = running.server.links
        [held] = [one.held for one in link.calls.values()]
        assert held <= 64 * (100_000 // 5 + 100_000 // 64 + 1000) * 2
        go_on.set()
        await connection.close()
