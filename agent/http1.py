# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 client on h11: one request, one connection, the body in pieces. Effects only.

For Envoy's admin port, metric targets and the agent's own pages; gRPC is ``wire``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import h11

from mesh.errors import MeshError

if TYPE_CHECKING:
    import ssl

CHUNK = 64 * 1024

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
        return f"http://{_authority(self)}{self.path}"


class Via(NamedTuple):
    """How the other side is reached, where that is not plain TCP."""

    tls: ssl.SSLContext | None = None
    source: str = ""
    """The address to call from; empty: the kernel's choice."""
    path: str = ""
    """A unix socket to call instead of host and port."""


PLAIN = Via()


class Answer:
    """An answer whose body is still coming; ``body`` raises RequestFailed."""

    def __init__(
        self, status: int, headers: tuple[tuple[str, str], ...], body: AsyncIterator[bytes]
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: str) -> str:
        """The first value of a header, names in lower case; empty where there is none."""
        return next((value for key, value in self.headers if key == name), "")


@contextlib.asynccontextmanager
async def asking(
    target: Target,
    *,
    timeout: float | None,
    headers: Headers = (),
    body: bytes = b"",
    via: Via = PLAIN,
) -> AsyncIterator[Answer]:
    """The answer to one request. Raises RequestFailed.

    ``timeout`` is for everything until the body's end: it cuts reading, never the caller's own waits between reads.
    """
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    talk = _Exchange(str(target), timeout, deadline)
    try:
        yield await talk.begin(target, headers, body, via)
    finally:
        talk.close()


async def ask(
    target: Target,
    *,
    timeout: float | None,
    headers: Headers = (),
    body: bytes = b"",
    via: Via = PLAIN,
    limit: int = 64 * 1024 * 1024,
) -> Reply:
    """The whole answer, of at most ``limit`` bytes. Raises RequestFailed."""
    async with asking(target, timeout=timeout, headers=headers, body=body, via=via) as answer:
        parts = bytearray()
        async for piece in answer.body:
            parts += piece
            if len(parts) > limit:
                raise RequestFailed(str(target), f"answer is longer than {limit} bytes")
        return Reply(answer.status, answer.headers, bytes(parts))


class _Exchange:
    """One connection, one request. Every failure leaves as RequestFailed."""

    def __init__(self, url: str, timeout: float | None, deadline: float | None) -> None:
        self._url = url
        self._timeout = timeout
        self._deadline = deadline
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=CHUNK)
        self._writer: asyncio.StreamWriter | None = None

    async def begin(self, target: Target, headers: Headers, body: bytes, via: Via) -> Answer:
        with self._named():
            async with asyncio.timeout_at(self._deadline):
                reader, writer = await _connect(target, via)
                self._writer = writer
                if _agreed(writer) == "h2":
                    return await self._http2(reader, writer, target, headers)
                writer.write(_request(self._http, target, headers, body))
                await writer.drain()
                head = await self._head(reader)
        found = tuple((k.decode("ascii"), v.decode("latin-1")) for k, v in head.headers)
        return Answer(head.status_code, found, self._pieces(reader))

    async def _http2(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: Target,
        headers: Headers,
    ) -> Answer:
        from agent import http2  # the rare case; imported for who needs it

        given = next((v for k, v in headers if k.lower() == "host"), _authority(target))
        exchange = http2.Exchange(reader, writer)
        status, found = await exchange.begin(given, target.path, headers)
        return Answer(status, found, self._http2_pieces(exchange.pieces()))

    async def _http2_pieces(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        while True:
            with self._named():
                async with asyncio.timeout_at(self._deadline):
                    piece = await anext(body, None)
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def _pieces(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        while True:
            with self._named():
                async with asyncio.timeout_at(self._deadline):
                    event = await self._next(reader)
            if not isinstance(event, h11.Data):
                return
            yield bytes(event.data)

    async def _head(self, reader: asyncio.StreamReader) -> h11.Response:
        while True:
            event = await self._next(reader)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("connection closed before an answer")

    async def _next(self, reader: asyncio.StreamReader) -> h11.Event:
        while not isinstance(event := self._http.next_event(), h11.Event):
            self._http.receive_data(await reader.read(CHUNK))
        return event

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            why = "timed out" if self._timeout is None else f"no answer within {self._timeout:g} s"
            raise RequestFailed(self._url, why) from None
        except OSError as error:
            raise RequestFailed(self._url, error.strerror or str(error)) from None
        except h11.ProtocolError as error:
            raise RequestFailed(self._url, f"not HTTP: {error}") from None
        except RequestFailed:
            raise
        except MeshError as error:  # of the HTTP/2 exchange
            raise RequestFailed(self._url, f"not HTTP: {error}") from None


async def _connect(target: Target, via: Via) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    # no deadline here: the caller's covers it
    if via.path:
        return await asyncio.open_unix_connection(via.path)
    local = (via.source, 0) if via.source else None
    reader, writer = await asyncio.open_connection(
        target.host, target.port, ssl=via.tls, local_addr=local
    )
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return reader, writer


def _agreed(writer: asyncio.StreamWriter) -> str:
    """What TLS agreed to speak; empty without TLS or without an agreement."""
    secured = writer.get_extra_info("ssl_object")
    return (secured.selected_alpn_protocol() or "") if secured else ""


def _authority(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}"


def _request(connection: h11.Connection, target: Target, headers: Headers, body: bytes) -> bytes:
    lines = list(headers)
    if not any(name.lower() == "host" for name, _ in lines):
        lines.insert(0, ("Host", _authority(target)))
    if body or target.method not in ("GET", "HEAD"):
        lines.append(("Content-Length", str(len(body))))
    lines.append(("Connection", "close"))
    head = h11.Request(method=target.method, target=target.path, headers=lines)
    parts = [connection.send(head)]
    if body:
        parts.append(connection.send(h11.Data(data=body)))
    parts.append(connection.send(h11.EndOfMessage()))
    return b"".join(part for part in parts if part)
