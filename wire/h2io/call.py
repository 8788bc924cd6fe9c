# SPDX-License-Identifier: Apache-2.0
"""One stream as its user sees it: whole messages for coroutines, or pieces for a ``Sink``.

Common to both sides; ``server_call`` and ``client_call`` add what a status means there.

Receiving. The peer's window is given back when bytes are *taken*: a message under assembly counts
as taken (its size is bounded by ``Limits.max_message``), a message that waits in the inbox does not
once the inbox holds a window's worth, bytes for a sink are taken unless the sink paused the call. All
calls of a connection together may hold ``Limits.max_held``; the one that goes beyond it is refused.

Sending. ``send`` accepts the message and then waits until less than ``Limits.max_backlog`` is
unsent; ``write`` says so by its result. Ends: exactly one of ``on_peer_end`` and ``lost`` is the last
thing a call hears; after it ``receive`` gives what is left and then the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from wire.h2.frames import ErrorCode
from wire.h2.grpc import (
    PREFIX_SIZE,
    Code,
    MessageReader,
    RpcError,
    Status,
    message_prefix,
    status_of_reset,
)
from wire.h2.headers import Headers
from wire.h2.outbound import Buffer
from wire.h2io.inbox import Inbox
from wire.h2io.types import Peer, Sink

if TYPE_CHECKING:
    from wire.h2io.link import Link

TRUNCATED = Status(Code.INTERNAL, "the stream ended inside a message")
LATE = Status(Code.DEADLINE_EXCEEDED, "deadline exceeded")
_TOO_MUCH = Status(Code.RESOURCE_EXHAUSTED, "too many messages wait to be read")


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
        self._inbox = Inbox()
        self._owed = 0
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
        before = self._inbox.size
        message = self._inbox.take()
        self._link.hold(self, self._inbox.size - before)
        if self._owed and self._inbox.waiting <= self._link.limits.stream_window:
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
        held = self._inbox.size
        waiting = [self._inbox.take() for _ in range(len(self._inbox))]
        begun, length = self._inbox.take_begun(), self._reader.length
        self._link.hold(self, -held)
        for message in waiting:
            sink.on_data((memoryview(message),), 0, len(message))
        if begun:
            sink.on_data((memoryview(begun),), 0, length)
        if self._failure is not None:
            sink.on_end(self._failure)
        elif self._peer_ended:
            sink.on_end(self._good_end())
        elif not self._paused:
            self._pay()

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
        while self._unsent + self._link.h2.queued > self._link.limits.max_backlog:
            await self._wait_for_room()
            self._check_open()

    async def _wait_for_room(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._writing.append(waiter)
        self._link.writers_wait = True
        try:
            await waiter  # ends with the backlog or with the call
        finally:
            if waiter in self._writing:
                self._writing.remove(waiter)

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
        """A response's headers."""
        raise NotImplementedError

    def on_trailers(self, headers: Headers) -> None:
        """The peer's half ended with fields."""
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
        full = self._sink is None and self._inbox.waiting > self._link.limits.stream_window
        if not (self._paused or full):
            self._pay()

    def _collect(self, piece: memoryview, offset: int, length: int) -> None:
        before = self._inbox.size
        complete = self._inbox.put(piece, offset, length)
        if not self._link.hold(self, self._inbox.size - before):
            raise RpcError(_TOO_MUCH)
        if complete:
            self._wake_reader()

    @property
    def held(self) -> int:
        """Bytes that wait to be received."""
        return self._inbox.size

    def on_peer_end(self) -> None:
        """The peer's half ended in good order, if it did not end inside a message."""
        if self._failure is not None or self._peer_ended:
            return
        if self._reader.mid_message:
            self._refuse(TRUNCATED)
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

    def on_reset(self, code: ErrorCode, why: str = "") -> None:
        """The peer ended both halves; ``why`` where it was not by RST_STREAM."""
        status = status_of_reset(code)
        self.lost(status._replace(message=why) if why else status)

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
        self._inbox.take_begun()
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
        self._refuse(LATE)
