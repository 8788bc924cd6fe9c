# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 server on h11 for the agent's own pages, on TCP and unix sockets. Effects only; knows no page.

A handler gets a request and returns a reply; a body may come in pieces. Each connection is a task of the server's
own group, so nothing outlives ``run``. Bounds: heads of 64 KiB, bodies of 1 MiB, a minute for a whole request and
for each piece of an answer to leave, CONNECTIONS at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol

import h11

import mesh.log

log = mesh.log.get()

HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 1024 * 1024
IDLE = 60.0
CHUNK = 64 * 1024
PIECE = 256 * 1024
"""Of an answer, written at once: a longer one is copied as often as it passes a layer."""
BACKLOG = 128
CONNECTIONS = 512
"""More are closed at once: who is here already is served."""


class Request(NamedTuple):
    """What was asked, by whom."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    peer: str
    """Address of the other side; empty on a unix socket."""
    body: bytes = b""

    @property
    def loopback(self) -> bool:
        """Whether the other side is this machine, by its TCP address."""
        try:
            return ipaddress.ip_address(self.peer).is_loopback
        except ValueError:
            return False

    def header(self, name: str) -> str:
        """The first value, names in lower case; empty where there is none."""
        return next((value for key, value in self.headers if key == name), "")


class Stream(Protocol):
    """A body that comes in pieces; closed once, also when it was never read."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The body."""

    async def aclose(self) -> None:
        """Let go of what the body came from."""


class Reply(NamedTuple):
    """The answer."""

    status: int
    body: bytes | Stream = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    """Further headers."""


Handler = Callable[[Request], Awaitable[Reply]]


class HttpServer:
    """``bind_*``, then ``run`` until cancelled."""

    def __init__(
        self, handler: Handler, *, idle: float = IDLE, connections: int = CONNECTIONS
    ) -> None:
        self._handler = handler
        self._idle = idle
        self._free = connections
        self._group: asyncio.TaskGroup | None = None
        self._listeners: list[asyncio.Server] = []

    async def bind_tcp(self, host: str, port: int) -> int:
        """Listen; an empty host is every address. Returns the port. Raises OSError."""
        listener = await asyncio.start_server(
            self._accept, host or None, port, backlog=BACKLOG, start_serving=False
        )
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def bind_unix(self, path: str, *, mode: int) -> None:
        """Listen on a socket file, made anew with exactly this mode. Raises OSError."""
        os.makedirs(os.path.dirname(path) or ".", mode=0o750, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        mask = os.umask(0o777 & ~mode)
        try:
            sock.bind(path)
        except OSError:
            sock.close()
            raise
        finally:
            os.umask(mask)
        listener = await asyncio.start_unix_server(
            self._accept, sock=sock, backlog=BACKLOG, start_serving=False
        )
        self._listeners.append(listener)

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for listener in self._listeners:
                    await listener.start_serving()
                await asyncio.Event().wait()  # no deadline: until the process ends
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            listener.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._group is None or not self._free:
            writer.transport.abort()
            return
        self._free -= 1
        self._group.create_task(self._converse(reader, writer), name="http connection")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Conversation(reader, writer, self._handler, self._idle).run()
        except (OSError, h11.ProtocolError) as error:  # TimeoutError is an OSError
            log.debug("http connection ended", why=str(error))
        except Exception as error:  # noqa: BLE001  an answer that fails half way must not end the server
            log.error("answer broke off", why=repr(error))  # noqa: TRY400  one line, no traceback
        finally:
            self._free += 1
            writer.transport.abort()


class _Conversation:
    """One connection: requests in turn."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        idle: float,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._idle = idle
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        peer = writer.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        if self._peer:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run(self) -> None:
        try:
            while await self._exchange():
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)
        await self._close_gently()

    async def _exchange(self) -> bool:
        """One request and its answer; whether another may follow on this connection."""
        async with asyncio.timeout(self._idle):
            event = await self._next()
            if not isinstance(event, h11.Request):
                return False
            body = await self._body()
        request = self._request(event, body)
        await self._send(event, await self._answer(request))
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _next(self) -> h11.Event:
        while not isinstance(event := self._http.next_event(), h11.Event):
            if self._http.they_are_waiting_for_100_continue:
                await self._write(
                    h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                )
            self._http.receive_data(await self._reader.read(CHUNK))
        return event

    async def _body(self) -> bytes:
        body = bytearray()
        while isinstance(event := await self._next(), h11.Data):
            body += event.data
            if len(body) > BODY_LIMIT:
                raise h11.RemoteProtocolError("request body too long", error_status_hint=413)
        return bytes(body)

    def _request(self, event: h11.Request, body: bytes) -> Request:
        path, _, query = event.target.decode("ascii").partition("?")
        headers = tuple((k.decode("ascii"), v.decode("latin-1")) for k, v in event.headers)
        return Request(event.method.decode("ascii"), path, query, headers, self._peer, body)

    async def _answer(self, request: Request) -> Reply:
        try:
            return await self._handler(request)
        except Exception as error:  # noqa: BLE001  a page that fails must not end the server
            log.error("page failed", path=request.path, why=repr(error))  # noqa: TRY400  one line, no traceback
            return Reply(500, b"internal error\n")

    async def _send(self, asked: h11.Request, reply: Reply) -> None:
        headers = [("Content-Type", reply.content_type), *reply.headers]
        if isinstance(reply.body, bytes):
            headers.append(("Content-Length", str(len(reply.body))))
            await self._write(h11.Response(status_code=reply.status, headers=headers))
            if reply.body and asked.method != b"HEAD":
                await self._write(h11.Data(data=reply.body))
        else:
            await self._stream(asked, reply, reply.body, headers)
        await self._write(h11.EndOfMessage())

    async def _stream(
        self, asked: h11.Request, reply: Reply, body: Stream, headers: list[tuple[str, str]]
    ) -> None:
        try:
            await self._write(h11.Response(status_code=reply.status, headers=headers))
            if asked.method != b"HEAD":
                async for piece in body.pieces():
                    for at in range(0, len(piece), PIECE):
                        await self._write(h11.Data(data=piece[at : at + PIECE]))
        finally:
            await body.aclose()

    async def _write(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            async with asyncio.timeout(self._idle):
                await self._writer.drain()

    async def _refuse(self, status: int) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("Content-Length", "0"), ("Connection", "close")]
            await self._write(h11.Response(status_code=status, headers=headers))
            await self._write(h11.EndOfMessage())

    async def _close_gently(self) -> None:
        """Let the last bytes leave before the socket goes."""
        self._writer.close()
        async with asyncio.timeout(self._idle):
            await self._writer.wait_closed()
