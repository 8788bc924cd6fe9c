# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 client on h11: one request, the body in pieces. Effects only.

For Envoy's admin port, metric targets and the agent's own pages; gRPC is ``wire``'s. A connection ends with its
request, unless the caller names somebody who keeps it for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import h11

from mesh.errors import MeshError
from mesh.sockets import lingering

if TYPE_CHECKING:
    import ssl

    from agent.http2 import Session

CHUNK = 256 * 1024
"""Of a body, in one piece: what a loop's transport reads at once."""
HEAD_LIMIT = 64 * 1024
DRAINED = 256 * 1024
"""Bytes of a body that nobody read to its end, read so that its connection can be kept; more are not worth it."""

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
        """For people: without the query, which may hold credentials."""
        return f"http://{_authority(self)}{self.path.partition('?')[0]}"


class Line:
    """A connection, and what is spoken on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT)
        self.http2: Session | None = None
        """Speaks in the place of ``http`` where TLS agreed on it."""

    def close(self) -> None:
        self.writer.transport.abort()


class Keeper(Protocol):
    """Keeps connections to one place from one request to the next, for requests that may be asked twice."""

    async def take(self, target: Target) -> Line | None:
        """A connection that is up and silent; None: there is none."""

    def give(self, target: Target, line: Line) -> None:
        """Take over a connection whose request is answered."""


class Via(NamedTuple):
    """How the other side is reached, where that is not plain TCP."""

    tls: ssl.SSLContext | None = None
    source: str = ""
    """The address to call from; empty: the kernel's choice."""
    path: str = ""
    """A unix socket to call instead of host and port."""
    linger: int = 0
    """SO_LINGER in seconds; 0: not set. Closing waits so long for the other side: only for who is near."""
    keeper: Keeper | None = None
    """None: the connection is closed, and this is said beforehand."""


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
    talk = _Exchange(target, via, timeout, deadline)
    try:
        yield await talk.begin(headers, body)
        await talk.keep()
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
    """One request and its answer. Every failure leaves as RequestFailed."""

    def __init__(
        self, target: Target, via: Via, timeout: float | None, deadline: float | None
    ) -> None:
        self._target = target
        self._via = via
        self._timeout = timeout
        self._deadline = deadline
        self._line: Line | None = None
        self._body: AsyncIterator[bytes] | None = None

    async def begin(self, headers: Headers, body: bytes) -> Answer:
        with self._named():
            async with asyncio.timeout_at(self._deadline):
                while self._via.keeper and (line := await self._via.keeper.take(self._target)):
                    try:
                        return await self._asked(line, headers, body)
                    except (OSError, MeshError, h11.ProtocolError):
                        line.close()  # it ended while it was kept: another one is asked
                line = await _connect(self._target, self._via)
                return await self._asked(line, headers, body)

    async def _asked(self, line: Line, headers: Headers, body: bytes) -> Answer:
        self._line = line
        if line.http2 is not None:
            return await self._http2(line.http2, headers)
        kept = self._via.keeper is not None
        line.writer.write(_request(line.http, self._target, headers, body, kept=kept))
        await line.writer.drain()
        head = await _head(line)
        found = tuple((k.decode("ascii"), v.decode("latin-1")) for k, v in head.headers)
        self._body = self._pieces(line)
        return Answer(head.status_code, found, self._body)

    async def _http2(self, session: Session, headers: Headers) -> Answer:
        authority = _authority(self._target)
        given = next((v for k, v in headers if k.lower() == "host"), authority)
        status, found = await session.begin(given, self._target.path, headers)
        self._body = self._http2_pieces(session.pieces())
        return Answer(status, found, self._body)

    async def _http2_pieces(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        while True:
            with self._named():
                async with asyncio.timeout_at(self._deadline):
                    piece = await anext(body, None)
            if piece is None:
                return
            yield piece

    async def keep(self) -> None:
        """Hand the connection to its keeper, once the answer is whole; it is not ours any more then."""
        line, body = self._line, self._body
        if self._via.keeper is None or line is None or body is None:
            return
        left = DRAINED
        with contextlib.suppress(RequestFailed):  # then it is closed
            async for piece in body:
                left -= len(piece)
                if left < 0:
                    return
            if _silent(line):
                self._line = None
                self._via.keeper.give(self._target, line)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    async def _pieces(self, line: Line) -> AsyncIterator[bytes]:
        while True:
            with self._named():
                async with asyncio.timeout_at(self._deadline):
                    event = await _next(line)
            if not isinstance(event, h11.Data):
                return
            yield bytes(event.data)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            why = "timed out" if self._timeout is None else f"no answer within {self._timeout:g} s"
            raise RequestFailed(str(self._target), why) from None
        except OSError as error:
            raise RequestFailed(str(self._target), error.strerror or str(error)) from None
        except h11.ProtocolError as error:
            raise RequestFailed(str(self._target), f"not HTTP: {error}") from None
        except RequestFailed:
            raise
        except MeshError as error:  # of the HTTP/2 exchange
            raise RequestFailed(str(self._target), f"not HTTP: {error}") from None


async def _head(line: Line) -> h11.Response:
    while True:
        event = await _next(line)
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("connection closed before an answer")


async def _next(line: Line) -> h11.Event:
    while not isinstance(event := line.http.next_event(), h11.Event):
        line.http.receive_data(await line.reader.read(CHUNK))
    return event


def _silent(line: Line) -> bool:
    """Whether another request may follow; then the protocol is made ready for it."""
    if line.http2 is not None:
        return line.http2.may_follow
    done = line.http.our_state is h11.DONE and line.http.their_state is h11.DONE
    if not done or line.http.trailing_data[0]:  # the latter answers no question of ours
        return False
    line.http.start_next_cycle()
    return True


async def _connect(target: Target, via: Via) -> Line:
    # no deadline here: the caller's covers it
    if via.path:
        return Line(*await asyncio.open_unix_connection(via.path, limit=CHUNK))
    local = (via.source, 0) if via.source else None
    line = Line(
        *await asyncio.open_connection(
            target.host, target.port, ssl=via.tls, local_addr=local, limit=CHUNK
        )
    )
    sock = line.writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if via.linger:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering(via.linger))
    if _agreed(line.writer) == "h2":
        from agent.http2 import Session  # the rare case; imported for who needs it

        line.http2 = Session(line.reader, line.writer)
    return line


def _agreed(writer: asyncio.StreamWriter) -> str:
    """What TLS agreed to speak; empty without TLS or without an agreement."""
    secured = writer.get_extra_info("ssl_object")
    return (secured.selected_alpn_protocol() or "") if secured else ""


def _authority(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}"


def _request(
    connection: h11.Connection, target: Target, headers: Headers, body: bytes, *, kept: bool
) -> bytes:
    lines = list(headers)
    if not any(name.lower() == "host" for name, _ in lines):
        lines.insert(0, ("Host", _authority(target)))
    if body or target.method not in ("GET", "HEAD"):
        lines.append(("Content-Length", str(len(body))))
    if not kept:
        lines.append(("Connection", "close"))
    head = h11.Request(method=target.method, target=target.path, headers=lines)
    parts = [connection.send(head)]
    if body:
        parts.append(connection.send(h11.Data(data=body)))
    parts.append(connection.send(h11.EndOfMessage()))
    return b"".join(part for part in parts if part)
