# SPDX-License-Identifier: Apache-2.0
"""What a socket did not take yet, in order. Pure.

What comes here may wait for long, so it may not be a view of memory that changes: ``bytes`` are kept as they
are, and views of ``bytes``, too; of anything else a copy is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from wire.h2.outbound import Buffer


class Backlog:
    """``size`` is 0 exactly where nothing waits."""

    __slots__ = ("_buffers", "size")

    def __init__(self) -> None:
        self._buffers: deque[Buffer] = deque()
        self.size = 0
        """Bytes that wait."""

    def keep(self, buffer: Buffer) -> None:
        """Behind all that waits already."""
        if buffer:
            self._buffers.append(_lasting(buffer))
            self.size += len(buffer)

    def keep_rest(self, buffers: Sequence[Buffer], sent: int = 0) -> None:
        """All of them but the first ``sent`` bytes."""
        for buffer in buffers:
            if sent >= len(buffer):
                sent -= len(buffer)
            else:
                self.keep(memoryview(buffer)[sent:] if sent else buffer)
                sent = 0

    def first(self, most: int) -> Buffer:
        """Of the oldest buffer, ``most`` bytes."""
        return self._buffers[0][:most]

    def oldest(self, count: int) -> list[Buffer]:
        """So many buffers, as far as there are."""
        return list(islice(self._buffers, count))

    def drop(self, sent: int) -> None:
        """So many bytes are on their way."""
        self.size -= sent
        while self._buffers and sent >= len(self._buffers[0]):
            sent -= len(self._buffers.popleft())
        if sent:
            self._buffers[0] = memoryview(self._buffers[0])[sent:]

    def clear(self) -> None:
        self._buffers.clear()
        self.size = 0


def _lasting(buffer: Buffer) -> Buffer:
    if isinstance(buffer, bytes) or isinstance(buffer.obj, bytes):
        return buffer
    return bytes(buffer)
