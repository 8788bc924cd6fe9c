# SPDX-License-Identifier: Apache-2.0
"""One stream as its user sees it: whole messages for coroutines, or pieces for a ``Sink``.

Receiving. The peer's window is given back when bytes are *taken*: a message under assembly counts
as taken (its size is bounded by ``Limits.max_message``), a message that waits in the inbox does not
once the inbox holds a window's worth, bytes for a sink are taken unless the sink paused the call.

Sending. ``send`` accepts the message and then waits until less than ``Limits.max_backlog`` is
unsent; ``write`` says so by its result. Ends: exactly one of ``on_peer_end`` and ``lost`` is the last
thing a call hears; after it ``receive`` gives what is left and then the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from wire.h2.connection import Buffer
from wire.h2.frames import ErrorCode
from wire.h2.grpc import OK as OK_STATUS
from wire.h2.grpc import (
    PREFIX_SIZE,
    Code,
    MessageReader,
    Metadata,
    RpcError,
    Status,
    format_timeout,
    message_prefix,
    status_of_trailers,
    status_trailers,
)
from wire.h2.headers import Headers
from wire.h2io.types import Peer, Sink

if TYPE_CHECKING:
    from wire.h2io.link import Link

RESPONSE_HEADERS: Headers = [(":status", "200"), ("content-type", "application/grpc")]
_TRUNCATED = Status(Code.INTERNAL, "the stream ended inside a message")
_EMPTY = memoryview(b"")


class Call:
    """Both sides' common part. Made by ``Server`` and ``Connection.open``, never directly."""

    def __init__(self, link: Link, number: int, path: str, metadata: Headers) -> None:
        self.number = number
        self.path = path
        self.metadata = metadata
        """What the peer sent with its first headers, without HTTP/2's own fields."""
        self.deadline: float | None = None
        """Loop time at which the call ends by itself; None without a deadline."""
        self._link = link
        self._reader = MessageReader(link.limits.max_message)
        self._inbox: deque[bytes] = deque()
        self._inbox_size = 0
        self._owed = 0
        self._assembled: bytearray | None = None
        self._sink: Sink | None = None
        self._paused = False
        self._peer_ended = False
        self._failure: Status | None = None
        self._reading: asyncio.Future[None] | None = None
        self._writing: list[asyncio.Future[None]] = []
        self._sink_waits = False
        self._prefix = b""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def peer(self) -> Peer:
        return self._link.peer

    @property
    def failure(self) -> Status | None:
        """How the call failed, if it did."""
        return self._failure

    @property
    def over(self) -> bool:
        """Nothing can be sent or received any more."""
        return not self._link.h2.is_open(self.number)

    # ---- receiving whole messages ----

    async def receive(self) -> bytes | None:
        """The next message; None after the peer's good end. Raises ``RpcError`` otherwise.

        No deadline of its own: the call's deadline and the link's keepalive end it.
        """
        while not self._inbox:
            if self._failure is not None:
                raise RpcError(self._failure)
            if self._peer_ended:
                return None
            await self._wait_for_message()
        message = self._inbox.popleft()
        self._inbox_size -= len(message)
        if self._owed and self._inbox_size <= self._link.limits.stream_window:
            self._pay()
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.receive()) is not None:
            yield message

    async def _wait_for_message(self) -> None:
        if self._reading is not None:
            raise RuntimeError("BUG: two coroutines receive from one call")
        self._reading = asyncio.get_running_loop().create_future()
        try:
            await self._reading
        finally:
            self._reading = None

    def _wake_reader(self) -> None:
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(None)

    # ---- receiving pieces ----

    def attach(self, sink: Sink) -> None:
        """From now on ``sink`` gets this stream's bytes; what waits in the inbox comes first."""
        self._sink = sink
        while self._inbox:
            message = self._inbox.popleft()
            sink.on_data((memoryview(message),), 0, len(message))
        self._inbox_size = 0
        if self._assembled is not None:
            self._replay_unfinished(sink)
        if self._failure is not None:
            sink.on_end(self._failure)
        elif self._peer_ended:
            sink.on_end(self._good_end())
        elif not self._paused:
            self._pay()

    def _replay_unfinished(self, sink: Sink) -> None:
        begun, self._assembled = self._assembled, None
        if begun:
            sink.on_data((memoryview(bytes(begun)),), 0, self._reader.length)

    def pause(self) -> None:
        """Give the peer no more window, and leave what it sends in the kernel while this is its only call.

        On a connection with other calls at most one window's worth still arrives.
        """
        self._paused = True
        self._link.check_reading()

    def resume(self) -> None:
        self._paused = False
        self._pay()
        self._link.check_reading()

    @property
    def paused(self) -> bool:
        """``pause`` was called last."""
        return self._paused

    def _pay(self) -> None:
        if self._owed:
            owed, self._owed = self._owed, 0
            self._link.h2.credit(self.number, owed)
            self._link.touch()

    def _good_end(self) -> Status | None:
        """What a sink hears after a good end: nothing more on a server, the status on a client."""
        return None

    # ---- sending ----

    async def send(self, message: Buffer) -> None:
        """Queue a message and wait while too much is unsent. Raises ``RpcError`` if the call is over."""
        self.send_nowait(message)
        while self._unsent > self._link.limits.max_backlog:
            waiter = asyncio.get_running_loop().create_future()
            self._writing.append(waiter)
            await waiter  # ends with the backlog or with the call
            self._check_open()

    def send_nowait(self, message: Buffer) -> None:
        """Queue a message without bound: for small ones. Raises ``RpcError`` if the call is over."""
        self._check_open()
        size = PREFIX_SIZE + len(message)
        kept = message if isinstance(message, bytes) else bytes(message)
        self._before_data()
        self._link.h2.send_data(self.number, (message_prefix(len(kept)), kept), size)
        self._link.touch()

    def begin(self, length: int) -> None:
        """Start a message of ``length`` bytes, which ``write`` then gives in pieces."""
        self._before_data()
        self._prefix = message_prefix(length)
        if length == 0:
            self.write(())

    def write(self, pieces: Sequence[Buffer]) -> bool:
        """Pieces of the message begun. All are accepted; False asks to pause the source.

        Views may be of the link's read buffer: they are sent or copied before it is used again.
        """
        link = self._link
        if link.in_batch:
            parts = [self._prefix, *pieces] if self._prefix else pieces
        else:
            parts = [self._prefix, *(bytes(piece) for piece in pieces)]
        self._prefix = b""
        link.h2.send_data(self.number, parts, sum(map(len, parts)))
        link.touch()
        if link.backlog == 0 and self._unsent <= link.limits.max_backlog:
            return True
        self._sink_waits = True
        return False

    def reset(self, code: int = ErrorCode.CANCEL) -> None:
        """End both halves at once; nothing more arrives. The call counts as CANCELLED on our side."""
        if not self.over:
            self._link.h2.reset(self.number, ErrorCode(code))
            self._link.touch()
        self.lost(Status(Code.CANCELLED, "reset by this side"))

    @property
    def _unsent(self) -> int:
        return self._link.backlog + self._link.h2.backlog(self.number)

    def _check_open(self) -> None:
        if self._failure is not None:
            raise RpcError(self._failure)
        if self.over:
            raise RpcError(Status(Code.CANCELLED, "the call is over"))

    def _before_data(self) -> None:
        """Servers send their headers first."""

    # ---- called by the link ----

    def on_headers(self, headers: Headers, ended: bool) -> None:
        raise NotImplementedError

    def on_data(self, data: memoryview) -> None:
        if self._failure is not None:
            return
        self._owed += len(data)
        try:
            for piece, offset, length in self._reader.feed(data):
                if self._sink is not None:
                    self._sink.on_data((piece,), offset, length)
                else:
                    self._collect(piece, offset, length)
        except RpcError as exc:
            self._refuse(exc.status)
            return
        full = self._sink is None and self._inbox_size > self._link.limits.stream_window
        if not (self._paused or full):
            self._pay()

    def _collect(self, piece: memoryview, offset: int, length: int) -> None:
        if offset == 0 and len(piece) == length:
            message = bytes(piece)
        else:
            if self._assembled is None:
                self._assembled = bytearray()
            self._assembled += piece
            if len(self._assembled) < length:
                return
            message = bytes(self._assembled)
            self._assembled = None
        self._inbox.append(message)
        self._inbox_size += len(message)
        self._wake_reader()

    def on_peer_end(self) -> None:
        """The peer's half ended in good order, if it did not end inside a message."""
        if self._failure is not None or self._peer_ended:
            return
        if self._reader.mid_message:
            self._refuse(_TRUNCATED)
            return
        self._peer_ended = True
        self._wake_reader()
        if self._sink is not None:
            self._sink.on_end(self._good_end())

    def _refuse(self, status: Status) -> None:
        """End the call because of what the peer sent."""
        self._link.h2.reset(self.number, ErrorCode.CANCEL)
        self._link.touch()
        self.lost(status)

    def lost(self, status: Status) -> None:
        """The stream is gone, with this status."""
        if self._failure is not None:
            return
        done = self._peer_ended and self._is_answered()
        self._disarm()
        self._link.forget(self)
        if done:
            self._release_writers()
            return
        self._failure = status
        self._assembled = None
        self._wake_reader()
        self._release_writers()
        if self._sink is not None and not self._peer_ended:
            self._sink.on_end(status)

    def _is_answered(self) -> bool:
        """The call is complete as far as this side can tell."""
        return False

    def check_writable(self) -> None:
        """Bytes left: see whether somebody waited for that."""
        if self._unsent > self._link.limits.max_backlog // 2:
            return
        self._release_writers()
        if self._sink_waits and self._link.backlog == 0:
            self._sink_waits = False
            if self._sink is not None:
                self._sink.on_writable()

    def _release_writers(self) -> None:
        writing, self._writing = self._writing, []
        for waiter in writing:
            if not waiter.done():
                waiter.set_result(None)

    # ---- deadlines ----

    def arm(self, seconds: float) -> None:
        """End the call in so many seconds."""
        loop = asyncio.get_running_loop()
        self.deadline = loop.time() + seconds
        self._timer = loop.call_at(self.deadline, self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._refuse(Status(Code.DEADLINE_EXCEEDED, "deadline exceeded"))


class ServerCall(Call):
    """A call that a client made. The handler gets it; returning means OK."""

    def __init__(self, link: Link, number: int, path: str, metadata: Headers) -> None:
        super().__init__(link, number, path, metadata)
        self.task: asyncio.Task[None] | None = None
        self.finished = False
        self._headers_sent = False

    async def send_headers(self, metadata: Metadata = ()) -> None:
        """Send the response's headers before the first message does."""
        self._check_open()
        self._send_headers(metadata)

    def _send_headers(self, metadata: Metadata = ()) -> None:
        if not self._headers_sent:
            self._headers_sent = True
            self._link.h2.send_headers(self.number, [*RESPONSE_HEADERS, *metadata])
            self._link.touch()

    def _before_data(self) -> None:
        self._send_headers()

    async def finish(self, status: Status = OK_STATUS, metadata: Metadata = ()) -> None:
        """Send the status; the rest of the request is not read any more."""
        self.finish_nowait(status, metadata)

    def finish_nowait(self, status: Status, metadata: Metadata = ()) -> None:
        if self.finished:
            return
        self.finished = True
        self._disarm()
        trailers = [*status_trailers(status), *metadata]
        if not self._headers_sent:
            trailers = [*RESPONSE_HEADERS, *trailers]
        self._link.h2.end_stream(self.number, trailers)
        self._link.touch()
        self._link.forget(self)

    def on_headers(self, headers: Headers, ended: bool) -> None:  # noqa: ARG002  trailers always end
        self.on_peer_end()

    def _refuse(self, status: Status) -> None:
        """A client is told why in trailers, not by a reset."""
        self.finish_nowait(status)
        self.lost(status)
        if self.task is not None:
            self.task.cancel()

    def lost(self, status: Status) -> None:
        first = self.failure is None
        super().lost(status)
        if first and not self.finished and self.task is not None:
            self.task.cancel()

    def _is_answered(self) -> bool:
        return self.finished


class ClientCall(Call):
    """A call that we made. ``receive`` gives None once the status is OK."""

    def __init__(self, link: Link, number: int, path: str) -> None:
        super().__init__(link, number, path, [])
        self.status: Status | None = None
        """How the call ended; None while it runs."""
        self.trailing: Headers = []
        self._http_status = ""
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait_headers(self) -> None:
        """Until the server answered (its headers, or the end). Raises ``RpcError`` if that is an error."""
        await asyncio.shield(self._answered)  # the call's deadline ends it
        if self._failure is not None:
            raise RpcError(self._failure)

    def half_close(self) -> None:
        """We have nothing more to send."""
        self._link.h2.end_stream(self.number)
        self._link.touch()

    def cancel(self) -> None:
        """End the call, if it still runs."""
        if self.status is None:
            self.reset(ErrorCode.CANCEL)

    def on_headers(self, headers: Headers, ended: bool) -> None:
        fields = [(name, value) for name, value in headers if name[:1] != ":"]
        if not self._http_status:
            self._http_status = dict(headers).get(":status", "")
            self.metadata = fields
            if not ended and not self._is_grpc(fields):
                self._refuse(self._not_grpc())
                return
        self._mark_answered()
        if ended:
            self.trailing = fields
            self._on_status(status_of_trailers(fields, self._http_status))

    def _is_grpc(self, fields: Headers) -> bool:
        kind = dict(fields).get("content-type", "")
        return self._http_status == "200" and kind.startswith("application/grpc")

    def _not_grpc(self) -> Status:
        return status_of_trailers([], self._http_status)

    def _on_status(self, status: Status) -> None:
        if status.code is Code.OK and self._reader.mid_message:
            status = _TRUNCATED
        if status.code is Code.OK:
            self.status = status
            self.on_peer_end()
            self._disarm()
            self._link.forget(self)
            self._release_writers()
        else:
            self.lost(status)

    def on_peer_end(self) -> None:
        if self.status is None:  # DATA with END_STREAM: the trailers are missing
            self.lost(Status(Code.INTERNAL, "the response ended without a status"))
        else:
            super().on_peer_end()

    def _good_end(self) -> Status | None:
        return self.status

    def _is_answered(self) -> bool:
        return self.status is not None

    def lost(self, status: Status) -> None:
        if self.status is None:
            self.status = status
        super().lost(status)
        self._mark_answered()

    def _mark_answered(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)


def request_headers(
    path: str, authority: str, *, tls: bool, timeout: float | None, metadata: Metadata
) -> Headers:
    """The headers of a call that we make."""
    headers = [
        (":method", "POST"),
        (":scheme", "https" if tls else "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    if not any(name == "user-agent" for name, _ in metadata):
        headers.append(("user-agent", "pilothouse"))
    if timeout is not None:
        headers.append(("grpc-timeout", format_timeout(timeout)))
    return [*headers, *metadata]
