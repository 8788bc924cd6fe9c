# SPDX-License-Identifier: Apache-2.0
"""The yardstick that needs nothing foreign: a relay on grpc.aio, bytes through: ``UPSTREAM SOCKET``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from wire import types

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Relay(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # the stubs know the blocking API only
    def __init__(self, channel: Any) -> None:
        self._upstream = channel.stream_stream(types.DELTA_AGGREGATED)

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self.relay)

    async def relay(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for message in self._upstream(requests):
            yield message


async def main(upstream: str, socket: str) -> None:
    server: Any = grpc.aio.server(options=OPTIONS)
    async with grpc.aio.insecure_channel(upstream, options=OPTIONS) as channel:
        server.add_generic_rpc_handlers((Relay(channel),))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
