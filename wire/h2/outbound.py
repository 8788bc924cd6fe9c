# SPDX-License-Identifier: Apache-2.0
"""What goes to the peer: the queue, the peer's limits, and what waits for its windows. Pure.

``out`` is the list of buffers to send, in order. DATA may be views of the caller's memory: the caller
sends or copies them before that memory changes. What the peer's window forbids is kept in
``Stream.pending`` (``bytes`` as they are, views as copies).

RFC 9113 section 6.9.1: "The sender MUST NOT send a flow-controlled frame with a length that exceeds
the space available in either of the flow-control windows advertised by the receiver." A window may be
negative after a smaller SETTINGS_INITIAL_WINDOW_SIZE (6.9.2): then nothing is sent until it is not.

Streams that wait for the connection's window take turns: who sent goes to the end of the line.
"""

from __future__ import annotations

from collections.abc import Sequence

from wire.h2 import frames
from wire.h2.blocks import BlockWriter
from wire.h2.faults import ConnectionFault
from wire.h2.frames import ErrorCode
from wire.h2.headers import Headers
from wire.h2.stream import Stream

Buffer = bytes | memoryview


class Outbound:
    """The sending half of a connection."""

    __slots__ = (
        "_blocked",
        "_blocks",
        "_window",
        "initial_window",
        "max_frame",
        "out",
        "paid",
        "queued",
        "unread",
    )

    def __init__(self) -> None:
        self.out: list[Buffer] = []
        self.unread = 0
        """Bytes of everything but DATA that were queued and, as far as we know, not sent."""
        self.queued = 0
        """Bytes of DATA in ``out`` that its owner did not take yet."""
        self.paid = 0
        """WINDOW_UPDATE frames that our DATA entitles the peer to; taken by who counts them."""
        self.initial_window = frames.DEFAULT_WINDOW
        self.max_frame = frames.DEFAULT_FRAME_SIZE
        self._window = frames.DEFAULT_WINDOW
        self._blocks = BlockWriter()
        self._blocked: dict[int, Stream] = {}

    # ---- frames without flow control ----

    def say(self, frame: bytes) -> None:
        self.out.append(frame)
        self.unread += len(frame)

    def headers(self, number: int, headers: Headers, *, ended: bool) -> None:
        block = self._blocks.encode(headers)
        self.say(frames.header_frames(number, block, self.max_frame, end_stream=ended))

    def end(self, number: int) -> None:
        """An empty DATA frame that ends the stream; not subject to flow control (6.9.1)."""
        self.say(frames.pack_header(0, frames.DATA, frames.END_STREAM, number))

    # ---- DATA ----

    def data(self, stream: Stream, pieces: Sequence[Buffer], size: int) -> None:
        """Send what the windows allow, keep the rest."""
        if not stream.pending and size <= self._room(stream):
            self._send(stream, pieces, size)
            return
        for piece in pieces:
            self._send_or_keep(stream, piece)

    def _room(self, stream: Stream) -> int:
        """Bytes that may go into one DATA frame now."""
        return min(stream.send_window, self._window, self.max_frame)

    def _send(self, stream: Stream, pieces: Sequence[Buffer], size: int) -> None:
        stream.send_window -= size
        self._window -= size
        self.queued += size
        self.paid += 10 + (size >> 10)
        self.out.append(frames.pack_header(size, frames.DATA, 0, stream.number))
        self.out.extend(pieces)

    def _send_or_keep(self, stream: Stream, piece: Buffer) -> None:
        view = memoryview(piece)
        at, end = 0, len(view)
        while at < end and not stream.pending and (room := self._room(stream)) > 0:
            part = view[at : at + room]
            self._send(stream, (part,), len(part))
            at += len(part)
        if at < end:
            rest = view[at:]  # bytes do not change, so they need no copy
            stream.pending.append(rest if isinstance(piece, bytes) else memoryview(bytes(rest)))
            stream.pending_size += end - at
            self._blocked[stream.number] = stream

    def resume(self, stream: Stream) -> bool:
        """The windows may have grown. True where nothing of the stream waits any more."""
        if not stream.pending:
            return False
        while stream.pending and (room := self._room(stream)) > 0:
            head = stream.pending.popleft()
            if len(head) > room:
                stream.pending.appendleft(head[room:])
                head = head[:room]
            stream.pending_size -= len(head)
            self._send(stream, (head,), len(head))
        self._blocked.pop(stream.number, None)
        if stream.pending:
            self._blocked[stream.number] = stream  # behind those that wait, too
            return False
        return True

    def resume_all(self) -> list[Stream]:
        """The same for all that wait; gives those of which nothing waits any more."""
        done = []
        for stream in list(self._blocked.values()):
            if self._window <= 0:
                break
            if stream.send_window > 0 and self.resume(stream):
                done.append(stream)
        return done

    def forget(self, stream: Stream) -> None:
        """The stream is over: what waits will not be sent."""
        stream.pending.clear()
        stream.pending_size = 0
        self._blocked.pop(stream.number, None)

    # ---- what the peer allows ----

    def grow(self, increment: int) -> None:
        """WINDOW_UPDATE on stream 0 (6.9)."""
        if increment == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 (6.9)")
        self._window += increment
        if self._window > frames.MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1 (6.9.1)")

    def set_table_size(self, value: int) -> None:
        self._blocks.set_table_size(value)

    def set_max_frame(self, value: int) -> None:
        if not frames.DEFAULT_FRAME_SIZE <= value <= frames.MAX_FRAME_SIZE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"MAX_FRAME_SIZE={value} (6.5.2)")
        self.max_frame = value

    def set_initial_window(self, value: int, streams: Sequence[Stream]) -> None:
        """Open streams' windows change by the difference (6.9.2)."""
        if value > frames.MAX_WINDOW:
            raise ConnectionFault(
                ErrorCode.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE={value} (6.5.2)"
            )
        change = value - self.initial_window
        self.initial_window = value
        for stream in streams:
            stream.send_window += change
            if stream.send_window > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1 (6.9.2)")
