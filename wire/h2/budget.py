# SPDX-License-Identifier: Apache-2.0
"""How much nuisance a connection may cause: a leaky bucket for frames that cost us and carry nothing. Pure."""

from __future__ import annotations


class Budget:
    """``burst`` at once, ``rate`` a second in the long run; useful frames earn more.

    Peers that measure the bandwidth send a PING for every few DATA frames, however fast those come:
    hence ``earned``, of which up to ``saved`` is kept for later. Time is an argument (seconds).
    """

    __slots__ = ("_burst", "_floor", "_level", "_rate", "_since")

    def __init__(self, *, burst: float, rate: float, saved: float = 0.0) -> None:
        self._burst = burst
        self._rate = rate
        self._floor = -saved
        self._level = 0.0
        self._since = 0.0

    def spend(self, now: float, *, earned: int = 0) -> bool:
        """Count one more. False when the budget is exceeded."""
        level = max(min(0.0, self._level), self._level - (now - self._since) * self._rate)
        self._level = max(self._floor, level - earned) + 1
        self._since = now
        return self._level <= self._burst
