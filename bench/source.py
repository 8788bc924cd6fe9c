# SPDX-License-Identifier: Apache-2.0
"""A control plane for benches: answers a delta request that names a size with a message of that size.

``1024`` asks for one response of about 1024 bytes, ``burst:N:SIZE`` for N of them. Prints its port.
"""

from __future__ import annotations

import asyncio
import sys

from google.protobuf.any_pb2 import Any

from wire import types
from wire.h2io import Limits, Server, ServerCall
from wire.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource

_made: dict[int, bytes] = {}


def response(size: int) -> bytes:
    if size not in _made:
        body = Any(type_url=types.CLUSTER, value=b"\x0a\x01c\x7a" + _varint(size) + b"f" * size)
        message = DeltaDiscoveryResponse(
            type_url=types.CLUSTER,
            nonce="n",
            resources=[Resource(name="c", version="1", resource=body)],
        )
        _made[size] = message.SerializeToString()
    return _made[size]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


async def answer(call: ServerCall) -> None:
    async for raw in call:
        for name in DeltaDiscoveryRequest.FromString(raw).resource_names_subscribe:
            count, size = 1, name
            if name.startswith("burst:"):
                _, number, size = name.split(":")
                count = int(number)
            message = response(int(size))
            for _ in range(count):
                await call.send(message)


async def main() -> None:
    server = Server({types.DELTA_AGGREGATED: answer}, limits=Limits(max_message=0))
    port = await server.bind_tcp("127.0.0.1", 0)
    print(port, flush=True)
    await server.serve()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
