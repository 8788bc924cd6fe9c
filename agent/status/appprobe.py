# SPDX-License-Identifier: Apache-2.0
"""The pages under /app-health/ and /app-lifecycle/: a probe of the kubelet, asked again of the application.

What is asked goes on as it came, what is answered comes back as it is, but for redirects. Effects only.
Source: spec/agent.md 9.3, Appendix F; peer: status/server.go handleAppProbe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import mesh.log
from agent import http1
from agent.http1 import RequestFailed
from agent.httpd import Reply, Request
from agent.status.kept import KeptLines
from agent.status.options import CallOptions
from agent.status.probers import (
    PREFIXES,
    Exec,
    GrpcCheck,
    HttpGet,
    Prober,
    TcpSocket,
    described,
)
from agent.status.probing import Probing
from mesh.clock import Clock
from mesh.errors import BadSetting

log = mesh.log.get("healthcheck")

BODY_LIMIT = 10 * 1024
_OF_THE_CONNECTION = frozenset(
    {"host", "connection", "keep-alive", "content-length", "transfer-encoding", "upgrade", "te"}
)
_WELL, _ILL = Reply(200), Reply(500)


class AppProbes:
    """Answers for the application, path by path."""

    def __init__(
        self,
        probers: Mapping[str, Prober],
        options: CallOptions,
        *,
        status_port: int,
        clock: Clock,
    ) -> None:
        self._probers = probers
        self._status_port = status_port
        self._probing = Probing(options)
        self._kept = {path: KeptLines() for path in probers} if options.keepalive else {}
        """By path, as two probes of one application share no connection at the peer's either."""
        self._clock = clock
        self._last: dict[str, tuple[int, float]] = {}

    def serves(self, path: str) -> bool:
        """Whether the path is one of ours, known or not."""
        return path.startswith(PREFIXES)

    async def answer(self, request: Request) -> Reply:
        """What the application says."""
        prober = self._probers.get(request.path)
        if prober is None:
            log.error("app prober is not configured", path=request.path)
            why = f"app prober config does not exists for {request.path}"
            return Reply(400, why.encode())
        reply = await self._ask(request, prober)
        self._last[request.path] = (reply.status, self._clock.now())
        return reply

    def close(self) -> None:
        """Let go of connections that were kept."""
        for each in self._kept.values():
            each.close()

    def status(self) -> dict[str, dict[str, object]]:
        """What each path asks, and the last answer: its status and when; for people."""
        return {
            path: {
                "asks": described(prober.action),
                "status": self._last.get(path, (None, None))[0],
                "at": self._last.get(path, (None, None))[1],
            }
            for path, prober in self._probers.items()
        }

    async def _ask(self, request: Request, prober: Prober) -> Reply:
        match prober.action:
            case HttpGet():
                return await self._http(request, prober.action, prober.timeout)
            case TcpSocket():
                fault = await self._probing.tcp(prober.action, timeout=prober.timeout)
            case GrpcCheck():
                agent = request.header("user-agent")
                fault = await self._probing.grpc(
                    prober.action, timeout=prober.timeout, user_agent=agent
                )
            case Exec():
                raise BadSetting("prober", request.path, "BUG: a command is no app probe")
            case _:
                assert_never(prober.action)
        return self._told(request, fault)

    async def _http(self, request: Request, action: HttpGet, timeout: float) -> Reply:
        headers = self._headers(request, action.port)
        # who asks with Connection: close has it passed on, as by the peer
        closes = "close" in request.header("connection").lower()
        keeper = None if closes else self._kept.get(request.path)
        probing = self._probing.http(action, headers, timeout=timeout, keeper=keeper)
        try:
            async with probing as answer:
                if 300 <= answer.status < 400:
                    return _WELL  # peer: a redirect elsewhere is a success
                kind = answer.header("content-type") or "text/plain; charset=utf-8"
                return Reply(answer.status, await _beginning(answer), kind)
        except RequestFailed as error:
            return self._told(request, error.why)

    def _headers(self, request: Request, app_port: int) -> list[tuple[str, str]]:
        host = request.header("host")
        name, colon, port = host.rpartition(":")
        if colon and port == str(self._status_port):
            host = f"{name}:{app_port}"
        sent = [("Host", host)] if host else []
        sent += [each for each in request.headers if each[0].lower() not in _OF_THE_CONNECTION]
        return sent

    def _told(self, request: Request, fault: str) -> Reply:
        if not fault:
            return _WELL
        log.warning("app probe failed", path=request.path, why=fault)
        return _ILL


async def _beginning(answer: http1.Answer) -> bytes:
    """So much of the body as is passed on."""
    body = bytearray()
    async for piece in answer.body:
        body += piece
        if len(body) >= BODY_LIMIT:
            break
    return bytes(body[:BODY_LIMIT])
