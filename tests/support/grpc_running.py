# SPDX-License-Identifier: Apache-2.0
"""A ``wire.h2io`` server that runs for the length of a ``with`` block."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from wire.h2.limits import DEFAULT_LIMITS
from wire.h2io import Handler, Keepalive, Limits, Server
from wire.h2io.server import Admit

UNBOUNDED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
"""Options that let grpcio take the messages that our limits let pass."""


@dataclass(frozen=True, slots=True)
class Running:
    """The server and where it listens."""

    server: Server
    target: str
    task: asyncio.Task[None]


@asynccontextmanager
async def serving(
    routes: Mapping[str, Handler],
    *,
    unix: str = "",
    tls: ssl.SSLContext | None = None,
    limits: Limits = DEFAULT_LIMITS,
    keepalive: Keepalive | None = None,
    admit: Admit | None = None,
) -> AsyncIterator[Running]:
    server = Server(routes, limits=limits, keepalive=keepalive, admit=admit)
    if unix:
        await server.bind_unix(unix)
        target = f"unix:{unix}"
    else:
        target = f"127.0.0.1:{await server.bind_tcp('127.0.0.1', 0, tls=tls)}"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve())
        try:
            await asyncio.sleep(0)  # serve() has begun
            yield Running(server, target, task)
        finally:
            task.cancel()
