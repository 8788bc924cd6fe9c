# SPDX-License-Identifier: Apache-2.0
"""What goes out: windows are obeyed, who waits takes turns, nothing is copied that may be sent."""

from __future__ import annotations

import pytest

from wire.h2 import frames
from wire.h2.faults import ConnectionFault
from wire.h2.outbound import Outbound
from wire.h2.stream import Stream


def stream(number: int, window: int) -> Stream:
    return Stream(number, send_window=window, recv_window=0)


def test_what_fits_is_sent_as_the_very_buffer_that_was_given() -> None:
    outbound = Outbound()
    piece = memoryview(bytearray(b"x" * 1000))
    outbound.data(stream(1, 65_535), (piece,), 1000)
    assert outbound.out[1] is piece


def test_streams_take_turns_at_the_connections_window() -> None:
    outbound = Outbound()
    one, two = stream(1, 10**6), stream(3, 10**6)
    outbound.data(one, (b"a" * 200_000,), 200_000)
    outbound.data(two, (b"b" * 200_000,), 200_000)
    outbound.out.clear()
    for _ in range(4):
        outbound.grow(10_000)
        outbound.resume_all()
    assert 200_000 - two.pending_size == 20_000


def test_what_is_queued_counts_data_alone() -> None:
    outbound = Outbound()
    outbound.say(frames.SETTINGS_ACK)
    outbound.data(stream(1, 65_535), (b"x" * 1000,), 1000)
    assert (outbound.queued, outbound.unread) == (1000, 9)


def test_limits_of_the_peer() -> None:
    outbound = Outbound()
    with pytest.raises(ConnectionFault):
        outbound.grow(0)
    with pytest.raises(ConnectionFault):
        outbound.set_max_frame(1)
    with pytest.raises(ConnectionFault):
        outbound.set_initial_window(frames.MAX_WINDOW + 1, [])
