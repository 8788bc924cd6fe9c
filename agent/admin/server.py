# SPDX-License-Identifier: Apache-2.0
"""The admin endpoint: a unix socket for who may open the file (0600), and loopback TCP where it is asked for.

Transport and pages only; the facts are the app's, who may do what is ``guard``'s, the table is ``api``'s. Every
answer goes through redaction. Source: DESIGN 4.10.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol

import mesh.log
from agent.admin import api
from agent.admin.guard import refusal
from agent.admin.options import AdminEndpointOptions
from agent.admin.outlook import Outlook
from agent.admin.timeline import Timeline, nacks
from agent.admin.token import new_token
from agent.httpd import HttpServer, Reply, Request
from mesh import redact
from mesh.clock import Clock
from mesh.errors import BadSetting, EnvoyFailed
from mesh.tasks import run_parts

log = mesh.log.get()

MODE = 0o600
LOOK_EVERY = 1.0
"""Seconds between two looks at the pushes."""
WATCHERS = 8
"""Streams of events at once."""
_JSON = "application/json"
_CSP = (
    "default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)


class Facts(Protocol):
    """What the endpoint asks of the agent."""

    async def detail(self) -> Mapping[str, object]:
        """Everything of now."""

    def push_counts(self) -> Mapping[str, Mapping[str, Any]]:
        """What is counted of each xDS type."""

    def settings(self) -> Sequence[Mapping[str, object]]:
        """Rows of name, value and source."""

    def capture(self) -> Mapping[str, object]:
        """The capture rules that the pod should have, with their reasons."""

    def metrics(self) -> str:
        """Prometheus text."""

    async def upgrade(self, binary: str) -> Mapping[str, object]:
        """Let another Envoy take over. Raises EnvoyFailed."""

    async def set_envoy_levels(self, levels: str) -> None:
        """Envoy's own, ``level,component:level...``. Raises EnvoyFailed."""


class AdminServer:
    """``bind``, then ``run`` until cancelled."""

    def __init__(
        self, options: AdminEndpointOptions, facts: Facts, clock: Clock, *, version: str
    ) -> None:
        self._options = options
        self._facts = facts
        self._clock = clock
        self._version = version
        self._token = ""
        self._port = 0
        self._outlook = Outlook(self._picture, clock)
        self._timeline = Timeline()
        self._servers: list[HttpServer] = []
        self._pages: dict[tuple[str, str], Callable[[Request], Awaitable[Reply]]] = {
            ("GET", "/"): self._page,
            ("GET", "/status"): self._status,
            ("GET", f"{api.PREFIX}/openapi.json"): self._openapi,
            ("GET", f"{api.PREFIX}/status"): self._status,
            ("GET", f"{api.PREFIX}/settings"): self._settings,
            ("GET", f"{api.PREFIX}/nacks"): self._nacks,
            ("GET", f"{api.PREFIX}/pushes"): self._pushes,
            ("GET", f"{api.PREFIX}/capture"): self._capture,
            ("GET", f"{api.PREFIX}/metrics"): self._metrics,
            ("GET", f"{api.PREFIX}/events"): self._events,
            ("GET", f"{api.PREFIX}/logs/levels"): self._levels,
            ("POST", f"{api.PREFIX}/logs/levels"): self._set_levels,
            ("POST", f"{api.PREFIX}/upgrade"): self._upgrade,
        }
        self._public = {(page.method, page.path) for page in api.PAGES if page.public}

    async def bind(self) -> bool:
        """Listen; False where nothing can be listened on: the mesh works without this page."""
        unix = await self._bind_unix()
        tcp = await self._bind_tcp() if self._options.host else False
        if unix or tcp:
            self._token = new_token(self._options.token_file)
        return unix or tcp

    @property
    def port(self) -> int:
        """That of TCP; 0 where there is none."""
        return self._port

    async def run(self) -> None:
        parts = {f"admin {at}": server.run() for at, server in enumerate(self._servers)}
        parts |= {"admin timeline": self._look(), "admin outlook": self._outlook.run()}
        await run_parts(parts, stop=asyncio.Event())

    async def answer(self, request: Request) -> Reply:
        """The page that was asked for, or why not."""
        method = "GET" if request.method == "HEAD" else request.method
        page = self._pages.get((method, request.path))
        public = (method, request.path) in self._public
        refused = refusal(request, token=self._token, port=self._port, public=public)
        if refused is not None:
            log.warning("admin request refused", path=request.path, why=refused.why)
            return _said({"error": refused.why}, status=refused.status)
        if page is None:
            known = any(path == request.path for _, path in self._pages)
            why = "method not allowed" if known else "no such page"
            return _said({"error": why}, status=405 if known else 404)
        reply = await page(request)
        return reply._replace(headers=(*_SAFE, *reply.headers))

    async def _bind_unix(self) -> bool:
        server = HttpServer(self.answer)
        try:
            await server.bind_unix(self._options.socket, mode=MODE)
        except OSError as error:
            why = error.strerror or str(error)
            log.error("admin socket cannot be made", path=self._options.socket, why=why)  # noqa: TRY400  one line
            return False
        self._servers.append(server)
        return True

    async def _bind_tcp(self) -> bool:
        server = HttpServer(self.answer)
        try:
            self._port = await server.bind_tcp(self._options.host, self._options.port)
        except OSError as error:
            why = error.strerror or str(error)
            log.error("admin port cannot be opened", port=self._options.port, why=why)  # noqa: TRY400  one line
            return False
        log.info("admin endpoint listens", host=self._options.host, port=self._port)
        self._servers.append(server)
        return True

    async def _look(self) -> None:
        while True:
            self._timeline.look(self._facts.push_counts(), self._clock.now())
            await self._clock.sleep(LOOK_EVERY)

    async def _page(self, _: Request) -> Reply:
        page = Path(__file__).with_name("page.html").read_bytes()
        rule = _CSP.format(style=_allowed(page, b"style"), script=_allowed(page, b"script"))
        return Reply(200, page, "text/html; charset=utf-8", (("Content-Security-Policy", rule),))

    async def _openapi(self, _: Request) -> Reply:
        return _said(api.openapi(self._version))

    async def _status(self, _: Request) -> Reply:
        return _said(await self._facts.detail())

    async def _settings(self, _: Request) -> Reply:
        rows = [
            {**row, "value": redact.value(str(row["name"]), str(row["value"]))}
            for row in self._facts.settings()
        ]
        return _said({"settings": rows})

    async def _nacks(self, _: Request) -> Reply:
        return _said({"nacks": nacks(self._facts.push_counts())})

    async def _pushes(self, _: Request) -> Reply:
        return _said({"pushes": self._timeline.entries()})

    async def _capture(self, _: Request) -> Reply:
        return _said(self._facts.capture())

    async def _metrics(self, _: Request) -> Reply:
        return Reply(
            200, self._facts.metrics().encode(), "text/plain; version=0.0.4; charset=utf-8"
        )

    async def _levels(self, _: Request) -> Reply:
        return _said(
            {"levels": {scope: level.name.lower() for scope, level in mesh.log.levels().items()}}
        )

    async def _set_levels(self, request: Request) -> Reply:
        try:
            given = json.loads(request.body)
            levels = mesh.log.parse_levels(str(given.get("levels", "")))
            envoy = str(given.get("envoy", ""))
            if not levels and not envoy:
                raise ValueError("neither levels nor envoy is given")
        except (ValueError, AttributeError, BadSetting) as error:
            return _said({"error": f"cannot be read: {error}"}, status=400)
        try:
            if envoy:
                await self._facts.set_envoy_levels(envoy)
        except EnvoyFailed as error:
            return _said({"error": error.why, "hint": error.hint}, status=502)
        mesh.log.set_levels(levels)
        log.info("log levels changed", levels=str(given.get("levels", "")), envoy=envoy)
        return await self._levels(request)

    async def _upgrade(self, request: Request) -> Reply:
        try:
            binary = json.loads(request.body)["envoy"]
        except (ValueError, TypeError, KeyError) as error:
            return _said({"error": f"cannot be read: {error}"}, status=400)
        try:
            return _said(await self._facts.upgrade(str(binary)))
        except EnvoyFailed as error:
            return _said({"error": error.why, "hint": error.hint}, status=409)

    async def _events(self, _: Request) -> Reply:
        if self._outlook.watchers >= WATCHERS:
            return _said({"error": "too many watch already"}, status=503)
        return Reply(200, _Events(self._watch()), "text/event-stream")

    async def _picture(self) -> str:
        everything = {**await self._facts.detail(), "pushes": self._timeline.entries()}
        return json.dumps(redact.document(everything), default=str)

    async def _watch(self) -> AsyncGenerator[bytes]:
        before = ""
        async with aclosing(self._outlook.watch()) as pictures:
            async for text in pictures:
                # a comment keeps the connection and finds out that the other side went
                yield _event(text, self._clock.now()) if text != before else b": still here\n\n"
                before = text


class _Events:
    """A stream of events."""

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        self._pieces = pieces

    def pieces(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        await self._pieces.aclose()


def _event(document: str, now: float) -> bytes:
    """A JSON object as an event, with the agent's own time: the browser's may be another."""
    return f'event: status\ndata: {document[:-1]}, "now": {now:.3f}}}\n\n'.encode()


def _allowed(page: bytes, element: bytes) -> str:
    """A page's only style or script as a source of its security policy: nothing that gets in besides it runs."""
    from base64 import b64encode
    from hashlib import sha256

    text = page.partition(b"<%b>" % element)[2].partition(b"</%b>" % element)[0]
    return f"'sha256-{b64encode(sha256(text).digest()).decode()}'"


def _said(document: Mapping[str, Any], *, status: int = 200) -> Reply:
    text = json.dumps(redact.document(document), indent=2, default=str)
    return Reply(status, f"{text}\n".encode(), _JSON)
