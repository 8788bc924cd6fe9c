# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 as a test writes and reads it: any frame, right or wrong, as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import hpack

from wire.h2 import frames
from wire.h2.frames import ErrorCode
from wire.h2.grpc import message_prefix
from wire.h2.headers import Headers

REQUEST: Headers = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/s/M"),
    (":authority", "x"),
]
RESPONSE: Headers = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS: Headers = [("grpc-status", "0")]
EMPTY_SETTINGS = frames.settings_frame({})


def encode(headers: Headers) -> bytes:
    """A field block that leaves nothing to be known from blocks before it."""
    return bytes(hpack.Encoder().encode(headers))


def frame(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return frames.pack_header(len(payload), kind, flags, stream) + payload


def headers_frame(stream: int, headers: Headers, flags: int = frames.END_HEADERS) -> bytes:
    return frame(frames.HEADERS, stream, encode(headers), flags)


def last_headers(stream: int, headers: Headers) -> bytes:
    """Trailers, or a response that is headers only."""
    return headers_frame(stream, headers, frames.END_HEADERS | frames.END_STREAM)


def message_frame(stream: int, message: bytes) -> bytes:
    """A gRPC message in one DATA frame."""
    return frame(frames.DATA, stream, message_prefix(len(message)) + message)


class Frame(NamedTuple):
    """A frame that was received."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def take_frames(raw: bytearray) -> list[Frame]:
    """The whole frames at the beginning of ``raw``, which loses them."""
    found = []
    while len(raw) >= frames.HEADER_SIZE:
        length, kind, flags, stream = frames.unpack_header(raw)
        end = frames.HEADER_SIZE + length
        if len(raw) < end:
            break
        found.append(Frame(kind, flags, stream, bytes(raw[frames.HEADER_SIZE : end])))
        del raw[:end]
    return found


def goaway_codes(heard: Iterable[Frame]) -> list[ErrorCode]:
    """Of each GOAWAY frame."""
    return [frames.unpack_goaway(each.payload)[1] for each in heard if each.kind == frames.GOAWAY]


def reset_codes(heard: Iterable[Frame], stream: int) -> list[ErrorCode]:
    """Of each RST_STREAM frame of one stream."""
    return [
        ErrorCode.of(frames.unpack_u32(each.payload))
        for each in heard
        if (each.kind, each.stream) == (frames.RST_STREAM, stream)
    ]
