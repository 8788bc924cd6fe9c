# SPDX-License-Identifier: Apache-2.0
"""One HTTP/2 connection for gRPC, either side: bytes in, events and bytes out. Pure.

Answers to RFC 9113; section numbers stand at the rules. No sockets, no clocks, no tasks.

Theory. ``receive`` walks whatever the socket gave. A DATA frame is never put together: its payload
is handed on in the pieces in which it came, as views of the caller's buffer, so a frame of any size
costs no memory and no copy. All other frames are small and are completed in ``_held`` if they come
in parts; their size is judged by their header, before a byte of them is kept.

``out`` is the list of buffers to send, in order. Buffers from ``send_data`` may be views of the
caller's memory: the caller sends them or copies them before that memory changes. What the peer's
window forbids is copied and waits in ``Stream.pending``; ``Writable`` tells when it is gone.

Faults. ``_Fault`` ends the connection (5.4.1), ``_StreamFault`` one stream (5.4.2). Both are raised
inside and leave as events; no exception leaves this module for what a peer did.

Windows. The connection's window is given back as bytes arrive, a stream's when the owner says so
(``credit``): a stream whose owner does not take is stopped by its own window and stops no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

import hpack

from wire.h2 import frames
from wire.h2.budget import Budget
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
    Writable,
)
from wire.h2.frames import ErrorCode, Setting
from wire.h2.headers import (
    Headers,
    content_length,
    request_fault,
    response_fault,
    trailers_fault,
)
from wire.h2.limits import Limits
from wire.h2.stream import Stream, StreamState

MAX_CONTROL_FRAME: Final = 16_384
"""Frames other than DATA and HEADERS are never near this; SETTINGS of 16 KiB are an attack."""
REMEMBERED_STREAMS: Final = 512
"""Streams that closed lately and on which frames may still be under way (5.1, closed)."""

Buffer = bytes | memoryview


class Side(Enum):
    """Which end of the connection we are."""

    CLIENT = auto()
    SERVER = auto()


class Closing(Enum):
    """How a stream of late came to be closed."""

    ENDED = auto()
    """By both ends, or by the peer's RST_STREAM: the peer knows."""
    RESET_BY_US = auto()
    """The peer may not know yet: its frames are ignored."""


class _Fault(Exception):
    """The peer broke the connection's rules: GOAWAY and close."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class _StreamFault(Exception):
    """The peer broke a stream's rules: RST_STREAM, the rest goes on."""

    def __init__(self, stream: int, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.stream = stream
        self.code = code
        self.why = why


class H2Connection:
    """See the module docstring. ``start`` first, then ``receive`` and the verbs in any order."""

    def __init__(self, side: Side, limits: Limits) -> None:
        self.side = side
        self.out: list[Buffer] = []
        self._limits = limits
        self._streams: dict[int, Stream] = {}
        self._blocked: dict[int, Stream] = {}
        self._lately_closed: dict[int, Closing] = {}
        self._last_peer_stream = 0
        self._next_stream = 1 if side is Side.CLIENT else 2
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder(max_header_list_size=limits.max_header_list)
        self._send_window = frames.DEFAULT_WINDOW
        self._peer_window = frames.DEFAULT_WINDOW
        self._peer_frame = frames.DEFAULT_FRAME_SIZE
        self._peer_streams = frames.MAX_WINDOW
        self._recv_window = limits.connection_window
        self._recv_uncredited = 0
        self._nuisance = Budget(burst=1000, rate=100)
        self._resets = Budget(burst=200 + 2 * limits.max_streams, rate=100)
        self._useful = 0
        self._now = 0.0
        self._events: list[Event] = []
        # what the walk is in the middle of
        self._preface_left = frames.PREFACE if side is Side.SERVER else b""
        self._held = bytearray()
        self._seen_settings = False
        self._data_stream: Stream | None = None
        self._data_left = 0
        self._pad_left = 0
        self._pad_unknown = False
        self._data_ends = False
        self._skip_left = 0
        self._block: bytearray | None = None
        self._block_stream = 0
        self._block_ends = False
        self.failed = False
        self.going_away = False
        """We sent GOAWAY: the peer's new streams are ignored (6.8)."""
        self.peer_going_away = False

    # ---- the owner's verbs ----

    def start(self) -> None:
        """Queue the preface and our settings (3.4)."""
        settings = {
            Setting.MAX_CONCURRENT_STREAMS: self._limits.max_streams,
            Setting.INITIAL_WINDOW_SIZE: self._limits.stream_window,
            Setting.MAX_FRAME_SIZE: self._limits.max_frame,
            Setting.MAX_HEADER_LIST_SIZE: self._limits.max_header_list,
        }
        if self.side is Side.CLIENT:
            self.out.append(frames.PREFACE)
            del settings[Setting.MAX_CONCURRENT_STREAMS]  # no server opens streams to us
            settings[Setting.ENABLE_PUSH] = 0
        self.out.append(frames.settings_frame(settings))
        more = self._limits.connection_window - frames.DEFAULT_WINDOW
        if more > 0:
            self.out.append(frames.window_frame(0, more))

    @property
    def ready(self) -> bool:
        """The peer's SETTINGS are in."""
        return self._seen_settings

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    @property
    def may_open(self) -> bool:
        """Client: the peer would take one more stream."""
        return (
            not (self.failed or self.peer_going_away)
            and len(self._streams) < self._peer_streams
            and self._next_stream <= frames.STREAM_MASK
        )

    def open_stream(self, headers: Headers) -> int:
        """Client: begin a stream with its request headers. Check ``may_open`` first."""
        number = self._next_stream
        self._next_stream += 2
        self._streams[number] = self._new_stream(number)
        self._queue_headers(number, headers, ended=False)
        return number

    def send_headers(self, number: int, headers: Headers) -> None:
        """Server: the response's first headers. Nothing happens where the stream is gone."""
        if number in self._streams:
            self._queue_headers(number, headers, ended=False)

    def send_data(self, number: int, pieces: Sequence[Buffer], size: int) -> None:
        """Send ``size`` bytes of body. Nothing happens where the stream is gone or ended."""
        stream = self._streams.get(number)
        if stream is None or not stream.may_send:
            return
        if not stream.pending and size <= self._room(stream):
            self._queue_data(stream, pieces, size)
            return
        for piece in pieces:
            self._send_piece(stream, piece)

    def end_stream(self, number: int, trailers: Headers = []) -> None:  # noqa: B006  never changed
        """End our half, after all that still waits for the window; a server gives trailers."""
        stream = self._streams.get(number)
        if stream is None or not stream.may_send:
            return
        stream.tail = trailers
        if not stream.pending:
            self._send_tail(stream)

    def reset(self, number: int, code: ErrorCode = ErrorCode.CANCEL) -> None:
        """End both halves at once, and forget what was not sent."""
        if number in self._streams:
            self._reset(number, code)

    def credit(self, number: int, size: int) -> None:
        """The owner took ``size`` bytes off the stream: the peer may send as many more."""
        stream = self._streams.get(number)
        if stream is None or not stream.peer_may_send:
            return
        stream.uncredited += size
        if stream.uncredited * 4 >= self._limits.stream_window:
            self.out.append(frames.window_frame(number, stream.uncredited))
            stream.recv_window += stream.uncredited
            stream.uncredited = 0

    def backlog(self, number: int) -> int:
        """Bytes of a stream that wait for the peer's window."""
        stream = self._streams.get(number)
        return stream.pending_size if stream else 0

    def is_open(self, number: int) -> bool:
        return number in self._streams

    def ping(self, payload: bytes) -> None:
        """Ask for a PING answer; 8 bytes come back in ``Pong``."""
        self.out.append(frames.ping_frame(payload))

    def go_away(self, code: ErrorCode = ErrorCode.NO_ERROR, debug: str = "") -> None:
        """Take no new streams from now on; those that run go on (6.8)."""
        self.going_away = True
        self.out.append(frames.goaway_frame(self._last_peer_stream, code, debug.encode()))

    # ---- bytes in ----

    def receive(self, data: memoryview, now: float) -> list[Event]:
        """Take bytes from the peer; ``now`` in seconds of any steady clock.

        Views in the events are of ``data``: use them before it changes.
        """
        events: list[Event] = []
        self._events = events
        self._now = now
        if self.failed:
            return events
        try:
            self._walk(data)
        except _Fault as fault:
            self._fail(fault)
        return events

    def _walk(self, data: memoryview) -> None:
        at, end = 0, len(data)
        if self._preface_left:
            at = self._take_preface(data)
        while at < end:
            if self._pad_unknown:
                self._take_pad_length(data[at])
                at += 1
            elif self._data_left:
                piece = data[at : at + self._data_left]
                at += len(piece)
                self._take_data(piece)
            elif self._skip_left:
                taken = min(self._skip_left, end - at)
                at += taken
                self._skip_left -= taken
            elif self._held or end - at < frames.HEADER_SIZE:
                at = self._hold(data, at)
            else:
                at = self._frame_at(data, at)

    def _take_preface(self, data: memoryview) -> int:
        given = bytes(data[: len(self._preface_left)])
        if not self._preface_left.startswith(given):
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "not an HTTP/2 connection preface")
        self._preface_left = self._preface_left[len(given) :]
        return len(given)

    def _frame_at(self, data: memoryview, at: int) -> int:
        """A frame whose header is whole in ``data``; its payload is taken if it is whole too."""
        length, kind, flags, stream = frames.unpack_header(data, at)
        if self._begins(length, kind, flags, stream):
            return at + frames.HEADER_SIZE
        stop = at + frames.HEADER_SIZE + length
        if stop > len(data):
            self._held += data[at:]
            return len(data)
        self._on_frame(kind, flags, stream, bytes(data[at + frames.HEADER_SIZE : stop]))
        return stop

    def _hold(self, data: memoryview, at: int) -> int:
        """Complete, from the new data, a frame that came in parts."""
        held = self._held
        if len(held) < frames.HEADER_SIZE:
            missing = frames.HEADER_SIZE - len(held)
            held += data[at : at + missing]
            at = min(len(data), at + missing)
            if len(held) < frames.HEADER_SIZE:
                return at
            if self._begins(*frames.unpack_header(held)):
                held.clear()
                return at
        length, kind, flags, stream = frames.unpack_header(held)
        missing = frames.HEADER_SIZE + length - len(held)
        held += data[at : at + missing]
        at = min(len(data), at + missing)
        if len(held) == frames.HEADER_SIZE + length:
            payload = bytes(held[frames.HEADER_SIZE :])
            held.clear()
            self._on_frame(kind, flags, stream, payload)
        return at

    def _begins(self, length: int, kind: int, flags: int, stream: int) -> bool:
        """Judge a frame by its header. True where its payload passes through and is not held."""
        if length > self._limits.max_frame:
            raise _Fault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes (4.2)")
        if self._block is not None and (kind, stream) != (frames.CONTINUATION, self._block_stream):
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted (4.3)")
        if not self._seen_settings and (kind != frames.SETTINGS or flags & frames.ACK):
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS (3.4)")
        if kind == frames.DATA:
            self._begin_data(length, flags, stream)
            return True
        if kind > frames.CONTINUATION:  # unknown frames are ignored (4.1)
            self._annoyed("unknown frames")
            self._skip_left = length
            return True
        self._check_size(length, kind, flags)
        return False

    def _check_size(self, length: int, kind: int, flags: int) -> None:
        exact = {frames.RST_STREAM: 4, frames.WINDOW_UPDATE: 4, frames.PING: 8}.get(kind)
        if exact is not None and length != exact:
            raise _Fault(ErrorCode.FRAME_SIZE_ERROR, f"frame type {kind} of {length} bytes (6)")
        if kind == frames.SETTINGS and (length % 6 or (flags & frames.ACK and length)):
            raise _Fault(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {length} bytes (6.5)")
        if kind == frames.GOAWAY and length < 8:
            raise _Fault(ErrorCode.FRAME_SIZE_ERROR, f"GOAWAY of {length} bytes (6.8)")
        if kind in {frames.HEADERS, frames.CONTINUATION}:
            known = len(self._block) if self._block is not None else 0
            if known + length > self._limits.max_header_block:
                raise _Fault(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end")
        elif length > MAX_CONTROL_FRAME:
            raise _Fault(ErrorCode.ENHANCE_YOUR_CALM, f"frame type {kind} of {length} bytes")

    # ---- DATA (6.1) ----

    def _begin_data(self, length: int, flags: int, number: int) -> None:
        if number == 0:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0 (6.1)")
        if length == 0 and flags & frames.PADDED:
            raise _Fault(ErrorCode.FRAME_SIZE_ERROR, "padded DATA without a pad length (6.1)")
        self._take_connection_window(length)
        self._data_left = length
        self._pad_unknown = bool(flags & frames.PADDED)
        self._pad_left = 0
        self._data_ends = bool(flags & frames.END_STREAM)
        self._data_stream = self._data_receiver(number, length)
        if length:
            self._useful += 1
        elif self._data_ends:
            self._data_done()
        else:
            self._annoyed("empty DATA frames")

    def _take_connection_window(self, length: int) -> None:
        self._recv_window -= length
        if self._recv_window < 0:
            raise _Fault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window (6.9.1)")
        self._recv_uncredited += length
        if self._recv_uncredited * 4 >= self._limits.connection_window:
            self.out.append(frames.window_frame(0, self._recv_uncredited))
            self._recv_window += self._recv_uncredited
            self._recv_uncredited = 0

    def _data_receiver(self, number: int, length: int) -> Stream | None:
        """The stream that gets the payload; None where it is thrown away."""
        stream = self._streams.get(number)
        if stream is None:
            self._check_known(number, "DATA")
            if self._lately_closed.get(number) is not Closing.RESET_BY_US:
                self._remember(number, Closing.RESET_BY_US)
                self.out.append(frames.reset_frame(number, ErrorCode.STREAM_CLOSED))
            return None
        stream.recv_window -= length
        if not stream.peer_may_send:
            self._break_stream(number, ErrorCode.STREAM_CLOSED, "DATA after the end (5.1)")
        elif stream.recv_window < 0:
            self._break_stream(number, ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window")
        elif self.side is Side.CLIENT and not stream.answered:
            self._break_stream(number, ErrorCode.PROTOCOL_ERROR, "DATA before headers (8.1)")
        else:
            return stream
        return None

    def _take_pad_length(self, pad: int) -> None:
        self._pad_unknown = False
        self._data_left -= 1
        if pad > self._data_left:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame (6.1)")
        self._pad_left = pad
        if self._data_stream is not None:
            self.credit(self._data_stream.number, 1 + pad)
        if self._data_left == 0:
            self._data_done()

    def _take_data(self, piece: memoryview) -> None:
        self._data_left -= len(piece)
        stream = self._data_stream
        if stream is not None:
            inside_padding = self._pad_left - self._data_left
            if self._pad_left and inside_padding > 0:
                piece = piece[: max(0, len(piece) - inside_padding)]
            if piece:
                if stream.body_left is not None:
                    stream.body_left -= len(piece)
                self._events.append(DataReceived(stream.number, piece))
        if self._data_left == 0:
            self._data_done()

    def _data_done(self) -> None:
        stream, self._data_stream = self._data_stream, None
        if stream is None or not self._data_ends or stream.number not in self._streams:
            return
        if stream.body_left:
            why = "body and content-length differ (8.1.1)"
            self._break_stream(stream.number, ErrorCode.PROTOCOL_ERROR, why)
            return
        self._events.append(StreamEnded(stream.number))
        self._peer_ends(stream)

    # ---- the other frames ----

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        try:
            match kind:
                case frames.HEADERS:
                    self._on_headers(flags, stream, payload)
                case frames.CONTINUATION:
                    self._on_continuation(flags, stream, payload)
                case frames.PRIORITY:
                    self._on_priority(stream, payload)
                case frames.RST_STREAM:
                    self._on_reset(stream, payload)
                case frames.SETTINGS:
                    self._on_settings(flags, stream, payload)
                case frames.PING:
                    self._on_ping(flags, stream, payload)
                case frames.GOAWAY:
                    self._on_goaway(stream, payload)
                case frames.WINDOW_UPDATE:
                    self._on_window(stream, payload)
                case _:  # PUSH_PROMISE
                    raise _Fault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE without ENABLE_PUSH (8.4)")
        except _StreamFault as fault:
            self._break_stream(fault.stream, fault.code, fault.why)

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        if stream == 0:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0 (6.2)")
        start, pad = 0, 0
        if flags & frames.PADDED:
            pad, start = payload[0] if payload else 256, 1
        depends_on = None
        if flags & frames.PRIORITIZED:
            if len(payload) < start + 5:
                raise _Fault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for a priority (6.2)")
            depends_on = frames.unpack_u32(payload[start:]) & frames.STREAM_MASK
            start += 5
        if start + pad > len(payload):
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame (6.2)")
        self._block = bytearray(payload[start : len(payload) - pad])
        self._block_stream = stream
        self._block_ends = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._block_done()
        if depends_on == stream:
            why = "a stream that depends on itself (RFC 7540 5.3.1)"
            raise _StreamFault(stream, ErrorCode.PROTOCOL_ERROR, why)

    def _on_continuation(self, flags: int, _stream: int, payload: bytes) -> None:
        if self._block is None:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS (6.10)")
        if not payload and not flags & frames.END_HEADERS:
            self._annoyed("empty CONTINUATION frames")
        self._block += payload
        if flags & frames.END_HEADERS:
            self._block_done()

    def _block_done(self) -> None:
        block, self._block = bytes(self._block or b""), None
        try:
            decoded = self._decoder.decode(block, raw=True)
        except hpack.OversizedHeaderListError as exc:
            raise _Fault(ErrorCode.ENHANCE_YOUR_CALM, "header list too large (10.5.1)") from exc
        except (hpack.HPACKError, IndexError, ValueError) as exc:
            raise _Fault(ErrorCode.COMPRESSION_ERROR, "bad header block (4.3)") from exc
        headers = [(bytes(n).decode("latin-1"), bytes(v).decode("latin-1")) for n, v in decoded]
        stream = self._streams.get(self._block_stream)
        if stream is not None:
            self._on_more_headers(stream, headers)
        elif self.side is Side.SERVER and self._block_stream > self._last_peer_stream:
            self._on_request(self._block_stream, headers)
        else:
            self._check_known(self._block_stream, "HEADERS")
            self._refuse_late_headers(self._block_stream)

    def _refuse_late_headers(self, number: int) -> None:
        """A stream that was used and ended is *closed*; one that was skipped was never to be used."""
        match self._lately_closed.get(number):
            case None:
                why = "stream numbers must rise (5.1.1)"
                raise _Fault(ErrorCode.PROTOCOL_ERROR, why)
            case Closing.ENDED:
                raise _Fault(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream (5.1)")
            case Closing.RESET_BY_US:
                pass  # they were under way when we reset

    def _on_request(self, number: int, headers: Headers) -> None:
        if number % 2 == 0:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "a client's stream has an odd number (5.1.1)")
        if self.going_away:
            self._remember(
                number, Closing.RESET_BY_US
            )  # the peer knows from GOAWAY that we do not look at it
            return
        self._last_peer_stream = number
        if len(self._streams) >= self._limits.max_streams:
            self._remember(number, Closing.RESET_BY_US)
            self.out.append(frames.reset_frame(number, ErrorCode.REFUSED_STREAM))
            self._count_reset()
            return
        stream = self._streams[number] = self._new_stream(number)
        if why := request_fault(headers):
            raise _StreamFault(number, ErrorCode.PROTOCOL_ERROR, why)
        self._on_body_length(stream, headers)
        stream.answered = True  # what follows can only be trailers
        self._events.append(HeadersReceived(number, headers, self._block_ends))
        if self._block_ends:
            self._peer_ends(stream)

    def _on_more_headers(self, stream: Stream, headers: Headers) -> None:
        """A response, or trailers, on a stream that is open."""
        number = stream.number
        if not stream.peer_may_send:
            raise _StreamFault(number, ErrorCode.STREAM_CLOSED, "HEADERS after the end (5.1)")
        if stream.answered:
            self._on_trailers(stream, headers)
            return
        if why := response_fault(headers):
            raise _StreamFault(number, ErrorCode.PROTOCOL_ERROR, why)
        if dict(headers)[":status"].startswith("1"):
            if self._block_ends:
                raise _StreamFault(number, ErrorCode.PROTOCOL_ERROR, "an end without a response")
            self._annoyed("interim responses")
            return
        stream.answered = True
        self._on_body_length(stream, headers)
        self._events.append(HeadersReceived(number, headers, self._block_ends))
        if self._block_ends:
            self._peer_ends(stream)

    def _on_trailers(self, stream: Stream, headers: Headers) -> None:
        why = trailers_fault(headers)
        if not self._block_ends:
            why = "trailers that do not end the stream (8.1)"
        if stream.body_left:
            why = "body and content-length differ (8.1.1)"
        if why:
            raise _StreamFault(stream.number, ErrorCode.PROTOCOL_ERROR, why)
        self._events.append(HeadersReceived(stream.number, headers, ended=True))
        self._peer_ends(stream)

    def _on_body_length(self, stream: Stream, headers: Headers) -> None:
        stream.body_left = content_length(headers)
        if stream.body_left == -1 or (self._block_ends and stream.body_left):
            why = "body and content-length differ (8.1.1)"
            raise _StreamFault(stream.number, ErrorCode.PROTOCOL_ERROR, why)

    def _on_priority(self, stream: int, payload: bytes) -> None:
        """Priorities are checked and otherwise ignored (5.3.2)."""
        self._annoyed("PRIORITY frames")
        if stream == 0:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0 (6.3)")
        if len(payload) != 5:
            raise _StreamFault(stream, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong size (6.3)")
        if frames.unpack_u32(payload) & frames.STREAM_MASK == stream:
            why = "a stream that depends on itself (RFC 7540 5.3.1)"
            raise _StreamFault(stream, ErrorCode.PROTOCOL_ERROR, why)

    def _on_reset(self, number: int, payload: bytes) -> None:
        if number == 0:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on stream 0 (6.4)")
        stream = self._streams.get(number)
        if stream is None:
            self._check_known(number, "RST_STREAM")
            return
        code = ErrorCode.of(frames.unpack_u32(payload))
        self._forget(stream)
        self._events.append(StreamReset(number, code, by_peer=True, why=""))
        if self.side is Side.SERVER:
            self._count_reset()

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream (6.5)")
        if flags & frames.ACK:
            self._annoyed("SETTINGS frames")
            return
        if not self._seen_settings:
            self._seen_settings = True
            self._events.append(SettingsReceived())
        else:
            self._annoyed("SETTINGS frames")
        for key, value in frames.unpack_settings(payload):
            self._on_setting(key, value)
        self.out.append(frames.SETTINGS_ACK)
        self._send_blocked()

    def _on_setting(self, key: int, value: int) -> None:
        match key:
            case Setting.HEADER_TABLE_SIZE:
                self._encoder.header_table_size = min(value, 4096)
            case Setting.ENABLE_PUSH if value > 1 or (value and self.side is Side.CLIENT):
                raise _Fault(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH={value} (6.5.2)")
            case Setting.MAX_CONCURRENT_STREAMS:
                self._peer_streams = value
            case Setting.INITIAL_WINDOW_SIZE:
                self._on_initial_window(value)
            case Setting.MAX_FRAME_SIZE:
                if not frames.DEFAULT_FRAME_SIZE <= value <= frames.MAX_FRAME_SIZE:
                    raise _Fault(ErrorCode.PROTOCOL_ERROR, f"MAX_FRAME_SIZE={value} (6.5.2)")
                self._peer_frame = value
            case _:  # unknown or of no use to us
                pass

    def _on_initial_window(self, value: int) -> None:
        if value > frames.MAX_WINDOW:
            raise _Fault(ErrorCode.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE={value} (6.5.2)")
        change = value - self._peer_window
        self._peer_window = value
        for stream in self._streams.values():
            stream.send_window += change
            if stream.send_window > frames.MAX_WINDOW:
                raise _Fault(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1 (6.9.2)")

    def _on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "PING on a stream (6.7)")
        self._annoyed("PING frames")
        if flags & frames.ACK:
            self._events.append(Pong(payload))
        else:
            self.out.append(frames.ping_frame(payload, ack=True))

    def _on_goaway(self, stream: int, payload: bytes) -> None:
        if stream:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream (6.8)")
        self._annoyed("GOAWAY frames")
        last, code, debug = frames.unpack_goaway(payload)
        self.peer_going_away = True
        self._events.append(GoAwayReceived(last, code, debug))
        if self.side is Side.CLIENT:
            for number in [n for n in self._streams if n > last]:
                self._forget(self._streams[number])
                why = "not processed before GOAWAY"
                refused = StreamReset(number, ErrorCode.REFUSED_STREAM, by_peer=True, why=why)
                self._events.append(refused)

    def _on_window(self, number: int, payload: bytes) -> None:
        increment = frames.unpack_u32(payload) & frames.STREAM_MASK
        if number == 0:
            self._send_window += increment
            if increment == 0:
                raise _Fault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 (6.9)")
            if self._send_window > frames.MAX_WINDOW:
                raise _Fault(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1 (6.9.1)")
            self._send_blocked()
            return
        stream = self._streams.get(number)
        if stream is None:
            self._check_known(number, "WINDOW_UPDATE")
            return
        if increment == 0:
            raise _StreamFault(number, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 (6.9)")
        stream.send_window += increment
        if stream.send_window > frames.MAX_WINDOW:
            why = "a window above 2^31-1 (6.9.1)"
            raise _StreamFault(number, ErrorCode.FLOW_CONTROL_ERROR, why)
        if stream.pending:
            self._send_pending(stream)

    # ---- sending ----

    def _new_stream(self, number: int) -> Stream:
        return Stream(number, send_window=self._peer_window, recv_window=self._limits.stream_window)

    def _queue_headers(self, number: int, headers: Headers, *, ended: bool) -> None:
        block = self._encoder.encode(headers)
        self.out.append(frames.header_frames(number, block, self._peer_frame, end_stream=ended))

    def _room(self, stream: Stream) -> int:
        """Bytes that may go into one DATA frame now."""
        return min(stream.send_window, self._send_window, self._peer_frame)

    def _queue_data(self, stream: Stream, pieces: Sequence[Buffer], size: int) -> None:
        stream.send_window -= size
        self._send_window -= size
        self.out.append(frames.pack_header(size, frames.DATA, 0, stream.number))
        self.out.extend(pieces)

    def _send_piece(self, stream: Stream, piece: Buffer) -> None:
        view = memoryview(piece)
        at, end = 0, len(view)
        while at < end and not stream.pending and (room := self._room(stream)) > 0:
            part = view[at : at + room]
            self._queue_data(stream, (part,), len(part))
            at += len(part)
        if at < end:
            rest = view[at:]  # bytes do not change, so they need no copy
            stream.pending.append(rest if isinstance(piece, bytes) else memoryview(bytes(rest)))
            stream.pending_size += end - at
            self._blocked[stream.number] = stream

    def _send_pending(self, stream: Stream) -> None:
        while stream.pending and (room := self._room(stream)) > 0:
            head = stream.pending.popleft()
            if len(head) > room:
                stream.pending.appendleft(head[room:])
                head = head[:room]
            stream.pending_size -= len(head)
            self._queue_data(stream, (head,), len(head))
        if stream.pending:
            return
        self._blocked.pop(stream.number, None)
        if stream.tail is not None:
            self._send_tail(stream)
        else:
            self._events.append(Writable(stream.number))

    def _send_blocked(self) -> None:
        """The connection's window grew: who waited longest goes first."""
        for stream in list(self._blocked.values()):
            if self._send_window <= 0:
                return
            self._send_pending(stream)

    def _send_tail(self, stream: Stream) -> None:
        if stream.tail:
            self._queue_headers(stream.number, stream.tail, ended=True)
        else:
            end = frames.pack_header(0, frames.DATA, frames.END_STREAM, stream.number)
            self.out.append(end)
        stream.we_end()
        if stream.state is StreamState.CLOSED:
            self._forget(stream)
        elif self.side is Side.SERVER:
            # the answer is complete: ask the client to stop sending (8.1)
            self._reset(stream.number, ErrorCode.NO_ERROR)

    # ---- ends ----

    def _peer_ends(self, stream: Stream) -> None:
        if stream.number not in self._streams:
            return
        stream.peer_ends()
        if stream.state is StreamState.CLOSED:
            self._forget(stream)
        elif self.side is Side.CLIENT:
            # the response is complete: nobody reads the rest of our request
            self._reset(stream.number, ErrorCode.NO_ERROR)

    def _forget(self, stream: Stream) -> None:
        stream.state = StreamState.CLOSED
        stream.pending.clear()
        stream.pending_size = 0
        self._streams.pop(stream.number, None)
        self._remember(stream.number, Closing.ENDED)
        self._blocked.pop(stream.number, None)

    def _reset(self, number: int, code: ErrorCode) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            self._forget(stream)
        self._remember(number, Closing.RESET_BY_US)
        self.out.append(frames.reset_frame(number, code))

    def _remember(self, number: int, how: Closing) -> None:
        self._lately_closed[number] = how
        if len(self._lately_closed) > REMEMBERED_STREAMS:
            del self._lately_closed[next(iter(self._lately_closed))]

    def _break_stream(self, number: int, code: ErrorCode, why: str) -> None:
        known = number in self._streams
        self._reset(number, code)
        if known:
            self._events.append(StreamReset(number, code, by_peer=False, why=why))
        if self.side is Side.SERVER:
            self._count_reset()

    def _check_known(self, number: int, what: str) -> None:
        """A stream without an object is closed or idle; on an idle one nothing may come (5.1)."""
        ours = (number % 2 == 1) == (self.side is Side.CLIENT)
        idle = number >= self._next_stream if ours else number > self._last_peer_stream
        if idle and number not in self._lately_closed:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, f"{what} on an idle stream (5.1)")

    def _annoyed(self, by: str) -> None:
        earned, self._useful = self._useful, 0
        if not self._nuisance.spend(self._now, earned=earned):
            raise _Fault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {by}")

    def _count_reset(self) -> None:
        if not self._resets.spend(self._now):
            raise _Fault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")

    def _fail(self, fault: _Fault) -> None:
        self.failed = True
        self.going_away = True
        self.out.append(frames.goaway_frame(self._last_peer_stream, fault.code, fault.why.encode()))
        self._events.append(ConnectionFailed(fault.code, fault.why))
