# SPDX-License-Identifier: Apache-2.0
"""The table of stream states, walked."""

from __future__ import annotations

import pytest

from wire.h2.stream import Stream, StreamState


def stream() -> Stream:
    return Stream(1, send_window=10, recv_window=10)


def test_we_end_first() -> None:
    one = stream()
    one.we_end()
    assert (one.state, one.may_send, one.peer_may_send) == (StreamState.HALF_LOCAL, False, True)
    one.peer_ends()
    assert one.state is StreamState.CLOSED


def test_the_peer_ends_first() -> None:
    one = stream()
    one.peer_ends()
    assert (one.state, one.may_send, one.peer_may_send) == (StreamState.HALF_REMOTE, True, False)
    one.we_end()
    assert one.state is StreamState.CLOSED


def test_ending_twice_is_a_bug_of_ours() -> None:
    one = stream()
    one.we_end()
    with pytest.raises(KeyError):
        one.we_end()


def test_a_tail_ends_sending() -> None:
    one = stream()
    one.tail = []
    assert not one.may_send
