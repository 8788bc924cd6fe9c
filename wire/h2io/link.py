# SPDX-License-Identifier: Apache-2.0
"""One connected socket and its HTTP/2 connection: reads, dispatches, writes. Decides nothing about the protocol.

Non-blocking socket or ``SSLSocket`` straight on the loop's selector: no transports, no streams,
because both copy (DESIGN section 1). Everything here runs in callbacks of the loop and never waits.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, assert_never

import mesh.log
from wire.h2.connection import H2Connection, Side
from wire.h2.events import (
    ConnectionFailed,
    DataReceived,
    Event,
    GoAwayReceived,
    HeadersReceived,
    Pong,
    SettingsReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    Writable,
)
from wire.h2.frames import ErrorCode
from wire.h2.grpc import Code, Status
from wire.h2.limits import Limits
from wire.h2.outbound import Buffer
from wire.h2io.backlog import Backlog
from wire.h2io.call import Call
from wire.h2io.farewell import LINGER, Farewell, close_socket
from wire.h2io.reactor import BUFFER_SIZE, reactor
from wire.h2io.types import Keepalive, Peer

READS_PER_TURN: Final = 4
"""Buffers read before the loop's other work has its turn."""
MAX_VECTORS: Final = 1024
"""What one ``sendmsg`` takes (IOV_MAX)."""
SEND_CHUNK: Final = 128 * 1024
BACKLOG_VECTORS: Final = 64
"""Buffers of the backlog in one system call: a socket's buffer is full before."""
UNIX_SEND_BUFFER: Final = 2 * BUFFER_SIZE
"""Room for more than one read: what a socket does not take has to be copied. The kernel may grant less."""
PING_PAYLOAD: Final = b"keepaliv"

log = mesh.log.get("wire")


class Link:
    """Both sides' common part; ``server`` and ``client`` add what opens a stream."""

    def __init__(
        self,
        sock: socket.socket,
        side: Side,
        *,
        peer: Peer,
        limits: Limits,
        keepalive: Keepalive | None,
    ) -> None:
        self.peer = peer
        self.limits = limits
        self.calls: dict[int, Call] = {}
        self.dirty = False
        self.closed = False
        self.why_closed = ""
        self.h2 = H2Connection(side, limits)
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._loop = asyncio.get_running_loop()
        self._reactor = reactor()
        self._backlog = Backlog()
        self._held = 0
        self.closing = False
        """No call can begin, and what runs was ended; last words are under way."""
        self.writers_wait = False
        """A call waits until what is queued has left."""
        self._farewell: Farewell | None = None
        self._waiting = False
        self._reading = True
        self._keepalive = keepalive
        self._heard = self._loop.time()
        self._ping_sent = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # ---- life ----

    def start(self) -> None:
        """Begin to read, greet the peer, and give it a bounded time to greet us."""
        if self._sock.family == socket.AF_UNIX:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNIX_SEND_BUFFER)
        self._loop.add_reader(self._sock, self._on_readable)
        self.h2.start()
        self.touch()
        self._after("handshake", self.limits.handshake_timeout, self._check_ready)
        if self._keepalive:
            self._after("keepalive", self._keepalive.interval, self._check_alive)
        if self._tls:  # the handshake may have read ahead; the selector would not tell
            self._loop.call_soon(self._on_readable)

    def touch(self) -> None:
        """Something was queued in ``h2.out``."""
        if not self.closed:
            self._reactor.touch(self)

    def leave(self) -> None:
        """Ask the peer to open no more streams; close when the last one is over."""
        if not (self.closed or self.h2.going_away):
            self.h2.leave()
            self.touch()
            self.check_idle()

    def close(self, why: str = "closed") -> None:
        """End all calls, say goodbye, and close when the peer has read it, within ``LINGER`` seconds."""
        if self.closed or self.closing:
            return
        if not self.h2.gone:
            self.h2.go_away()
        self.closing = True
        self.why_closed = why
        self._end_calls(why)
        self.on_closing()
        self.flush()
        if not self.closed:
            self._stop_timers()
            self._after("linger", LINGER, lambda: self.abort(why))
            self._farewell = Farewell(
                self._sock,
                self._reactor.buffer,
                most=self.limits.connection_window,
                done=lambda: self.abort(why),
            )
            if not self._backlog.size:
                self._farewell.end()

    def abort(self, why: str) -> None:
        """Close at once."""
        if self.closed:
            return
        self.closed = True
        self.why_closed = why
        self._stop_timers()
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        close_socket(self._sock)
        self._backlog.clear()
        self.h2.out.clear()
        self._end_calls(why)
        self.on_closed()

    def on_closing(self) -> None:
        """For the owner: ``closing`` has begun. Not called where the socket is gone at once."""

    def on_closed(self) -> None:
        """For the owner: the socket is gone."""

    def on_ready(self) -> None:
        """For the owner: the peer's settings are in."""

    def on_headers(self, event: HeadersReceived) -> None:
        """For the owner: headers of a stream that has no call yet."""

    def _end_calls(self, why: str) -> None:
        status = Status(Code.UNAVAILABLE, f"connection to {self.peer.address} lost: {why}")
        for call in list(self.calls.values()):
            call.lost(status)
        self.calls.clear()

    def _after(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
        self._timers[name] = self._loop.call_later(seconds, act)

    def _stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _check_ready(self) -> None:
        if not self.h2.ready:
            self.abort("no HTTP/2 handshake in time")

    def _check_alive(self) -> None:
        keepalive = self._keepalive
        if keepalive is None:
            return
        if not self._reading:  # an answer could not be heard
            self._heard = self._loop.time()
        silent = self._loop.time() - self._heard
        if self._ping_sent and silent >= keepalive.timeout:
            self.abort(f"no answer to a keepalive ping for {keepalive.timeout:g} s")
        elif silent >= keepalive.interval:
            self._ping_sent = True
            self.h2.ping(PING_PAYLOAD)
            self.touch()
            self._after("keepalive", keepalive.timeout, self._check_alive)
        else:
            self._after("keepalive", keepalive.interval - silent, self._check_alive)

    def _alive_again(self) -> None:
        """A ping was answered: nobody waits for the rest of its time."""
        if self._keepalive:
            self._after("keepalive", self._keepalive.interval, self._check_alive)

    # ---- reading ----

    def check_reading(self) -> None:
        """Read, unless the only call here is paused: then its bytes wait in the kernel, not in our memory."""
        if self.closed or self.closing:
            return
        wanted = len(self.calls) != 1 or not next(iter(self.calls.values())).paused
        if wanted is self._reading:
            return
        self._reading = wanted
        if not wanted:
            self._loop.remove_reader(self._sock)
            return
        self._loop.add_reader(self._sock, self._on_readable)
        if self._tls:  # bytes that OpenSSL holds do not wake the selector
            self._loop.call_soon(self._on_readable)

    def _on_readable(self) -> None:
        for _ in range(READS_PER_TURN):
            if self.closed or self.closing or not self._reading:
                return
            size = self._fill()
            if size < 0:
                return
            if size == 0:
                self.abort("closed by the peer")
                return
            self._take(size)
            if self._tls and self._backlog.size and not self._waiting:
                self._send_backlog()
            if size < BUFFER_SIZE and not self._tls:
                return
        if self._tls:  # bytes that OpenSSL holds do not wake the selector
            self._loop.call_soon(self._on_readable)

    def _fill(self) -> int:
        """Read into the shared buffer: bytes read, 0 at the end, -1 where there is nothing yet."""
        try:
            return self._fill_tls() if self._tls else self._sock.recv_into(self._reactor.buffer)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return -1
        except OSError as exc:  # resets, TLS alerts, timeouts of the kernel
            self.abort(_reason(exc))
            return -1

    def _fill_tls(self) -> int:
        """As many TLS records as fit: each read gives at most one (16 KiB)."""
        buffer, filled = self._reactor.buffer, 0
        try:
            while filled < BUFFER_SIZE:
                size = self._sock.recv_into(buffer[filled:])
                if size == 0:
                    break
                filled += size
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if not filled:
                raise
        except OSError:
            if not filled:
                raise
        return filled

    def _take(self, size: int) -> None:
        now = self._heard = self._loop.time()
        self._ping_sent = False
        self._reactor.in_batch = True
        try:
            for event in self.h2.receive(self._reactor.buffer[:size], now):
                self._dispatch(event)
                if self.closed or self.closing:
                    return
            if self.h2.out:
                self._reactor.touch(self)
            self.check_idle()
        except Exception as exc:  # noqa: BLE001  a defect above must not leave a stream with a hole in it
            log.error("BUG: bytes not handled", peer=self.peer.address, error=repr(exc))  # noqa: TRY400
            self.abort("a defect on this side")
        finally:
            self._reactor.leave()

    def _dispatch(self, event: Event) -> None:
        match event:
            case DataReceived():
                if call := self.calls.get(event.stream):
                    call.on_data(event.data)
            case HeadersReceived():
                if call := self.calls.get(event.stream):
                    call.on_headers(event.headers, event.ended)
                else:
                    self.on_headers(event)
            case TrailersReceived():
                if call := self.calls.get(event.stream):
                    call.on_trailers(event.headers)
            case StreamEnded():
                if call := self.calls.get(event.stream):
                    call.on_peer_end()
            case StreamReset():
                if call := self.calls.get(event.stream):
                    self._reset_call(call, event)
            case Writable():
                if call := self.calls.get(event.stream):
                    call.check_writable()
            case Pong():
                self._alive_again()
            case SettingsReceived():
                self.on_ready()
            case GoAwayReceived():
                self._on_go_away(event)
            case ConnectionFailed():
                self._reactor.complaints.tell(
                    "peer broke the protocol",
                    peer=self.peer.address,
                    code=event.code.name,
                    why=event.why,
                )
                self.close(f"protocol fault: {event.why}")
            case _:
                assert_never(event)

    def _reset_call(self, call: Call, event: StreamReset) -> None:
        if event.by_peer:
            call.on_reset(event.code, event.why)
        else:
            call.lost(Status(Code.INTERNAL, f"protocol fault: {event.why}"))

    def _on_go_away(self, event: GoAwayReceived) -> None:
        if event.code is not ErrorCode.NO_ERROR:
            text = event.debug.decode("utf-8", "replace")[:200]
            log.debug("peer goes away", peer=self.peer.address, code=event.code.name, debug=text)
        self.check_idle()

    def check_idle(self) -> None:
        """A connection that takes no new streams is closed when its last one is over."""
        leaving = self.h2.peer_going_away or self.h2.gone
        if leaving and not self.calls and not self.h2.open_streams and not self.closing:
            self._loop.call_soon(self.close, "drained")

    def forget(self, call: Call) -> None:
        """``call`` is over."""
        if self.calls.pop(call.number, None) is not None:
            self._held -= call.held
            self.check_reading()
            self.check_idle()

    def hold(self, call: Call, more: int) -> bool:
        """``call`` keeps so many more bytes for its owner. False where that is too much for one peer."""
        if call.number in self.calls:
            self._held += more
        return more <= 0 or self._held <= self.limits.max_held

    # ---- writing ----

    @property
    def in_batch(self) -> bool:
        """Views of the read buffer may be queued: they are sent or copied before the next read."""
        return self._reactor.in_batch

    @property
    def backlog(self) -> int:
        """Bytes that the socket did not take yet."""
        return self._backlog.size

    def flush(self) -> None:
        """Send what is queued; copy what the socket does not take."""
        out = self.h2.out
        if not out or self.closed:
            return
        if self._farewell is not None:  # nothing can follow the last words
            out.clear()
            return
        if self._tls or self._backlog.size:
            # over TLS each write is a record or more of its own
            self._backlog.keep_rest([b"".join(out)] if self._tls else out)
            out.clear()
            if not self._waiting:
                self._send_backlog()
        else:
            self._send_out(out)
            out.clear()
        self.h2.flushed(self._backlog.size)
        if self.writers_wait and not self._backlog.size:
            self._wake_writers()

    def _send_out(self, out: list[Buffer]) -> None:
        for start in range(0, len(out), MAX_VECTORS):
            part = out if len(out) <= MAX_VECTORS else out[start : start + MAX_VECTORS]
            try:
                sent = self._sock.sendmsg(part)
            except BlockingIOError:
                sent = 0
            except OSError as exc:
                self.abort(_reason(exc))
                return
            if sent < sum(map(len, part)):
                self._backlog.keep_rest(out[start:], sent)
                self._wait_for_socket()
                return

    def _wait_for_socket(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._loop.add_writer(self._sock, self._send_backlog)

    def _send_backlog(self) -> None:
        try:
            while self._backlog.size:
                self._backlog.drop(self._send_head())
        except (BlockingIOError, ssl.SSLWantWriteError):
            self._wait_for_socket()
        except ssl.SSLWantReadError:
            self._stop_waiting()  # tried again after the next read
        except OSError as exc:
            self.abort(_reason(exc))
        else:
            self._on_backlog_sent()

    def _send_head(self) -> int:
        if self._tls:
            return self._sock.send(self._backlog.first(SEND_CHUNK))
        return self._sock.sendmsg(self._backlog.oldest(BACKLOG_VECTORS))

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting = False
            self._loop.remove_writer(self._sock)

    def _on_backlog_sent(self) -> None:
        self._stop_waiting()
        self.h2.flushed(0)
        if self._farewell is not None:
            self._farewell.end()
        else:
            self._wake_writers()

    def _wake_writers(self) -> None:
        self.writers_wait = False
        for call in list(self.calls.values()):
            call.check_writable()


def _reason(exc: OSError) -> str:
    """The kernel's or OpenSSL's reason, short and without addresses or bytes of the peer."""
    if isinstance(exc, ssl.SSLEOFError):
        return "TLS: cut by the peer"
    if isinstance(exc, ssl.SSLError):
        return f"TLS: {exc.reason or type(exc).__name__}"
    return exc.strerror or type(exc).__name__
