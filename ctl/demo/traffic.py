# SPDX-License-Identifier: Apache-2.0
"""Requests as the client's application sends them: through its sidecar's HTTP proxy listener. Sends and counts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import aiohttp

from ctl.demo.topology import HOST, SERVICE_PORT


class Answer(NamedTuple):
    """What came back: HTTP status (0: no answer at all), the version that answered, its view of us."""

    status: int
    app: str = ""
    headers: dict[str, str] = {}  # noqa: RUF012  never changed
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.status == 200


class Client:
    """Sends requests to ``reviews`` through one sidecar."""

    def __init__(self, proxy_url: str) -> None:
        self._proxy = proxy_url
        timeout = aiohttp.ClientTimeout(total=12)
        self._session = aiohttp.ClientSession(timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(
        self, path: str = "/", *, method: str = "GET", host: str = HOST, port: int = SERVICE_PORT
    ) -> Answer:
        """One request; a failure is an answer too."""
        authority = host if port == SERVICE_PORT else f"{host}:{port}"
        try:
            async with self._session.request(
                method, f"http://{authority}{path}", proxy=self._proxy
            ) as reply:
                text = await reply.text()
                if reply.content_type != "application/json":
                    return Answer(reply.status, error=text.strip()[:200])
                body: dict[str, Any] = await reply.json()
                return Answer(reply.status, body["app"], body["headers"])
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(0, error=f"{type(error).__name__}: {error}")


@dataclass(slots=True)
class Load:
    """What a steady stream of requests met so far."""

    sent: int = 0
    apps: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def note(self, answer: Answer) -> None:
        self.sent += 1
        if answer.ok:
            self.apps[answer.app] += 1
        else:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {answer.status} {answer.error}")


@asynccontextmanager
async def steady_load(client: Client, *, per_second: float, lanes: int = 2) -> AsyncIterator[Load]:
    """Keep requests going while the block runs; every answer is counted."""
    load = Load()
    stop = asyncio.Event()

    async def lane() -> None:
        while not stop.is_set():
            load.note(await client.ask())
            with suppress(TimeoutError):
                async with asyncio.timeout(lanes / per_second):
                    await stop.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(lanes):
            group.create_task(lane(), name=f"lane {number}")
        try:
            yield load
        finally:
            stop.set()
