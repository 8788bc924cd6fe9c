# SPDX-License-Identifier: Apache-2.0
"""What waits for a socket: order, size, and that memory which changes is not kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wire.h2io.backlog import Backlog


def drained(backlog: Backlog, step: int) -> bytes:
    """All of it, as a socket that takes ``step`` bytes at a time gets it."""
    got = b""
    while backlog.size:
        piece = b"".join(backlog.oldest(3))[:step]
        assert piece
        got += piece
        backlog.drop(len(piece))
    assert backlog.oldest(1) == []
    return got


@given(
    st.lists(st.binary(max_size=9), max_size=9), st.integers(0, 99), st.integers(1, 20), st.data()
)
def test_nothing_is_lost_and_nothing_changes_place(
    buffers: list[bytes], sent: int, step: int, data: st.DataObject
) -> None:
    sent = min(sent, sum(map(len, buffers)))
    given_as = [
        memoryview(bytearray(each)) if data.draw(st.booleans()) else each for each in buffers
    ]
    backlog = Backlog()
    backlog.keep(b"before")
    backlog.keep_rest(given_as, sent)
    for each in given_as:
        if isinstance(each, memoryview):
            each[:] = bytes(len(each))  # the read buffer is used again
    whole = b"before" + b"".join(buffers)[sent:]
    assert backlog.size == len(whole)
    assert drained(backlog, step) == whole


def test_what_cannot_change_is_not_copied() -> None:
    message = bytes(1000)
    backlog = Backlog()
    backlog.keep(message)
    backlog.keep(memoryview(message)[10:])
    whole, part = backlog.oldest(2)
    assert whole is message
    assert isinstance(part, memoryview)
    assert part.obj is message


def test_first_and_clear() -> None:
    backlog = Backlog()
    backlog.keep(b"abc")
    backlog.keep(b"")
    assert (backlog.first(2), backlog.first(9), len(backlog.oldest(9))) == (b"ab", b"abc", 1)
    backlog.clear()
    assert (backlog.size, backlog.oldest(1)) == (0, [])
