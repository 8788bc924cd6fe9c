# SPDX-License-Identifier: Apache-2.0
"""The yardstick of ``bench.sds``: the least SDS server that grpc.aio allows, of the same secret: ``FOLDER``.

It answers the first request of a stream, takes acknowledgements for what they are, and pushes for each line on standard
input.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from sdsserver.secret import Secret, encode
from wire import types
from wire.proto.discovery_pb2 import DiscoveryRequest, DiscoveryResponse


class Secrets(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # the stubs know the blocking API only
    def __init__(self, folder: Path) -> None:
        chain, key = (folder / "cert-chain.pem").read_bytes(), (folder / "key.pem").read_bytes()
        self._secret = Secret("default", chain=chain, key=key)
        self._versions = itertools.count(1)
        self._queues: set[asyncio.Queue[None]] = set()

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self.stream)

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        updates: asyncio.Queue[None] = asyncio.Queue()
        self._queues.add(updates)
        try:
            async with asyncio.TaskGroup() as group:
                pushing = group.create_task(self._push(updates, context), name="pushes")
                async for message in requests:
                    if not DiscoveryRequest.FromString(message).response_nonce:
                        updates.put_nowait(None)
                pushing.cancel()
        finally:
            self._queues.discard(updates)

    async def _push(self, updates: asyncio.Queue[None], context: Any) -> None:
        while True:
            await updates.get()
            version = str(next(self._versions))
            response = DiscoveryResponse(version_info=version, nonce=version, type_url=types.SECRET)
            response.resources.add(type_url=types.SECRET, value=encode(self._secret))
            await context.write(response.SerializeToString())

    def on_update(self) -> None:
        for updates in self._queues:
            updates.put_nowait(None)


async def main(folder: Path) -> None:
    server: Any = grpc.aio.server()
    secrets = Secrets(folder)
    server.add_generic_rpc_handlers((secrets,))
    server.add_insecure_port(f"unix:{folder}/grpcaio")
    await server.start()
    print(f"ready {folder}/grpcaio", flush=True)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async for _ in orders:
        secrets.on_update()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
