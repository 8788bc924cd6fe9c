# SPDX-License-Identifier: Apache-2.0
"""The walk hands on a body's bytes as views of the buffer that they came in, whatever the padding and the splits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wire.h2 import frames
from wire.h2.limits import Limits
from wire.h2.walk import FrameWalk


class Recorder(FrameWalk):
    def __init__(self) -> None:
        super().__init__(Limits(), preface=b"")
        self._seen_settings = True
        self.pieces: list[memoryview] = []
        self.done = 0

    def _begin_data(self, length: int, flags: int, number: int) -> None: ...

    def _take_padding(self, size: int) -> None: ...

    def _take_data(self, piece: memoryview) -> None:
        self.pieces.append(piece)

    def _data_done(self) -> None:
        self.done += 1

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None: ...

    def _annoyed(self, by: str) -> None: ...


def test_pieces_are_views_of_what_was_read() -> None:
    walk, buffer = Recorder(), bytearray(frames.pack_header(5, frames.DATA, 0, 1) + b"hello")
    walk._walk(memoryview(buffer))
    buffer[9:14] = b"HELLO"
    assert bytes(walk.pieces[0]) == b"HELLO"


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 60)), max_size=6), st.data())
def test_padding_and_splits_change_nothing(
    bodies: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    raw = b"".join(
        frames.pack_header(1 + len(body) + pad, frames.DATA, frames.PADDED, 1)
        + bytes([pad])
        + body
        + bytes(pad)
        for body, pad in bodies
    )
    walk = Recorder()
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        walk._walk(memoryview(raw[:size]))
        raw = raw[size:]
    assert b"".join(walk.pieces) == b"".join(body for body, _ in bodies)
    assert walk.done == len(bodies)
