# SPDX-License-Identifier: Apache-2.0
"""GETs in turn over HTTP/2 on a connection that is up, for applications that speak nothing else. Effects only.

The protocol is ``wire.h2``'s; ``http1`` comes here where TLS agreed on ``h2``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from mesh.errors import MeshError
from wire.h2.connection import H2Connection, Side
from wire.h2.events import (
    ConnectionFailed,
    DataReceived,
    Event,
    GoAwayReceived,
    HeadersReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from wire.h2.limits import Limits

_CHUNK = 64 * 1024
_WINDOW = 256 * 1024
_LIMITS = Limits(stream_window=_WINDOW, connection_window=_WINDOW, max_frame=16 * 1024)
_OF_A_CONNECTION = ("connection", "host", "transfer-encoding", "content-length", "upgrade")


class NotHttp2(MeshError):
    """The other side broke the protocol, or closed before its answer was whole."""


class Session:
    """``begin``, then ``pieces``; again, while it ``may_follow``. The caller sets the deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = H2Connection(Side.CLIENT, _LIMITS)
        self._body: list[bytes] = []
        self._head: HeadersReceived | None = None
        self._ended = True
        self._going = False
        """The other side takes no further request."""
        self._number = 0

    @property
    def may_follow(self) -> bool:
        """Whether the answer is whole and another request may be made."""
        return self._ended and not self._body and not self._going

    async def begin(
        self, authority: str, path: str, headers: Sequence[tuple[str, str]]
    ) -> tuple[int, tuple[tuple[str, str], ...]]:
        """Status and headers. Raises NotHttp2 or OSError."""
        if not self._number:
            self._http.start()
        self._forget()
        asked = [
            (":method", "GET"),
            (":scheme", "https"),
            (":path", path),
            (":authority", authority),
            *((k.lower(), v) for k, v in headers if k.lower() not in _OF_A_CONNECTION),
        ]
        self._number = self._http.open_stream(asked)
        self._http.end_stream(self._number)
        while self._head is None:
            await self._turn()
        found = tuple((k, v) for k, v in self._head.headers if not k.startswith(":"))
        return int(dict(self._head.headers)[":status"]), found

    def _forget(self) -> None:
        """The former answer."""
        self._head, self._ended = None, False

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises NotHttp2 or OSError."""
        while self._body or not self._ended:
            if not self._body:
                await self._turn()
            while self._body:
                yield self._body.pop(0)

    async def _turn(self) -> None:
        """Send what is queued, take what comes."""
        if self._ended:
            raise NotHttp2("stream ended without an answer")
        self._flush()
        await self._writer.drain()
        data = await self._reader.read(_CHUNK)
        if not data:
            raise NotHttp2("connection closed before the answer was whole")
        for event in self._http.receive(memoryview(data), 0.0):
            self._take(event)
        self._flush()

    def _flush(self) -> None:
        for each in self._http.out:
            self._writer.write(bytes(each))
        self._http.out.clear()
        self._http.flushed(0)

    def _take(self, event: Event) -> None:
        match event:
            case HeadersReceived():
                self._head = self._head or event
                self._ended = event.ended
            case DataReceived():
                self._body.append(bytes(event.data))
                self._http.credit(self._number, len(event.data))
            case StreamEnded() | TrailersReceived():
                self._ended = True
            case StreamReset() | ConnectionFailed():
                raise NotHttp2(f"{event.code.name.lower()}: {event.why}")
            case GoAwayReceived():
                self._going = True
                if event.last_stream < self._number:
                    raise NotHttp2(f"refused: {event.code.name.lower()}")
            case _:
                pass
