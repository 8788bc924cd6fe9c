# SPDX-License-Identifier: Apache-2.0
"""How many new streams are let in. Pure: time comes in. Source: spec/upstream.md 2.4 item 2."""

from __future__ import annotations

LONGEST_WAIT = 1.0


def by_processors(count: int) -> int:
    """The peer's default for streams a second and for pushes at once."""
    return min(15 + 5 * count, 100)


class Bucket:
    """A token bucket of burst one that hands out times instead of making callers try again."""

    def __init__(self, rate: float, *, longest_wait: float = LONGEST_WAIT) -> None:
        self._gap = 1.0 / rate
        self._longest = longest_wait
        self._next = float("-inf")

    def reserve(self, now: float) -> float | None:
        """Seconds to wait for one's turn; None when that is too long, and then nothing is reserved."""
        turn = max(self._next, now)
        if turn - now > self._longest:
            return None
        self._next = turn + self._gap
        return turn - now
