# SPDX-License-Identifier: Apache-2.0
"""Frames as bytes: what is packed unpacks, and long header blocks are cut into CONTINUATION frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wire.h2 import frames
from wire.h2.frames import ErrorCode, Setting


@given(
    st.integers(0, frames.MAX_FRAME_SIZE),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, frames.STREAM_MASK),
)
def test_header_round_trip(length: int, kind: int, flags: int, stream: int) -> None:
    packed = frames.pack_header(length, kind, flags, stream)
    assert len(packed) == frames.HEADER_SIZE
    assert frames.unpack_header(packed) == (length, kind, flags, stream)


def test_reserved_bit_of_the_stream_number_is_ignored() -> None:
    packed = bytearray(frames.pack_header(0, frames.PING, 0, 7))
    packed[5] |= 0x80
    assert frames.unpack_header(packed).stream == 7


def test_settings_as_rfc_9113_6_5_1_draws_them() -> None:
    frame = frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 0x01020304})
    assert frame == bytes.fromhex("000006 04 00 00000000 0004 01020304")
    assert frames.unpack_settings(frame[9:]) == [(4, 0x01020304)]


def test_goaway_round_trip_and_unknown_codes() -> None:
    frame = frames.goaway_frame(5, ErrorCode.ENHANCE_YOUR_CALM, b"why")
    assert frames.unpack_goaway(frame[9:]) == (5, ErrorCode.ENHANCE_YOUR_CALM, b"why")
    assert ErrorCode.of(0xFFFF) is ErrorCode.INTERNAL_ERROR


@given(st.binary(max_size=100), st.integers(1, 40), st.booleans())
def test_header_block_is_cut_and_only_the_last_part_ends_it(
    block: bytes, size: int, end: bool
) -> None:
    raw = frames.header_frames(3, block, size, end_stream=end)
    parts = []
    while raw:
        header = frames.unpack_header(raw)
        parts.append((header, raw[9 : 9 + header.length]))
        raw = raw[9 + header.length :]
    assert b"".join(body for _, body in parts) == block
    assert all(header.length <= size for header, _ in parts)
    assert [header.kind for header, _ in parts] == [frames.HEADERS] + [frames.CONTINUATION] * (
        len(parts) - 1
    )
    assert bool(parts[0][0].flags & frames.END_STREAM) is end
    ends = [bool(header.flags & frames.END_HEADERS) for header, _ in parts]
    assert ends == [False] * (len(parts) - 1) + [True]
