# SPDX-License-Identifier: Apache-2.0
"""Messages of one call that wait to be received, and the one under assembly. Pure.

``size`` counts what they cost us, not only their bytes: a stream of empty messages costs memory too.
"""

from __future__ import annotations

from collections import deque
from io import BytesIO
from typing import Final

MESSAGE_COST: Final = 64
"""Bytes of a ``bytes`` object and its place in the queue, rounded up."""


class Inbox:
    """Whole messages in the order in which they came."""

    __slots__ = ("_begun", "_messages", "size")

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._begun: BytesIO | None = None
        self.size = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def waiting(self) -> int:
        """What the whole messages cost; the one under assembly has to go on to end."""
        return self.size - (self._begun.tell() + MESSAGE_COST if self._begun is not None else 0)

    def put(self, piece: memoryview, offset: int, length: int) -> bool:
        """Bytes from ``offset`` on of a message of ``length`` bytes. True where they complete it."""
        if offset == 0:
            self.size += MESSAGE_COST
        self.size += len(piece)
        if offset == 0 and len(piece) == length:
            self._messages.append(bytes(piece))
            return True
        if self._begun is None:
            self._begun = BytesIO()
        self._begun.write(piece)
        if offset + len(piece) < length:
            return False
        # getvalue() hands out its buffer where nobody else writes: a big message is there only once
        self._messages.append(self._begun.getvalue())
        self._begun = None
        return True

    def take(self) -> bytes:
        """The oldest message."""
        message = self._messages.popleft()
        self.size -= len(message) + MESSAGE_COST
        return message

    def take_begun(self) -> bytes:
        """What there is of the message under assembly; it is not assembled any more."""
        if self._begun is None:
            return b""
        begun, self._begun = self._begun.getvalue(), None
        self.size -= len(begun) + MESSAGE_COST
        return begun
