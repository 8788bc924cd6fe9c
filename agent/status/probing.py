# SPDX-License-Identifier: Apache-2.0
"""Asks the application whether it is well: HTTP, TCP, gRPC, a command. Effects only; what counts is ``probers``' and
the callers'. Calls leave from an address of their own, so that capture lets them pass to the application. Sockets
linger a second when they are closed, as the peer's: where the other side is this machine, whose kernel answers at once.

Source: spec/agent.md 9.3, 4.8; peer: status/server.go handleAppProbe*, health/probers.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urljoin, urlsplit

from agent import http1
from agent.http1 import Headers, Keeper, RequestFailed, Target, Via
from agent.status.options import CallOptions
from agent.status.probers import Exec, GrpcCheck, HttpGet, TcpSocket
from mesh.errors import MeshError
from mesh.sockets import lingering
from wire.h2.grpc import RpcError
from wire.h2io import connect

NO_TIMEOUT = 60.0
"""Seconds in place of a timeout of 0: whoever asked has long gone by then."""
LINGER = 1
"""Seconds. Not for a probe of another machine: there closing would hold up everything else by a round trip and more."""
REDIRECTS = 10
_FOLLOWED = (301, 302, 303, 307, 308)
_CHECK = "/grpc.health.v1.Health/Check"
_STATUS = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


class Probing:
    """The ways to ask one application."""

    def __init__(self, options: CallOptions) -> None:
        self._options = options
        self._tls: dict[bool, ssl.SSLContext] = {}

    @contextlib.asynccontextmanager
    async def http(
        self,
        action: HttpGet,
        headers: Headers,
        *,
        timeout: float,
        verify: bool = False,
        keeper: Keeper | None = None,
    ) -> AsyncIterator[http1.Answer]:
        """The answer after redirects on the same host. Raises RequestFailed.

        A redirect to another host is an answer; more than ten are a failure. With a ``keeper`` connections are kept.
        """
        where = self._target(action)
        https = action.https
        deadline = asyncio.get_running_loop().time() + (timeout or NO_TIMEOUT)
        for _ in range(REDIRECTS):
            left = deadline - asyncio.get_running_loop().time()
            tls = self._context(verify=verify) if https else None
            linger = 0 if action.host else LINGER
            via = Via(tls, self._options.source, linger=linger, keeper=keeper)
            async with http1.asking(where, timeout=left, headers=headers, via=via) as answer:
                following = _redirect(where, answer, https=https)
                if following is None:
                    yield answer
                    return
            where, https = following
        raise RequestFailed(str(where), f"stopped after {REDIRECTS} redirects")

    async def tcp(self, action: TcpSocket, *, timeout: float) -> str:
        """Why no connection came about; empty: one did."""
        host = action.host or self._options.host
        try:
            async with asyncio.timeout(timeout or NO_TIMEOUT):
                _, writer = await asyncio.open_connection(
                    host, action.port, local_addr=(self._options.source, 0)
                )
        except TimeoutError:
            return f"no connection within {timeout or NO_TIMEOUT:g} s"
        except OSError as error:
            return error.strerror or str(error)
        if not action.host:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering(LINGER))
        writer.close()
        return ""

    async def grpc(self, action: GrpcCheck, *, timeout: float, user_agent: str = "") -> str:
        """Why the service is not serving; empty: it is. ``timeout`` covers connection and call."""
        if timeout <= 0:
            return "no time was given"
        deadline = asyncio.get_running_loop().time() + timeout
        agent = [("user-agent", user_agent)] if user_agent else []
        host = self._options.host
        address = f"[{host}]:{action.port}" if ":" in host else f"{host}:{action.port}"
        try:
            connection = await connect(
                address, timeout=timeout, source=self._options.source, linger=LINGER
            )
            try:
                left = deadline - asyncio.get_running_loop().time()
                asked = _health_request(action.service)
                said = await connection.unary(_CHECK, asked, metadata=agent, timeout=left)
            finally:
                await connection.close()
        except (RpcError, MeshError) as error:
            return str(error)
        return _health_fault(said)

    async def command(self, action: Exec, *, timeout: float) -> str:
        """Why the command failed; empty: it ended with status 0."""
        try:
            child = await asyncio.create_subprocess_exec(
                *action.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except (OSError, ValueError, TypeError) as error:
            return f"command cannot run: {error}"
        try:
            async with asyncio.timeout(timeout or NO_TIMEOUT):
                status = await child.wait()
        except TimeoutError:
            return f"command timed out after {timeout or NO_TIMEOUT:g} s"
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()  # no deadline: it was killed
        return f"command ended with status {status}" if status else ""

    def _target(self, action: HttpGet) -> Target:
        return Target(action.host or self._options.host, action.port, action.path)

    def _context(self, *, verify: bool) -> ssl.SSLContext:
        if verify not in self._tls:
            context = ssl.create_default_context() if verify else _trusting()
            if self._options.http2:
                context.set_alpn_protocols(["h2", "http/1.1"])
            self._tls[verify] = context
        return self._tls[verify]


def _trusting() -> ssl.SSLContext:
    """Takes any certificate: the kubelet, for whom we ask, does not check them either."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _redirect(where: Target, answer: http1.Answer, *, https: bool) -> tuple[Target, bool] | None:
    """Where to ask next; None: this is the answer."""
    location = answer.header("location")
    if answer.status not in _FOLLOWED or not location:
        return None
    base = f"{'https' if https else 'http'}{str(where).removeprefix('http')}"
    try:
        to = urlsplit(urljoin(base, location))
        port = to.port
    except ValueError as error:
        raise RequestFailed(str(where), f"redirect that cannot be read: {error}") from None
    if (to.hostname or "") != where.host.lower():
        return None
    secured = to.scheme == "https"
    path = f"{to.path or '/'}{f'?{to.query}' if to.query else ''}"
    return Target(where.host, port or (443 if secured else 80), path), secured


def _health_request(service: str) -> bytes:
    """grpc.health.v1.HealthCheckRequest: field 1 is the service."""
    name = service.encode()
    return b"" if not name else b"\x0a" + _varint(len(name)) + name


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _health_fault(said: bytes) -> str:
    """grpc.health.v1.HealthCheckResponse: field 1 is the status, absent where UNKNOWN."""
    status = said[1] if len(said) >= 2 and said[0] == 0x08 else 0
    name = _STATUS[status] if status < len(_STATUS) else str(status)
    return "" if name == "SERVING" else f"service is {name}"
