# SPDX-License-Identifier: Apache-2.0
"""Messages of one call that wait to be received, and the one under assembly. Pure.

``size`` counts what they cost us, not only their bytes: a stream of empty messages costs memory too.

A large message grows with what comes, and gets the rest of its memory once half of it is there: each further growth
would cost fresh pages, two thirds of what receiving costs at 5 MiB; but nobody makes us hold memory by announcing a
size.
"""

from __future__ import annotations

from collections import deque
from io import BytesIO
from typing import Final

MESSAGE_COST: Final = 64
"""Bytes of a ``bytes`` object and its place in the queue, rounded up."""
LARGE: Final = 1024 * 1024
"""Bytes from which growth is not left to the buffer."""


class Inbox:
    """Whole messages in the order in which they came."""

    __slots__ = ("_begun", "_messages", "_reserved", "size")

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._begun: BytesIO | None = None
        self._reserved = 0
        """All bytes of the message under assembly, where they were counted before they came."""
        self.size = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def waiting(self) -> int:
        """What the whole messages cost; the one under assembly has to go on to end."""
        return self.size - self._cost_of_begun

    def put(self, piece: memoryview, offset: int, length: int) -> bool:
        """Bytes from ``offset`` on of a message of ``length`` bytes. True where they complete it."""
        if offset == 0:
            self.size += MESSAGE_COST
        if not self._reserved:
            self.size += len(piece)
        if offset == 0 and len(piece) == length:
            self._messages.append(bytes(piece))
            return True
        if self._begun is None:
            self._begun = BytesIO()
        self._begun.write(piece)
        arrived = offset + len(piece)
        if arrived < length:
            if length >= LARGE and offset * 2 < length <= arrived * 2:
                self._reserve(self._begun, length)
            return False
        # getvalue() hands out its buffer where nobody else writes: a big message is there only once
        self._messages.append(self._begun.getvalue())
        self._begun, self._reserved = None, 0
        return True

    def _reserve(self, begun: BytesIO, length: int) -> None:
        arrived = begun.tell()
        begun.seek(length - 1)
        begun.write(b"\0")
        begun.seek(arrived)
        self._reserved = length
        self.size += length - arrived

    @property
    def _cost_of_begun(self) -> int:
        if self._begun is None:
            return 0
        return MESSAGE_COST + (self._reserved or self._begun.tell())

    def take(self) -> bytes:
        """The oldest message."""
        message = self._messages.popleft()
        self.size -= len(message) + MESSAGE_COST
        return message

    def take_begun(self) -> bytes:
        """What there is of the message under assembly; it is not assembled any more."""
        if self._begun is None:
            return b""
        self.size -= self._cost_of_begun
        self._begun.truncate()  # what was reserved behind it
        begun, self._begun, self._reserved = self._begun.getvalue(), None, 0
        return begun
