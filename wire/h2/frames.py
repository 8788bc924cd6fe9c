# SPDX-License-Identifier: Apache-2.0
"""The frames of HTTP/2 as bytes (RFC 9113 sections 4 and 6). Pure; knows no streams and no rules."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_SIZE: Final = 9
DEFAULT_WINDOW: Final = 65_535
DEFAULT_FRAME_SIZE: Final = 16_384
MAX_FRAME_SIZE: Final = 2**24 - 1
MAX_WINDOW: Final = 2**31 - 1
STREAM_MASK: Final = 2**31 - 1

# Plain numbers, not an enum: they are compared for every frame that passes.
DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x01
ACK: Final = 0x01
END_HEADERS: Final = 0x04
PADDED: Final = 0x08
PRIORITIZED: Final = 0x20


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (RFC 9113 section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD

    @classmethod
    def of(cls, number: int) -> ErrorCode:
        """Unknown codes count as INTERNAL_ERROR, as section 7 allows."""
        return cls(number) if number <= cls.HTTP_1_1_REQUIRED else cls.INTERNAL_ERROR


class Setting(IntEnum):
    """Names of SETTINGS values (RFC 9113 section 6.5.2)."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


class FrameHeader(NamedTuple):
    """The nine bytes before each payload."""

    length: int
    kind: int
    flags: int
    stream: int


_HEADER = struct.Struct(">HBBBI")
_SETTING = struct.Struct(">HI")
_U32 = struct.Struct(">I")
_TWO_U32 = struct.Struct(">II")


def pack_header(length: int, kind: int, flags: int, stream: int) -> bytes:
    """A frame's nine bytes (4.1)."""
    return _HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream)


def unpack_header(data: bytes | bytearray | memoryview, at: int = 0) -> FrameHeader:
    """The nine bytes at ``at`` (4.1)."""
    high, low, kind, flags, stream = _HEADER.unpack_from(data, at)
    return FrameHeader(high << 8 | low, kind, flags, stream & STREAM_MASK)


def settings_frame(values: dict[Setting, int]) -> bytes:
    """SETTINGS (6.5)."""
    body = b"".join(_SETTING.pack(key, value) for key, value in values.items())
    return pack_header(len(body), SETTINGS, 0, 0) + body


def unpack_settings(payload: bytes) -> list[tuple[int, int]]:
    """Pairs of a SETTINGS payload, unknown ones too."""
    return list(_SETTING.iter_unpack(payload))


SETTINGS_ACK: Final = pack_header(0, SETTINGS, ACK, 0)


def ping_frame(payload: bytes, *, ack: bool = False) -> bytes:
    """PING (6.7); ``payload`` is 8 bytes."""
    return pack_header(8, PING, ACK if ack else 0, 0) + payload


def reset_frame(stream: int, code: int) -> bytes:
    """RST_STREAM (6.4)."""
    return pack_header(4, RST_STREAM, 0, stream) + _U32.pack(code)


def window_frame(stream: int, increment: int) -> bytes:
    """WINDOW_UPDATE (6.9)."""
    return pack_header(4, WINDOW_UPDATE, 0, stream) + _U32.pack(increment)


def goaway_frame(last_stream: int, code: int, debug: bytes = b"") -> bytes:
    """GOAWAY (6.8)."""
    return pack_header(8 + len(debug), GOAWAY, 0, 0) + _TWO_U32.pack(last_stream, code) + debug


def unpack_goaway(payload: bytes) -> tuple[int, ErrorCode, bytes]:
    """Last stream, code and debug data of a GOAWAY payload."""
    last, code = _TWO_U32.unpack_from(payload)
    return last & STREAM_MASK, ErrorCode.of(code), payload[8:]


def unpack_u32(payload: bytes) -> int:
    """The first four bytes as a number."""
    return int(_U32.unpack_from(payload)[0])


def header_frames(stream: int, block: bytes, max_size: int, *, end_stream: bool) -> bytes:
    """HEADERS, and CONTINUATION frames where the block is longer than one frame may be."""
    first, rest = block[:max_size], block[max_size:]
    flags = (END_STREAM if end_stream else 0) | (0 if rest else END_HEADERS)
    frames = [pack_header(len(first), HEADERS, flags, stream), first]
    while rest:
        first, rest = rest[:max_size], rest[max_size:]
        frames += [pack_header(len(first), CONTINUATION, 0 if rest else END_HEADERS, stream), first]
    return b"".join(frames)
