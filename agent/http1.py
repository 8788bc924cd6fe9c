# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 client on h11: one request, one connection, the body in pieces. Effects only.

For Envoy's admin port, metric targets and the agent's own pages; gRPC is ``wire``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import h11

from mesh.errors import MeshError

CHUNK = 64 * 1024
ProtocolError = h11.ProtocolError
"""What is raised while a body is read that is not HTTP."""

Headers = Sequence[tuple[str, str]]


class RequestFailed(MeshError):
    """No whole answer came: refused, reset, not HTTP, or too slow."""

    hint = "check that the other side listens there"

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"request to {url} failed: {why}")
        self.url = url
        self.why = why


class Reply(NamedTuple):
    """An answer with its whole body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class Target(NamedTuple):
    """Where and what to ask."""

    host: str
    port: int
    path: str
    method: str = "GET"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path}"


class Answer:
    """An answer whose body is still coming."""

    def __init__(self, head: h11.Response, body: AsyncIterator[bytes]) -> None:
        self.status = head.status_code
        self.headers = tuple((k.decode("ascii"), v.decode("latin-1")) for k, v in head.headers)
        self.body = body

    def header(self, name: str) -> str:
        """The first value of a header, names in lower case; empty where there is none."""
        return next((value for key, value in self.headers if key == name), "")


@contextlib.asynccontextmanager
async def asking(
    target: Target, *, timeout: float, headers: Headers = (), body: bytes = b""
) -> AsyncIterator[Answer]:
    """The answer to one request; ``timeout`` covers everything until the ``with`` block is left.

    Raises RequestFailed, also for what fails while the body is read.
    """
    try:
        async with asyncio.timeout(timeout), _connected(target) as (reader, writer):
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=CHUNK)
            writer.write(_request(connection, target, headers, body))
            await writer.drain()
            head = await _head(connection, reader)
            yield Answer(head, _pieces(connection, reader))
    except TimeoutError:
        raise RequestFailed(str(target), f"no answer within {timeout:g} s") from None
    except OSError as error:
        raise RequestFailed(str(target), error.strerror or str(error)) from None
    except h11.ProtocolError as error:
        raise RequestFailed(str(target), f"not HTTP: {error}") from None


async def ask(
    target: Target,
    *,
    timeout: float,
    headers: Headers = (),
    body: bytes = b"",
    limit: int = 64 * 1024 * 1024,
) -> Reply:
    """The whole answer, of at most ``limit`` bytes. Raises RequestFailed."""
    async with asking(target, timeout=timeout, headers=headers, body=body) as answer:
        parts = bytearray()
        async for piece in answer.body:
            parts += piece
            if len(parts) > limit:
                raise RequestFailed(str(target), f"answer is longer than {limit} bytes")
        return Reply(answer.status, answer.headers, bytes(parts))


@contextlib.asynccontextmanager
async def _connected(
    target: Target,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    # no deadline here: the caller's covers it
    reader, writer = await asyncio.open_connection(target.host, target.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _request(connection: h11.Connection, target: Target, headers: Headers, body: bytes) -> bytes:
    lines = list(headers)
    if not any(name.lower() == "host" for name, _ in lines):
        host = f"[{target.host}]" if ":" in target.host else target.host
        lines.insert(0, ("Host", f"{host}:{target.port}"))
    if body or target.method not in ("GET", "HEAD"):
        lines.append(("Content-Length", str(len(body))))
    lines.append(("Connection", "close"))
    head = h11.Request(method=target.method, target=target.path, headers=lines)
    parts = [connection.send(head)]
    if body:
        parts.append(connection.send(h11.Data(data=body)))
    parts.append(connection.send(h11.EndOfMessage()))
    return b"".join(part for part in parts if part)


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Event:
    while not isinstance(event := connection.next_event(), h11.Event):
        connection.receive_data(await reader.read(CHUNK))
    return event


async def _head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    while True:
        event = await _next(connection, reader)
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("connection closed before an answer")


async def _pieces(connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while isinstance(event := await _next(connection, reader), h11.Data):
        yield bytes(event.data)
