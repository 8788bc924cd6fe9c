# SPDX-License-Identifier: Apache-2.0
"""Judges what the machine wrote, with eyes that are not its own: ``hyperframe`` cuts, ``hpack`` decodes.

Knows the bytes that the machine was given only as far as they bind it: the peer's settings, in the order in which
they are acknowledged, and the windows that the peer opened, as an upper bound.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

OUR_BODY = b"d"
"""All that the owner's bodies consist of."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME_SIZE = 16_384
DEFAULT_TABLE = 4096
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 4, 5


@dataclass(slots=True)
class Allowed:
    """What the peer's bytes, read to their end, allow us at most."""

    settings: list[dict[int, int]] = field(default_factory=list)
    """One for each SETTINGS frame that asks for an acknowledgement."""
    windows: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Sums of WINDOW_UPDATE by stream."""
    opened: set[int] = field(default_factory=set)
    """Streams that the peer's frames name, the last frame's too if it is not whole."""

    first_windows: dict[int, int] = field(default_factory=dict)
    """By stream: the largest INITIAL_WINDOW_SIZE from its first frame on."""
    largest_first_window: int = DEFAULT_WINDOW

    def window(self, stream: int) -> int:
        """What may be sent on a stream in all."""
        first = self.first_windows.get(stream, self.largest_first_window)
        return first + self.windows[stream]


def raw_frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each whole frame."""
    at = 0
    while len(data) - at >= 9:
        high, low, kind, flags, stream = struct.unpack_from(">BHBBL", data, at)
        stop = at + 9 + (high << 16 | low)
        if stop > len(data):
            return
        yield kind, flags, stream & 0x7FFF_FFFF, data[at + 9 : stop]
        at = stop


def allowed_by(given: bytes) -> Allowed:
    """Read the peer's bytes, however wrong they are later."""
    found, body, at, first = Allowed(), given.removeprefix(PREFACE), 0, DEFAULT_WINDOW
    for kind, flags, stream, payload in raw_frames(body):
        at += 9 + len(payload)
        found.first_windows.setdefault(stream, first)
        found.opened.add(stream)
        if kind == 4 and not flags & 1:
            whole = payload[: len(payload) // 6 * 6]
            pairs = list(struct.iter_unpack(">HL", whole))
            found.settings.append(dict(pairs))
            for first in (value for key, value in pairs if key == INITIAL_WINDOW_SIZE):
                found.largest_first_window = max(found.largest_first_window, first)
                for known, most in found.first_windows.items():
                    found.first_windows[known] = max(most, first)
        elif kind == 8 and len(payload) == 4:
            found.windows[stream] += int.from_bytes(payload, "big") & 0x7FFF_FFFF
    if len(body) - at >= 9:
        found.opened.add(int.from_bytes(body[at + 5 : at + 9], "big") & 0x7FFF_FFFF)
    return found


def judge(wrote: bytes, allowed: Allowed, *, client: bool) -> None:
    """Raises AssertionError for what no peer would have to take."""
    if client:
        assert wrote.startswith(PREFACE)
        wrote = wrote[len(PREFACE) :]
    if client:  # our own streams are older than what the peer says of them
        allowed.first_windows.clear()
    reader = _Reader(allowed, client=client)
    view, at = memoryview(wrote), 0
    while at < len(view):
        frame, length = Frame.parse_frame_header(view[at : at + 9], strict=True)
        assert at + 9 + length <= len(view), "half a frame"
        frame.parse_body(view[at + 9 : at + 9 + length])
        reader.take(frame, length)
        at += 9 + length
    assert reader.block is None, "half a header block"


class _Reader:
    """A peer that believes nothing."""

    def __init__(self, allowed: Allowed, *, client: bool) -> None:
        self.block: bytearray | None = None
        self._allowed = allowed
        self._client = client
        self._hpack = hpack.Decoder(max_header_list_size=1 << 20)
        self._max_frame = DEFAULT_FRAME_SIZE
        self._acks = 0
        self._sent: dict[int, int] = defaultdict(int)
        self._ended: set[int] = set()
        self._reset: set[int] = set()
        self._last_stream = 2**31 - 1
        self._first = True

    def take(self, frame: Frame, length: int) -> None:
        assert length <= self._max_frame
        assert not self._first or isinstance(frame, SettingsFrame), "the first frame is SETTINGS"
        self._first = False
        if self.block is not None:
            assert isinstance(frame, ContinuationFrame), "an interrupted header block"
        match frame:
            case HeadersFrame() | ContinuationFrame():
                self._take_block(frame)
            case DataFrame():
                self._take_data(frame, length)
            case SettingsFrame():
                self._take_settings(frame)
            case RstStreamFrame():
                assert frame.stream_id in self._allowed.opened or self._client, "an idle stream"
                self._reset.add(frame.stream_id)
            case WindowUpdateFrame():
                assert frame.stream_id not in self._reset
            case GoAwayFrame():
                assert frame.last_stream_id <= self._last_stream, "GOAWAY may not rise (6.8)"
                self._last_stream = frame.last_stream_id
            case PingFrame():
                pass
            case _:
                raise AssertionError(f"we never send {type(frame).__name__}")

    def _check_open(self, stream: int) -> None:
        assert stream not in self._reset, "a frame after RST_STREAM"
        assert stream not in self._ended, "a frame after END_STREAM"
        assert self._client or stream in self._allowed.opened, "a stream that nobody opened"

    def _take_block(self, frame: HeadersFrame | ContinuationFrame) -> None:
        if isinstance(frame, HeadersFrame):
            self._check_open(frame.stream_id)
            self.block = bytearray()
            if "END_STREAM" in frame.flags:
                self._ended.add(frame.stream_id)
        assert self.block is not None, "CONTINUATION without HEADERS"
        self.block += frame.data
        if "END_HEADERS" in frame.flags:
            self._hpack.decode(bytes(self.block))
            self.block = None

    def _take_data(self, frame: DataFrame, length: int) -> None:
        number = frame.stream_id
        self._check_open(number)
        assert not frame.data.strip(OUR_BODY), "bytes that the owner did not send"
        self._sent[number] += length
        if "END_STREAM" in frame.flags:
            self._ended.add(number)
        assert self._sent[number] <= self._allowed.window(number)
        assert sum(self._sent.values()) <= DEFAULT_WINDOW + self._allowed.windows[0]

    def _take_settings(self, frame: SettingsFrame) -> None:
        if "ACK" not in frame.flags:
            return
        known = self._allowed.settings[self._acks]
        self._acks += 1
        self._max_frame = known.get(MAX_FRAME_SIZE, self._max_frame)
        self._hpack.max_allowed_table_size = known.get(
            HEADER_TABLE_SIZE, self._hpack.max_allowed_table_size
        )
