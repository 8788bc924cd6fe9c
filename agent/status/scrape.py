# SPDX-License-Identifier: Apache-2.0
"""Fetches and joins metrics for one scrape, in pieces, so that 50 MB of Envoy's text cost no memory. Effects only.

Order: ours, Envoy's, the application's; what does not come is left out and counted, the scrape never fails.
What is asked and answered is decided in ``prometheus``. Source: spec/agent.md 9.4.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import mesh.log
from agent import http1
from agent.httpd import Reply, Request
from agent.status import prometheus
from agent.status.own import OwnMetrics
from agent.status.prometheus import ScrapeOptions, ScrapeTarget

log = mesh.log.get()

TIMEOUT = 60.0
"""Of one target when the scraper names none; the peer has no bound."""


_FORWARDED = ("User-Agent", "X-Prometheus-Scrape-Timeout-Seconds")


class Merge:
    """Answers scrapes for one agent."""

    def __init__(self, options: ScrapeOptions, own: OwnMetrics, render: Callable[[], str]) -> None:
        self._options = options
        self._own = own
        self._render = render

    async def answer(self, request: Request) -> Reply:
        """The merged text, its content type known before the first byte."""
        self._own.scrapes += 1
        stack = AsyncExitStack()
        timeout = self._timeout(request)
        app = None
        if self._options.targets:
            target = self._options.targets[0]
            app = await self._open(stack, "application", self._app(target), request, timeout)
        kind = prometheus.merged_type(app.header("content-type") if app else "")
        return Reply(200, _Body(self._pieces(request, app, timeout), stack), kind)

    def _timeout(self, request: Request) -> float:
        text = request.header("x-prometheus-scrape-timeout-seconds")
        try:
            return prometheus.scrape_timeout(text, TIMEOUT)
        except ValueError:
            log.warning("scrape timeout header is not a number", value=text)
            return TIMEOUT

    async def _pieces(
        self, request: Request, app: http1.Answer | None, timeout: float
    ) -> AsyncIterator[bytes]:
        try:
            yield self._render().encode()
        except Exception as error:  # noqa: BLE001  our own part may fail, the scrape may not
            self._note("agent", "own", repr(error))
        if self._options.envoy_port:
            async with AsyncExitStack() as stack:
                answer = await self._open(stack, "envoy", self._envoy(request), request, timeout)
                async for piece in self._body("envoy", answer):
                    yield piece
        async for piece in self._body("application", app):
            yield piece

    async def _open(
        self,
        stack: AsyncExitStack,
        kind: str,
        target: http1.Target,
        request: Request,
        timeout: float,
    ) -> http1.Answer | None:
        accept = request.header("accept")
        headers = [("Accept", _accept(kind, accept))]
        sent_on = ((name, request.header(name.lower())) for name in _FORWARDED)
        headers += [(name, value) for name, value in sent_on if value]
        try:
            answer = await stack.enter_async_context(
                http1.asking(target, timeout=timeout, headers=headers)
            )
        except http1.RequestFailed as error:
            self._note(kind, str(target), error.why)
            return None
        if answer.status != 200:
            self._note(kind, str(target), f"status {answer.status}")
            return None
        return answer

    async def _body(self, kind: str, answer: http1.Answer | None) -> AsyncIterator[bytes]:
        if answer is None:
            return
        try:
            async for piece in answer.body:
                yield piece
        except http1.RequestFailed as error:
            self._note(kind, "body", str(error))

    def _app(self, target: ScrapeTarget) -> http1.Target:
        return http1.Target("localhost", int(target.port), target.path)

    def _envoy(self, request: Request) -> http1.Target:
        query = f"?{request.query}" if request.query else ""
        path = f"{prometheus.ENVOY_PATH}{query}"
        return http1.Target("localhost", self._options.envoy_port, path)

    def _note(self, kind: str, what: str, why: str) -> None:
        self._own.failed(kind)
        log.warning("metrics left out of the scrape", type=kind, source=what, why=why)


def _accept(kind: str, accept: str) -> str:
    if kind == "envoy":
        return prometheus.accept_for_envoy(accept)
    return prometheus.accept_for_app(accept)


class _Body:
    """The joined text, and what must be let go after it."""

    def __init__(self, pieces: AsyncIterator[bytes], stack: AsyncExitStack) -> None:
        self._pieces = pieces
        self._stack = stack

    def pieces(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        closing = getattr(self._pieces, "aclose", None)
        try:
            if closing is not None:
                await closing()
        finally:
            await self._stack.aclose()
