# SPDX-License-Identifier: Apache-2.0
"""The pages on statusPort: who may see which, and what they trigger. Transport is ``httpd``'s, rules are pure modules'.

Startup, live and ``?verbose`` under ``/healthz`` are ours; the rest is the peer's. Source: spec/agent.md 9.1, 9.4.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import mesh.log
from agent.httpd import HttpServer, Reply, Request
from agent.status.appprobe import AppProbes
from agent.status.encoding import encoded
from agent.status.health import Health
from agent.status.options import StatusOptions
from agent.status.profiling import PREFIX as PROFILING
from agent.status.profiling import Profiling
from agent.status.scrape import Merge
from mesh import redact
from mesh.clock import Clock

log = mesh.log.get()

_LOCAL_ONLY = Reply(403, b"Only requests from localhost are allowed")
_NOT_ALLOWED = Reply(405, b"Method Not Allowed")
_NO_PAGE = Reply(404, b"404 page not found\n")
_OK = Reply(200, b"OK")


class Life(Protocol):
    """What pages may do to the process."""

    def quit(self) -> None:
        """End without draining."""

    async def drain(self) -> None:
        """Drain now; returns when Envoy has answered."""

    def started(self) -> bool:
        """Whether start-up is over."""

    async def detail(self) -> Mapping[str, object]:
        """Everything that readiness depends on, for people on this machine."""

    def name_table(self) -> str | None:
        """What local DNS answers from, as proto JSON; None where it has no table."""


class StatusServer:
    """``bind``, then ``run`` until cancelled."""

    def __init__(
        self, options: StatusOptions, health: Health, merge: Merge, life: Life, clock: Clock
    ) -> None:
        self._options = options
        self._health = health
        self._merge = merge
        self._life = life
        self._profiling = Profiling() if options.profiling else None
        self._probes = AppProbes(
            options.probers, options.app, status_port=options.port, clock=clock
        )
        self._server = HttpServer(self.answer)
        self._pages: dict[str, Callable[[Request], Awaitable[Reply]]] = {
            "/healthz/ready": self._ready,
            "/healthz/startup": self._startup,
            "/healthz/live": self._live,
            "/metrics": self._metrics,
            "/stats/prometheus": self._metrics,
            "/quitquitquit": self._quit,
            "/drain": self._drain,
            "/debug/ndsz": self._name_table,
        }

    async def bind(self) -> int:
        """Listen; the port, or 0 where it is taken: the peer lives on without, and so do we."""
        try:
            port = await self._server.bind_tcp(self._options.host, self._options.port)
        except OSError as error:
            why = error.strerror or str(error)
            log.error("status server cannot listen", port=self._options.port, why=why)  # noqa: TRY400  one line, no traceback
            return 0
        log.info("status server listens", port=port)
        return port

    async def run(self) -> None:
        try:
            await self._server.run()
        finally:
            self._probes.close()

    def close(self) -> None:
        self._server.close()

    def probes(self) -> Mapping[str, object]:
        """The application's probes and their last answers, for people."""
        return self._probes.status()

    async def answer(self, request: Request) -> Reply:
        """The page that was asked for."""
        if self._probes.serves(request.path):
            return await self._probes.answer(request)
        if self._profiling is not None and request.path.startswith(PROFILING):
            reply = await self._profiling.answer(request) if request.loopback else _LOCAL_ONLY
            return reply or _NO_PAGE
        page = self._pages.get(request.path)
        return encoded(request, await page(request)) if page else _NO_PAGE

    async def _ready(self, request: Request) -> Reply:
        """Nothing but the status, as the peer; with ``?verbose`` the reasons, to this machine."""
        status = 503 if await self._health.check() else 200
        if not request.loopback or not _asks_for_detail(request.query):
            return Reply(status)
        detail = redact.document(await self._life.detail())
        text = json.dumps(detail, indent=2, default=str)
        return Reply(status, f"{text}\n".encode(), "application/json")

    async def _live(self, _: Request) -> Reply:
        """That this is answered is the answer: the loop turns."""
        return Reply(200)

    async def _startup(self, _: Request) -> Reply:
        return Reply(200 if self._life.started() else 503)

    async def _metrics(self, request: Request) -> Reply:
        if self._options.metrics_local_only and not request.loopback:
            return _LOCAL_ONLY
        return await self._merge.answer(request)

    async def _quit(self, request: Request) -> Reply:
        if refusal := _refusal(request):
            return refusal
        log.info("quit asked for over http")
        # after this answer has left; nothing else may come between
        asyncio.get_running_loop().call_soon(self._life.quit)
        return _OK

    async def _drain(self, request: Request) -> Reply:
        if refusal := _refusal(request):
            return refusal
        log.info("drain asked for over http")
        await self._life.drain()
        return _OK

    async def _name_table(self, request: Request) -> Reply:
        if not request.loopback:
            return _LOCAL_ONLY
        table = self._life.name_table()
        status, text = (404, "{}") if table is None else (200, table)
        return Reply(status, text.encode(), "application/json")


def _asks_for_detail(query: str) -> bool:
    names = [each.partition("=")[0] for each in query.split("&")]
    return "verbose" in names


def _refusal(request: Request) -> Reply | None:
    if not request.loopback:
        return _LOCAL_ONLY
    return None if request.method == "POST" else _NOT_ALLOWED
