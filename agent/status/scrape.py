# SPDX-License-Identifier: Apache-2.0
"""Fetches and joins metrics for one scrape; Envoy's pass in pieces, so that 50 MB of them cost no memory. Effects only.

Order: ours, Envoy's, the applications'; what does not come is left out and counted, the scrape never fails. All are
asked at once and answered when each has begun: then the format is known, and who is there. An application's text is
held, up to ``max_body``; one application that says more is passed on behind the others as it comes. Texts that are
long are looked at beside the loop, in a thread, so that nothing else of the agent waits for them.
What is asked and answered is decided in ``prometheus``, how texts join in ``regroup``. Source: spec/agent.md 9.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import mesh.log
from agent import http1
from agent.httpd import Reply, Request
from agent.status import exposition, prometheus
from agent.status.own import OwnMetrics
from agent.status.prometheus import CONTENT_TYPE, OPENMETRICS, Collisions, ScrapeOptions
from agent.status.regroup import Regroup
from agent.status.translate import to_text

log = mesh.log.get()

TIMEOUT = 60.0
"""Of one target when the scraper names none; the peer has no bound."""
ENVOY = "envoy"
APPLICATION = "application"

_SHARE = 0.8
"""Of the time that the scraper gives, for applications: one that never answers leaves time for the others' metrics."""
_FORWARDED = ("User-Agent", "X-Prometheus-Scrape-Timeout-Seconds")
_LONG = 256 * 1024
"""Bytes that take milliseconds to be looked at."""
_LINE = 1024 * 1024
"""Bytes of Envoy's text without a line's end: it is none."""
_PIECE = 256 * 1024

_T = TypeVar("_T")


@dataclass(slots=True)
class _Application:
    """What one target said."""

    name: str
    text: bytes | None = None
    """None: nothing came."""
    kind: str = ""
    rest: AsyncIterator[bytes] | None = None
    """What follows a text that was too long to hold."""


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
        try:
            scrape = _Scrape(self._options, self._own, request, stack)
            await scrape.begin()
            await scrape.agree()
        except BaseException:
            await stack.aclose()
            raise
        return Reply(200, _Body(self._pieces(scrape), stack), scrape.content_type)

    async def _pieces(self, scrape: _Scrape) -> AsyncIterator[bytes]:
        joining = await scrape.joining()
        if joining is None:
            yield self._ours()
            async for piece in scrape.envoy():
                yield piece
            async for piece in scrape.applications():
                yield piece
            return
        aside = scrape.aside
        yield await aside(lambda: joining.feed(self._ours()) + joining.end_source())
        async for piece in scrape.envoy():
            if out := await aside(joining.feed, piece):
                yield out
        yield await aside(joining.end_source)
        rest = _gathered(joining.finish())
        while out := await aside(next, rest, b""):
            yield out
        self._own.families_dropped += joining.dropped

    def _ours(self) -> bytes:
        try:
            return self._render().encode()
        except Exception as error:  # noqa: BLE001  our own part may fail, the scrape may not
            self._own.failed("agent")
            log.error("own metrics failed", why=repr(error))  # noqa: TRY400  one line, no traceback
            return b""


class _Scrape:
    """One scrape's sources. ``begin`` asks them all; the rest is read in order."""

    def __init__(
        self, options: ScrapeOptions, own: OwnMetrics, request: Request, stack: AsyncExitStack
    ) -> None:
        self.content_type = CONTENT_TYPE
        self._options = options
        self._own = own
        self._request = request
        self._stack = stack
        self._timeout = _timeout(request)
        self._envoy: http1.Answer | None = None
        self._applications = [
            _Application(f"{target.port}{target.path}") for target in options.targets
        ]

    async def begin(self) -> None:
        """Ask everybody at once; return when all have begun to answer, or failed to. Then ``agree``."""
        async with asyncio.TaskGroup() as group:
            if self._options.envoy_port:
                group.create_task(self._ask_envoy(), name="scrape envoy")
            pairs = zip(self._options.targets, self._applications, strict=True)
            for target, application in pairs:
                where = http1.Target("localhost", _number(target.port), target.path)
                work = self._ask_application(where, application)
                group.create_task(work, name="scrape application")

    async def aside(self, work: Callable[..., _T], *given: object) -> _T:
        """Done in a thread where applications' texts are long: the loop goes on."""
        if sum(len(each.text or b"") for each in self._applications) > _LONG:
            return await asyncio.to_thread(work, *given)
        return work(*given)

    async def joining(self) -> Regroup | None:
        """How texts become one; None: one after the other."""
        options = self._options
        if options.collisions is Collisions.CONCATENATE or not self._applications:
            return None
        if any(each.rest is not None for each in self._applications):
            return None
        try:
            texts = [each.text for each in self._applications if each.text is not None]
            indexed = [await self.aside(exposition.Index, text) for text in texts]
        except ValueError as error:
            log.warning(
                "metrics cannot be told apart and are passed on as they are", why=str(error)
            )
            return None
        always = options.collisions is Collisions.REGROUP
        return Regroup(indexed, openmetrics=self._is_openmetrics, always=always)

    async def envoy(self) -> AsyncIterator[bytes]:
        """Envoy's text as it comes."""
        if self._envoy is None:
            return
        rest = b""
        try:
            async for piece in self._envoy.body:
                whole = rest + piece
                cut = whole.rfind(b"\n") + 1
                rest = whole[cut:]
                if len(rest) > _LINE:
                    self._note(ENVOY, "body", f"a line of more than {_LINE} bytes")
                    return
                yield whole[:cut]
        except http1.RequestFailed as error:
            self._note(ENVOY, "body", error.why)
            return  # half a line may be half a number
        if rest:
            yield rest + b"\n"

    async def applications(self) -> AsyncIterator[bytes]:
        """The texts one after the other: one as it is, several with one end mark."""
        if len(self._applications) == 1:
            async for piece in self._only(self._applications[0]):
                yield piece
            return
        for each in self._applications:
            if each.text is not None:
                yield exposition.without_eof(each.text)
        if self._is_openmetrics:
            yield exposition.EOF + b"\n"

    async def _only(self, application: _Application) -> AsyncIterator[bytes]:
        if application.text is not None:
            yield application.text
        if application.rest is not None:
            try:
                async for piece in application.rest:
                    yield piece
            except http1.RequestFailed as error:
                self._note(APPLICATION, application.name, error.why)

    @property
    def _is_openmetrics(self) -> bool:
        return self.content_type.startswith(OPENMETRICS)

    async def agree(self) -> None:
        """One format for all: that of the applications where they agree, else text."""
        kinds = {
            prometheus.merged_type(each.kind)
            for each in self._applications
            if each.text is not None
        }
        if len(kinds) == 1:
            self.content_type = kinds.pop()
            return
        if self._options.collisions is Collisions.CONCATENATE:
            return
        for each in self._applications:
            if each.text is not None and prometheus.merged_type(each.kind) != CONTENT_TYPE:
                each.text = await self.aside(to_text, each.text)

    async def _ask_envoy(self) -> None:
        query = f"?{self._request.query}" if self._request.query else ""
        path = f"{prometheus.ENVOY_PATH}{query}"
        target = http1.Target("localhost", self._options.envoy_port, path)
        self._envoy = await self._open(ENVOY, target, prometheus.accept_for_envoy, self._timeout)
        self._own.up[ENVOY, ""] = self._envoy is not None

    async def _ask_application(self, target: http1.Target, application: _Application) -> None:
        accept, timeout = prometheus.accept_for_app, self._timeout * _SHARE
        answer = await self._open(APPLICATION, target, accept, timeout)
        if answer is not None:
            application.kind = answer.header("content-type")
            await self._hold(answer, application)
        self._own.up[APPLICATION, application.name] = application.text is not None

    async def _hold(self, answer: http1.Answer, application: _Application) -> None:
        """Read up to the limit."""
        if why := prometheus.refused_type(application.kind):
            self._note(APPLICATION, application.name, why)
            return
        check, pieces, size = exposition.TextCheck(), [], 0
        alone = len(self._applications) == 1
        try:
            async for piece in answer.body:
                if not check.feed(piece):
                    self._note(APPLICATION, application.name, "not text")
                    return
                pieces.append(piece)
                size += len(piece)
                if size > self._options.max_body:
                    if not alone:
                        why = f"longer than {self._options.max_body} bytes"
                        self._note(APPLICATION, application.name, why)
                        return
                    application.rest = answer.body
                    break
        except http1.RequestFailed as error:
            self._note(APPLICATION, application.name, error.why)
            return
        if application.rest is None and not check.finish():
            self._note(APPLICATION, application.name, "not text")
            return
        application.text = b"".join(pieces)

    async def _open(
        self, kind: str, target: http1.Target, accept: Callable[[str], str], timeout: float
    ) -> http1.Answer | None:
        headers = [("Accept", accept(self._request.header("accept")))]
        sent_on = ((name, self._request.header(name.lower())) for name in _FORWARDED)
        headers += [(name, value) for name, value in sent_on if value]
        asking = http1.asking(target, timeout=timeout, headers=headers)
        try:
            answer = await self._stack.enter_async_context(asking)
        except http1.RequestFailed as error:
            self._note(kind, str(target), error.why)
            return None
        if answer.status != 200:
            self._note(kind, str(target), f"status {answer.status}")
            return None
        return answer

    def _note(self, kind: str, what: str, why: str) -> None:
        self._own.failed(kind)
        log.warning("metrics left out of the scrape", type=kind, source=what, why=why)


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same in fewer pieces; none is empty."""
    held, size = [], 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


def _timeout(request: Request) -> float:
    text = request.header("x-prometheus-scrape-timeout-seconds")
    try:
        return prometheus.scrape_timeout(text, TIMEOUT)
    except ValueError:
        log.warning("scrape timeout header is not a number", value=text)
        return TIMEOUT


def _number(port: str) -> int:
    """0, where nobody listens, for what is no port number."""
    return int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0


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
