# SPDX-License-Identifier: Apache-2.0
"""One stream's state: who may still send, what the windows allow, what waits for the window. Pure.

RFC 9113 section 5.1, without push (no ``reserved``), with *idle* and *closed* told by the stream's
number instead of by an object:

    event            OPEN          HALF_LOCAL    HALF_REMOTE
    we end           HALF_LOCAL    -             CLOSED
    the peer ends    HALF_REMOTE   CLOSED        -  (a frame of the peer is STREAM_CLOSED)
    RST_STREAM       CLOSED        CLOSED        CLOSED

The sentences behind it: to what comes in HALF_REMOTE, but for WINDOW_UPDATE, PRIORITY and RST_STREAM, an
endpoint "MUST respond with a stream error ... of type STREAM_CLOSED"; HALF_LOCAL "cannot be used for
sending frames other than WINDOW_UPDATE, PRIORITY, and RST_STREAM"; "An endpoint MUST NOT send frames
other than PRIORITY on a closed stream".
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final

from wire.h2.headers import Headers


class StreamState(Enum):
    """Which halves are still open."""

    OPEN = auto()
    HALF_LOCAL = auto()
    """We have ended our half."""
    HALF_REMOTE = auto()
    """The peer has ended its half."""
    CLOSED = auto()


_WE_END: Final = {
    StreamState.OPEN: StreamState.HALF_LOCAL,
    StreamState.HALF_REMOTE: StreamState.CLOSED,
}
_PEER_ENDS: Final = {
    StreamState.OPEN: StreamState.HALF_REMOTE,
    StreamState.HALF_LOCAL: StreamState.CLOSED,
}


class Stream:
    """A stream that is not closed. ``tail`` is how our half will end once ``pending`` is sent."""

    __slots__ = (
        "answered",
        "body_left",
        "number",
        "pending",
        "pending_size",
        "recv_window",
        "send_window",
        "state",
        "tail",
        "uncredited",
    )

    def __init__(self, number: int, *, send_window: int, recv_window: int) -> None:
        self.number = number
        self.state = StreamState.OPEN
        self.send_window = send_window
        self.recv_window = recv_window
        self.uncredited = 0
        self.pending: deque[memoryview] = deque()
        self.pending_size = 0
        self.tail: Headers | None = None
        self.answered = False
        """Client: the final response headers are in, so that the next header list is trailers."""
        self.body_left: int | None = None
        """Bytes that content-length still promises; None without one."""

    def we_end(self) -> None:
        self.state = _WE_END[self.state]

    def peer_ends(self) -> None:
        self.state = _PEER_ENDS[self.state]

    @property
    def may_send(self) -> bool:
        return self.tail is None and (
            self.state is StreamState.OPEN or self.state is StreamState.HALF_REMOTE
        )

    @property
    def peer_may_send(self) -> bool:
        return self.state is StreamState.OPEN or self.state is StreamState.HALF_LOCAL
