# SPDX-License-Identifier: Apache-2.0
"""A status server of ours with fakes around it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from agent.status.health import Health
from agent.status.options import StatusOptions
from agent.status.own import OwnMetrics
from agent.status.scrape import Merge
from agent.status.server import StatusServer
from mesh.clock import SystemClock


class Life:
    """Remembers what pages asked of the process."""

    def __init__(self) -> None:
        self.quits = 0
        self.drains = 0
        self.is_started = False
        self.table: str | None = None
        self.details: dict[str, object] = {"ready": {"fault": "a reason"}}

    def quit(self) -> None:
        self.quits += 1

    async def drain(self) -> None:
        self.drains += 1

    def started(self) -> bool:
        return self.is_started

    async def detail(self) -> dict[str, object]:
        return self.details

    def name_table(self) -> str | None:
        return self.table


class Rig:
    """One status server and what surrounds it."""

    def __init__(self, options: StatusOptions, health: Health | None = None) -> None:
        self.life = Life()
        self.own = OwnMetrics()
        self.health = health or Health(None)
        self.merge = Merge(options.scrape, self.own, self.own.render)
        self.server = StatusServer(options, self.health, self.merge, self.life, SystemClock())
        self.port = 0


@contextlib.asynccontextmanager
async def status_server(
    options: StatusOptions | None = None, health: Health | None = None
) -> AsyncIterator[Rig]:
    """Served on a free loopback port."""
    from dataclasses import replace

    from tests.support.http import running

    given = replace(options or StatusOptions(), host="127.0.0.1", port=0)
    rig = Rig(given, health)
    rig.port = await rig.server.bind()
    async with running(rig.server):
        yield rig
