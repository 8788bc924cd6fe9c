# SPDX-License-Identifier: Apache-2.0
"""The yardstick that needs nothing foreign: a grpc.aio server that hands each stream bytes it already has.

It generates nothing and knows no names: the least that a server in Python does for a push. It prints its port; each
number on standard input is the size of a message that all streams then get.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio


class Fan(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # the stubs know the blocking API only
    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self.serve)

    async def serve(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)

    def push(self, size: int) -> None:
        message = bytes(size)
        for queue in self._queues:
            queue.put_nowait(message)


async def main() -> None:
    server: Any = grpc.aio.server()
    fan = Fan()
    server.add_generic_rpc_handlers((fan,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async for line in orders:
        fan.push(int(line))
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
