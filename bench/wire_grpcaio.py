# SPDX-License-Identifier: Apache-2.0
"""grpc.aio as server or client of ``bench.wire``; the command line is ``bench.wire_program``'s."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

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

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Bench(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # the stubs know the blocking API only
    def service(self, details: Any) -> Any:
        if details.method == UNARY:
            return grpc.unary_unary_rpc_method_handler(self.unary)
        return grpc.unary_stream_rpc_method_handler(self.pull)

    async def unary(self, message: bytes, context: Any) -> bytes:
        return message

    async def pull(self, asked: bytes, context: Any) -> AsyncIterator[bytes]:
        count, size = parse_pull(asked)
        message = bytes(size)
        for _ in range(count):
            yield message


async def serve(options: Options) -> None:
    server: Any = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((Bench(),))
    address = options.address
    if options.chain:
        credentials = grpc.ssl_server_credentials([(options.key, options.chain)])
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    await server.start()
    print(address if address.startswith("unix:") else f"127.0.0.1:{port}", flush=True)
    await input_ended()
    await server.stop(None)


class AioClient(Client):
    def __init__(self, channel: Any) -> None:
        self._unary = channel.unary_unary(UNARY)
        self._pull = channel.unary_stream(PULL)

    async def unary(self, message: bytes) -> int:
        return len(await self._unary(message))

    async def pull(self, count: int, size: int) -> int:
        found = 0
        async for message in self._pull(pull_request(count, size)):
            found += len(message) == size
        return found


async def bench(options: Options) -> None:
    if options.roots:
        named = [*OPTIONS, ("grpc.ssl_target_name_override", "localhost")]
        credentials = grpc.ssl_channel_credentials(options.roots)
        channel: Any = grpc.aio.secure_channel(options.address, credentials, options=named)
    else:
        channel = grpc.aio.insecure_channel(options.address, options=OPTIONS)
    async with channel:
        await measure(AioClient(channel), options)


if __name__ == "__main__":
    asked = parse()
    asyncio.run(serve(asked) if asked.command == "server" else bench(asked))
