# SPDX-License-Identifier: Apache-2.0
"""``wire.h2io`` as server or client of ``bench.wire``; the command line is ``bench.wire_program``'s."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bench.wire_program import (
    PULL,
    UNARY,
    Client,
    Options,
    input_ended,
    measure,
    parse,
    parse_pull,
    pull_request,
)
from wire.h2io import Connection, Limits, Server, ServerCall, Status, connect
from wire.h2io.tls import client_context, server_context

LIMITS = Limits(max_message=0)


async def unary(call: ServerCall) -> None:
    await call.send(await call.receive() or b"")


async def pull(call: ServerCall) -> None:
    count, size = parse_pull(await call.receive() or b"")
    message = bytes(size)
    for _ in range(count):
        await call.send(message)


async def serve(options: Options) -> None:
    server = Server({UNARY: unary, PULL: pull}, limits=LIMITS)
    if options.address.startswith("unix:"):
        await server.bind_unix(options.address.removeprefix("unix:"))
        address = options.address
    else:
        host, port = options.address.split(":")
        tls = server_context(chain=options.chain, key=options.key) if options.chain else None
        address = f"{host}:{await server.bind_tcp(host, int(port), tls=tls)}"
    print(address, flush=True)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(), name="server")
        await input_ended()
        serving.cancel()


class OurClient(Client):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def unary(self, message: bytes) -> int:
        return len(await self._connection.unary(UNARY, message))

    async def pull(self, count: int, size: int) -> int:
        call = self._connection.open(PULL)
        call.send_nowait(pull_request(count, size))
        call.half_close()
        found = 0
        async for message in call:
            found += len(message) == size
        return found


class Pieces:
    """Counts messages as they pass."""

    def __init__(self) -> None:
        self.whole = 0
        self.ended: asyncio.Future[Status | None] = asyncio.get_running_loop().create_future()

    def on_data(self, pieces: Sequence[memoryview], offset: int, length: int) -> None:
        self.whole += offset + sum(map(len, pieces)) == length

    def on_end(self, status: Status | None) -> None:
        self.ended.set_result(status)

    def on_writable(self) -> None:
        pass


class PiecesClient(OurClient):
    async def pull(self, count: int, size: int) -> int:
        call, sink = self._connection.open(PULL), Pieces()
        call.attach(sink)
        call.send_nowait(pull_request(count, size))
        call.half_close()
        await sink.ended
        return sink.whole


async def bench(options: Options) -> None:
    tls = client_context(roots=options.roots) if options.roots else None
    connection = await connect(options.address, tls=tls, server_name="localhost", limits=LIMITS)
    kind = PiecesClient if options.pieces else OurClient
    await measure(kind(connection), options)
    await connection.close()


if __name__ == "__main__":
    asked = parse()
    asyncio.run(serve(asked) if asked.command == "server" else bench(asked))
