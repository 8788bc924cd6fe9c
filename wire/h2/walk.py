# SPDX-License-Identifier: Apache-2.0
"""Cuts the peer's bytes into frames and judges what a frame says about itself. Pure; knows no streams.

A DATA frame is never put together: its payload is handed on in the pieces in which it came, as views
of the caller's buffer, so a frame of any size costs no memory and no copy. All other frames are small
and are completed in ``_held`` if they come in parts; their size is judged by their header, before a
byte of them is kept. What the walk is in the middle of, and what ends that:

    state      holds                                ends with
    preface    ``_preface_left`` (server only)      the 24 octets of section 3.4, all as written there
    between    nothing                              nine octets of a frame header
    held       ``_held``, header or whole frame     the frame's last octet
    padding?   ``_pad_unknown``                     the pad length octet of a padded DATA frame (6.1)
    data       ``_data_left``                       the frame's last octet, padding included
    skipping   ``_skip_left``                       the last octet of a frame of unknown type (4.1, 5.5)

The sentences judged here: "An endpoint MUST send an error code of FRAME_SIZE_ERROR if a frame exceeds
the size defined in SETTINGS_MAX_FRAME_SIZE, exceeds any limit defined for the frame type, or is too
small to contain mandatory frame data" (4.2); "Field blocks MUST be transmitted as a contiguous
sequence of frames, with no interleaved frames of any other type or from any other stream" (4.3); the
preface "MUST be followed by a SETTINGS frame" (3.4); "If the length of the padding is the length of
the frame payload or greater ... PROTOCOL_ERROR" (6.1).
"""

from __future__ import annotations

from typing import Final

from wire.h2 import frames
from wire.h2.blocks import BlockReader
from wire.h2.faults import ConnectionFault
from wire.h2.frames import ErrorCode
from wire.h2.limits import Limits

MAX_CONTROL_FRAME: Final = 16_384
"""Frames other than DATA and HEADERS are never near this."""
MAX_SETTINGS: Final = 64
"""Entries of one SETTINGS frame: seven are defined, a thousand are an attack on who applies them."""

_EXACT_SIZE: Final = {frames.RST_STREAM: 4, frames.WINDOW_UPDATE: 4, frames.PING: 8}


class FrameWalk:
    """The base of ``H2Connection``, which gives meaning to what this cuts."""

    def __init__(self, limits: Limits, *, preface: bytes) -> None:
        self._limits = limits
        self._blocks = BlockReader(limits.max_header_list)
        self._preface_left = preface
        self._seen_settings = False
        self._held = bytearray()
        self._data_left = 0
        self._pad_left = 0
        self._pad_unknown = False
        self._skip_left = 0

    # ---- what the connection does with it ----

    def _begin_data(self, length: int, flags: int, number: int) -> None:
        """A DATA frame begins; ``length`` counts its padding."""
        raise NotImplementedError

    def _take_padding(self, size: int) -> None:
        """So much of the frame is padding, its length octet included."""
        raise NotImplementedError

    def _take_data(self, piece: memoryview) -> None:
        """A piece of the payload, never empty and without padding."""
        raise NotImplementedError

    def _data_done(self) -> None:
        """The DATA frame is complete."""
        raise NotImplementedError

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Any other frame, whole, of a legal size."""
        raise NotImplementedError

    def _annoyed(self, by: str) -> None:
        """A frame that costs us and carries nothing."""
        raise NotImplementedError

    # ---- the walk ----

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
                self._pass_on(piece)
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
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "not an HTTP/2 connection preface")
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

    # ---- judged by the header alone ----

    def _begins(self, length: int, kind: int, flags: int, stream: int) -> bool:
        """True where the frame's payload passes through and is not held."""
        if not self._seen_settings and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS (3.4)")
        if length > self._limits.max_frame:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes (4.2)")
        if self._blocks.open and (kind, stream) != (frames.CONTINUATION, self._blocks.stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted (4.3)")
        if kind == frames.DATA:
            self._data_begins(length, flags, stream)
            return True
        if kind > frames.CONTINUATION:  # unknown frames are ignored (4.1)
            self._annoyed("unknown frames")
            self._skip_left = length
            return True
        self._check_size(length, kind, flags)
        return False

    def _check_size(self, length: int, kind: int, flags: int) -> None:
        exact = _EXACT_SIZE.get(kind)
        if exact is not None and length != exact:
            raise ConnectionFault(
                ErrorCode.FRAME_SIZE_ERROR, f"frame type {kind} of {length} bytes (6)"
            )
        if kind == frames.SETTINGS:
            if length % 6 or (flags & frames.ACK and length):
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {length} bytes (6.5)"
                )
            if length > MAX_SETTINGS * 6:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many settings in a frame")
        elif kind == frames.GOAWAY and length < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"GOAWAY of {length} bytes (6.8)")
        if kind in {frames.HEADERS, frames.CONTINUATION}:
            if self._blocks.size + length > self._limits.max_header_block:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end")
        elif length > MAX_CONTROL_FRAME:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, f"frame type {kind} of {length} bytes"
            )

    # ---- DATA and its padding (6.1) ----

    def _data_begins(self, length: int, flags: int, number: int) -> None:
        if number == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0 (6.1)")
        padded = bool(flags & frames.PADDED)
        if length == 0 and padded:
            raise ConnectionFault(
                ErrorCode.FRAME_SIZE_ERROR, "padded DATA without a pad length (6.1)"
            )
        self._data_left = length
        self._pad_left = 0
        self._pad_unknown = padded
        if length == 0 and not flags & frames.END_STREAM:
            self._annoyed("empty DATA frames")
        self._begin_data(length, flags, number)
        if length == 0:
            self._data_done()

    def _take_pad_length(self, pad: int) -> None:
        self._pad_unknown = False
        self._data_left -= 1
        if pad > self._data_left:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame (6.1)")
        self._pad_left = pad
        if pad == self._data_left:
            self._annoyed("DATA frames of padding alone")
        self._take_padding(1 + pad)
        if self._data_left == 0:
            self._data_done()

    def _pass_on(self, piece: memoryview) -> None:
        self._data_left -= len(piece)
        if self._pad_left > self._data_left:  # the piece reaches into the padding
            padding = min(len(piece), self._pad_left - self._data_left)
            piece = piece[: len(piece) - padding]
        if piece:
            self._take_data(piece)
        if self._data_left == 0:
            self._data_done()
