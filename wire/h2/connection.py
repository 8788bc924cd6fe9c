# SPDX-License-Identifier: Apache-2.0
"""One HTTP/2 connection for gRPC, either side: bytes in, events and bytes out. Pure.

Answers to RFC 9113; section numbers stand at the rules. No sockets, no clocks, no tasks. Below it:
``walk`` cuts bytes into frames, ``blocks`` decodes field blocks, ``outbound`` queues and obeys the
peer's windows, ``stream`` is the table of section 5.1. Here: which stream a frame belongs to, whether
it may come now, and what the owner hears.

Faults. ``ConnectionFault`` ends the connection (5.4.1), ``StreamFault`` one stream (5.4.2). Both are
raised inside and leave as events; no exception leaves this module for what a peer did. A stream fault
on an idle stream ends the connection, since "RST_STREAM frames MUST NOT be sent for a stream in the
'idle' state" (6.4).

Windows. The connection's window is given back as bytes arrive, a stream's when the owner says so
(``credit``): a stream whose owner does not take is stopped by its own window and stops no other.

The connection. ``walk`` holds back everything before the preface is whole (3.4); then it is

    state      told by               the peer's new streams    ends with
    greeting   not ``ready``         -  (SETTINGS only)        the peer's first SETTINGS (3.4)
    open       ``ready``             taken                     ``leave``, ``go_away``, a fault
    leaving    ``Leaving.ANNOUNCED`` taken: they were under    the answer to our PING (6.8)
                                     way
    gone       ``Leaving.GONE``      decoded and ignored       its owner: the last stream is over
    failed     ``failed``            not looked at             its owner: GOAWAY is sent (5.4.1)

and, beside these, ``peer_going_away``: "Receivers of a GOAWAY frame MUST NOT open additional streams on
the connection" (6.8). What the peer's GOAWAY disowns was not processed; its last stream may only fall,
since the peer's word was perhaps acted on ("Endpoints MUST NOT increase the value", 6.8).

A frame of a stream without an object, told by its number (5.1.1) and ``_lately_closed``:

    number              PRIORITY  WINDOW_UPDATE  RST_STREAM  DATA            HEADERS
    never used: idle    ignored   connection     connection  connection      opens it, or connection
    ended by both       ignored   ignored        ignored     STREAM_CLOSED   connection STREAM_CLOSED
    reset by us         ignored   ignored        ignored     thrown away     thrown away
    closed long ago     ignored   ignored        ignored     STREAM_CLOSED   connection

Floods. What costs us and carries nothing is counted (``Budget``): frames of that kind against useful
ones, WINDOW_UPDATE against the DATA that we sent, resets against time, and answers that the peer does
not read against ``Limits.max_unread`` (10.5: "An endpoint MAY treat activity that is suspicious as a
connection error ... of type ENHANCE_YOUR_CALM").

Leaving (6.8), graceful on a server: ``leave`` sends GOAWAY with 2^31-1 and a PING; requests under way
are still taken; the PING's answer shows that the client has read it, and the real last stream is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

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
    TrailersReceived,
    Writable,
)
from wire.h2.faults import ConnectionFault, StreamFault
from wire.h2.frames import ErrorCode, Setting
from wire.h2.headers import (
    Headers,
    content_length,
    request_fault,
    response_fault,
    trailers_fault,
)
from wire.h2.limits import Limits
from wire.h2.outbound import Buffer, Outbound
from wire.h2.stream import Stream, StreamState
from wire.h2.walk import FrameWalk

REMEMBERED_STREAMS: Final = 512
"""Streams that closed lately and on which frames may still be under way (5.1, closed)."""
FAREWELL: Final = b"farewell"
"""The PING that follows a graceful GOAWAY."""


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


class Leaving(Enum):
    """How far we are with leaving."""

    NO = auto()
    ANNOUNCED = auto()
    """The client was told; what it had sent by then is still taken."""
    GONE = auto()
    """The last stream was told: the peer's new streams are ignored (6.8)."""


class H2Connection(FrameWalk):
    """See the module docstring. ``start`` first, then ``receive`` and the verbs in any order."""

    def __init__(self, side: Side, limits: Limits) -> None:
        super().__init__(limits, preface=frames.PREFACE if side is Side.SERVER else b"")
        self.side = side
        self.failed = False
        self.peer_going_away = False
        self._outbound = Outbound()
        self.out = self._outbound.out
        self._streams: dict[int, Stream] = {}
        self._lately_closed: dict[int, Closing] = {}
        self._last_peer_stream = 0
        """The last that we took: what GOAWAY tells."""
        self._highest_seen = 0
        """The last that the peer used: below it nothing is idle."""
        self._next_stream = 1 if side is Side.CLIENT else 2
        self._peer_streams = frames.MAX_WINDOW
        self._peer_last_stream = frames.STREAM_MASK
        """What the peer's last GOAWAY told."""
        self._leaving = Leaving.NO
        self._recv_window = limits.connection_window
        self._recv_uncredited = 0
        self._stream_window = max(limits.stream_window, frames.DEFAULT_WINDOW)
        """A new stream's; ours counts once the peer acknowledged it (6.9.2)."""
        self._nuisance = Budget(burst=1000, rate=100)
        self._resets = Budget(burst=200 + 2 * limits.max_streams, rate=100)
        self._updates = Budget(burst=2000, rate=100, saved=100_000)
        self._useful = 0
        self._now = 0.0
        self._events: list[Event] = []
        self._data_stream: Stream | None = None
        self._data_ends = False

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
            self._outbound.say(frames.PREFACE)
            del settings[Setting.MAX_CONCURRENT_STREAMS]  # no server opens streams to us
            settings[Setting.ENABLE_PUSH] = 0
        self._outbound.say(frames.settings_frame(settings))
        more = self._limits.connection_window - frames.DEFAULT_WINDOW
        if more > 0:
            self._outbound.say(frames.window_frame(0, more))

    @property
    def ready(self) -> bool:
        """The peer's SETTINGS are in."""
        return self._seen_settings

    @property
    def going_away(self) -> bool:
        """The peer was told to open no more streams."""
        return self._leaving is not Leaving.NO

    @property
    def gone(self) -> bool:
        """No stream of the peer can begin any more."""
        return self._leaving is Leaving.GONE

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    @property
    def may_open(self) -> bool:
        """Client: the peer would take one more stream."""
        return (
            not (self.failed or self.peer_going_away or self.going_away)
            and len(self._streams) < self._peer_streams
            and self._next_stream <= frames.STREAM_MASK
        )

    def open_stream(self, headers: Headers) -> int:
        """Client: begin a stream with its request headers. Check ``may_open`` first."""
        number = self._next_stream
        self._next_stream += 2
        self._streams[number] = self._new_stream(number)
        self._outbound.headers(number, headers, ended=False)
        return number

    def send_headers(self, number: int, headers: Headers) -> None:
        """Server: the response's first headers. Nothing happens where the stream is gone."""
        if number in self._streams:
            self._outbound.headers(number, headers, ended=False)

    def send_data(self, number: int, pieces: Sequence[Buffer], size: int) -> None:
        """Send ``size`` bytes of body. Nothing happens where the stream is gone or ended."""
        stream = self._streams.get(number)
        if stream is not None and stream.may_send:
            self._outbound.data(stream, pieces, size)

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
            self._outbound.say(frames.window_frame(number, stream.uncredited))
            stream.recv_window += stream.uncredited
            stream.uncredited = 0

    def backlog(self, number: int) -> int:
        """Bytes of a stream that wait for the peer's window."""
        stream = self._streams.get(number)
        return stream.pending_size if stream else 0

    @property
    def queued(self) -> int:
        """Bytes of DATA in ``out``, of all streams."""
        return self._outbound.queued

    def is_open(self, number: int) -> bool:
        return number in self._streams

    def ping(self, payload: bytes) -> None:
        """Ask for a PING answer; 8 bytes come back in ``Pong``."""
        self._outbound.say(frames.ping_frame(payload))

    def leave(self) -> None:
        """Ask the peer to open no more streams; those that run, or are under way, go on (6.8)."""
        if self.side is Side.CLIENT or not self._seen_settings:
            self.go_away()
        elif self._leaving is Leaving.NO:
            self._leaving = Leaving.ANNOUNCED
            self._outbound.say(frames.goaway_frame(frames.STREAM_MASK, ErrorCode.NO_ERROR))
            self.ping(FAREWELL)

    def go_away(self, code: ErrorCode = ErrorCode.NO_ERROR, debug: str = "") -> None:
        """Take no new streams from now on; those that run go on (6.8)."""
        self._leaving = Leaving.GONE
        self._outbound.say(frames.goaway_frame(self._last_peer_stream, code, debug.encode()))

    def flushed(self, left: int) -> None:
        """The owner took ``out``, and ``left`` bytes of it were not sent yet."""
        self._outbound.queued = 0
        self._outbound.unread = min(self._outbound.unread, left)

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
            if self._outbound.unread > self._limits.max_unread:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "our answers are not read")
            self._walk(data)
        except ConnectionFault as fault:
            self._fail(fault)
        return events

    # ---- DATA (6.1) ----

    def _begin_data(self, length: int, flags: int, number: int) -> None:
        self._take_connection_window(length)
        self._data_ends = bool(flags & frames.END_STREAM)
        self._data_stream = self._data_receiver(number, length)

    def _take_connection_window(self, length: int) -> None:
        self._recv_window -= length
        if self._recv_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window (6.9.1)")
        self._recv_uncredited += length
        if self._recv_uncredited * 4 >= self._limits.connection_window:
            self._outbound.say(frames.window_frame(0, self._recv_uncredited))
            self._recv_window += self._recv_uncredited
            self._recv_uncredited = 0

    def _data_receiver(self, number: int, length: int) -> Stream | None:
        """The stream that gets the payload; None where it is thrown away."""
        stream = self._streams.get(number)
        if stream is None:
            self._check_known(number, "DATA")
            if self._lately_closed.get(number) is not Closing.RESET_BY_US:
                self._annoyed("DATA frames on closed streams")
                self._remember(number, Closing.RESET_BY_US)
                self._outbound.say(frames.reset_frame(number, ErrorCode.STREAM_CLOSED))
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

    def _take_padding(self, size: int) -> None:
        if self._data_stream is not None:  # nobody else will take it
            self.credit(self._data_stream.number, size)

    def _take_data(self, piece: memoryview) -> None:
        stream = self._data_stream
        if stream is None:
            return
        self._useful += 1
        if stream.body_left is not None:
            stream.body_left -= len(piece)
        self._events.append(DataReceived(stream.number, piece))

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
                    self._on_continuation(flags, payload)
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
                    raise ConnectionFault(
                        ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE without ENABLE_PUSH (6.6)"
                    )
        except StreamFault as fault:
            self._break_stream(fault.stream, fault.code, fault.why)

    # ---- field blocks (6.2, 6.10, 8.1) ----

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        if stream == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0 (6.2)")
        headers = self._blocks.begin(flags, stream, payload)
        if headers is not None:
            self._on_block(stream, headers)

    def _on_continuation(self, flags: int, payload: bytes) -> None:
        if not flags & frames.END_HEADERS:  # three are enough for the longest block that we take
            self._annoyed("CONTINUATION frames")
        headers = self._blocks.go_on(flags, payload)
        if headers is not None:
            self._on_block(self._blocks.stream, headers)

    def _on_block(self, number: int, headers: Headers) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            self._on_more_headers(stream, headers)
        elif self.side is Side.SERVER and number > self._highest_seen:
            self._on_request(number, headers)
        else:
            self._check_known(number, "HEADERS")
            self._refuse_late_headers(number)

    def _refuse_late_headers(self, number: int) -> None:
        """A stream that was used and ended is *closed*; one that was skipped was never to be used."""
        match self._lately_closed.get(number):
            case None:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "stream numbers must rise (5.1.1)")
            case Closing.ENDED:
                raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream (5.1)")
            case Closing.RESET_BY_US:  # they were under way when we reset
                self._annoyed("HEADERS on streams that were reset")

    def _on_request(self, number: int, headers: Headers) -> None:
        if number % 2 == 0:
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, "a client's stream has an odd number (5.1.1)"
            )
        self._highest_seen = number
        if self._leaving is Leaving.GONE:  # the peer knows from GOAWAY that we do not look at it
            self._annoyed("requests after GOAWAY")
            self._remember(number, Closing.RESET_BY_US)
            return
        self._last_peer_stream = number
        if len(self._streams) >= self._limits.max_streams:
            self._remember(number, Closing.RESET_BY_US)
            self._outbound.say(frames.reset_frame(number, ErrorCode.REFUSED_STREAM))
            self._count_reset()
            return
        stream = self._streams[number] = self._new_stream(number)
        why = request_fault(headers)
        if self._blocks.self_dependent:
            why = "a stream that depends on itself (RFC 7540 5.3.1)"
        if why:
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, why)
        self._useful += 1
        self._begin_body(stream, headers)  # what follows can only be trailers

    def _on_more_headers(self, stream: Stream, headers: Headers) -> None:
        """A response, or trailers, on a stream that is open."""
        number = stream.number
        if not stream.peer_may_send:
            raise StreamFault(number, ErrorCode.STREAM_CLOSED, "HEADERS after the end (5.1)")
        if stream.answered:
            self._on_trailers(stream, headers)
            return
        if why := response_fault(headers):
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, why)
        if dict(headers)[":status"].startswith("1"):
            if self._blocks.ends:
                raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, "an end without a response")
            self._annoyed("interim responses")
            return
        self._begin_body(stream, headers)

    def _begin_body(self, stream: Stream, headers: Headers) -> None:
        stream.answered = True
        stream.body_left = content_length(headers)
        if stream.body_left == -1 or (self._blocks.ends and stream.body_left):
            why = "body and content-length differ (8.1.1)"
            raise StreamFault(stream.number, ErrorCode.PROTOCOL_ERROR, why)
        self._events.append(HeadersReceived(stream.number, headers, self._blocks.ends))
        if self._blocks.ends:
            self._peer_ends(stream)

    def _on_trailers(self, stream: Stream, headers: Headers) -> None:
        why = trailers_fault(headers)
        if not self._blocks.ends:
            why = "trailers that do not end the stream (8.1)"
        if stream.body_left:
            why = "body and content-length differ (8.1.1)"
        if why:
            raise StreamFault(stream.number, ErrorCode.PROTOCOL_ERROR, why)
        self._events.append(TrailersReceived(stream.number, headers))
        self._peer_ends(stream)

    # ---- control frames ----

    def _on_priority(self, stream: int, payload: bytes) -> None:
        """Priorities are checked and otherwise ignored (5.3.2)."""
        self._annoyed("PRIORITY frames")
        if stream == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0 (6.3)")
        if len(payload) != 5:
            raise StreamFault(stream, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong size (6.3)")
        if frames.unpack_u32(payload) & frames.STREAM_MASK == stream:
            why = "a stream that depends on itself (RFC 7540 5.3.1)"
            raise StreamFault(stream, ErrorCode.PROTOCOL_ERROR, why)

    def _on_reset(self, number: int, payload: bytes) -> None:
        if number == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on stream 0 (6.4)")
        stream = self._streams.get(number)
        if stream is None:
            self._check_known(number, "RST_STREAM")
            self._annoyed("RST_STREAM frames on closed streams")
            self._remember(number, Closing.ENDED)  # where we reset it too, nothing is under way now
            return
        code = ErrorCode.of(frames.unpack_u32(payload))
        self._forget(stream)
        self._events.append(StreamReset(number, code, by_peer=True, why=""))
        if self.side is Side.SERVER:
            self._count_reset()

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream (6.5)")
        if flags & frames.ACK:
            self._annoyed("SETTINGS frames")
            self._on_our_settings_known()
            return
        if not self._seen_settings:
            self._seen_settings = True
            self._events.append(SettingsReceived())
        else:
            self._annoyed("SETTINGS frames")
        for key, value in frames.unpack_settings(payload):
            self._on_setting(key, value)
        self._outbound.say(frames.SETTINGS_ACK)
        self._resume_all()

    def _on_our_settings_known(self) -> None:
        """Until now the peer could send by the default window, if ours is smaller (6.9.2)."""
        change = self._limits.stream_window - self._stream_window
        self._stream_window += change
        if change:
            for stream in self._streams.values():
                stream.recv_window += change

    def _on_setting(self, key: int, value: int) -> None:
        match key:
            case Setting.HEADER_TABLE_SIZE:
                self._outbound.set_table_size(value)
            case Setting.ENABLE_PUSH if value > 1 or (value and self.side is Side.CLIENT):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH={value} (6.5.2)")
            case Setting.MAX_CONCURRENT_STREAMS:
                self._peer_streams = value
            case Setting.INITIAL_WINDOW_SIZE:
                self._outbound.set_initial_window(value, list(self._streams.values()))
            case Setting.MAX_FRAME_SIZE:
                self._outbound.set_max_frame(value)
            case _:  # unknown or of no use to us
                pass

    def _on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream (6.7)")
        self._annoyed("PING frames")
        if not flags & frames.ACK:
            self._outbound.say(frames.ping_frame(payload, ack=True))
        elif payload == FAREWELL and self._leaving is Leaving.ANNOUNCED:
            self.go_away()
        else:
            self._events.append(Pong(payload))

    def _on_goaway(self, stream: int, payload: bytes) -> None:
        if stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream (6.8)")
        self._annoyed("GOAWAY frames")
        last, code, debug = frames.unpack_goaway(payload)
        if last > self._peer_last_stream:  # what it disowned was perhaps sent elsewhere by now
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a last stream that rises (6.8)")
        self._peer_last_stream = last
        self.peer_going_away = True
        self._events.append(GoAwayReceived(last, code, debug))
        if self.side is Side.CLIENT:
            for number in [n for n in self._streams if n > last]:
                self._forget(self._streams[number])
                why = "not processed before GOAWAY"
                refused = StreamReset(number, ErrorCode.REFUSED_STREAM, by_peer=True, why=why)
                self._events.append(refused)

    def _on_window(self, number: int, payload: bytes) -> None:
        self._count_update()
        increment = frames.unpack_u32(payload) & frames.STREAM_MASK
        if number == 0:
            self._outbound.grow(increment)
            self._resume_all()
            return
        stream = self._streams.get(number)
        if stream is None:
            self._check_known(number, "WINDOW_UPDATE")
            return
        if increment == 0:
            raise StreamFault(number, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 (6.9)")
        stream.send_window += increment
        if stream.send_window > frames.MAX_WINDOW:
            why = "a window above 2^31-1 (6.9.1)"
            raise StreamFault(number, ErrorCode.FLOW_CONTROL_ERROR, why)
        if self._outbound.resume(stream):
            self._all_sent(stream)

    # ---- ends ----

    def _new_stream(self, number: int) -> Stream:
        return Stream(
            number, send_window=self._outbound.initial_window, recv_window=self._stream_window
        )

    def _resume_all(self) -> None:
        for stream in self._outbound.resume_all():
            self._all_sent(stream)

    def _all_sent(self, stream: Stream) -> None:
        """Nothing of the stream waits for a window any more."""
        if stream.tail is not None:
            self._send_tail(stream)
        else:
            self._events.append(Writable(stream.number))

    def _send_tail(self, stream: Stream) -> None:
        if stream.tail:
            self._outbound.headers(stream.number, stream.tail, ended=True)
        else:
            self._outbound.end(stream.number)
        stream.we_end()
        if stream.state is StreamState.CLOSED:
            self._forget(stream)
        elif self.side is Side.SERVER:
            # the answer is complete: ask the client to stop sending (8.1)
            self._reset(stream.number, ErrorCode.NO_ERROR)

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
        self._outbound.forget(stream)
        self._streams.pop(stream.number, None)
        self._remember(stream.number, Closing.ENDED)

    def _reset(self, number: int, code: ErrorCode) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            self._forget(stream)
        self._remember(number, Closing.RESET_BY_US)
        self._outbound.say(frames.reset_frame(number, code))

    def _remember(self, number: int, how: Closing) -> None:
        self._lately_closed[number] = how
        if len(self._lately_closed) > REMEMBERED_STREAMS:
            del self._lately_closed[next(iter(self._lately_closed))]

    # ---- faults ----

    def _break_stream(self, number: int, code: ErrorCode, why: str) -> None:
        if self._is_idle(number):
            raise ConnectionFault(code, why)
        known = number in self._streams
        self._reset(number, code)
        if known:
            self._events.append(StreamReset(number, code, by_peer=False, why=why))
        if self.side is Side.SERVER:
            self._count_reset()

    def _is_idle(self, number: int) -> bool:
        ours = (number % 2 == 1) == (self.side is Side.CLIENT)
        return number >= self._next_stream if ours else number > self._highest_seen

    def _check_known(self, number: int, what: str) -> None:
        """A stream without an object is closed or idle; on an idle one nothing may come (5.1)."""
        if self._is_idle(number):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{what} on an idle stream (5.1)")

    def _annoyed(self, by: str) -> None:
        earned, self._useful = self._useful, 0
        if not self._nuisance.spend(self._now, earned=earned):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {by}")

    def _count_update(self) -> None:
        earned, self._outbound.paid = self._outbound.paid, 0
        if not self._updates.spend(self._now, earned=earned):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many WINDOW_UPDATE frames")

    def _count_reset(self) -> None:
        if not self._resets.spend(self._now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")

    def _fail(self, fault: ConnectionFault) -> None:
        self.failed = True
        self.go_away(fault.code, fault.why)
        self._events.append(ConnectionFailed(fault.code, fault.why))
