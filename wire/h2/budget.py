# SPDX-License-Identifier: Apache-2.0
"""How much nuisance a connection may cause: a leaky bucket for frames that cost us and carry nothing. Pure."""

from __future__ import annotations


class Budget:
    """``burst`` at once, ``rate`` a second in the long run; useful frames earn more.

    Peers that measure the bandwidth send a PING for every few DATA frames, however fast those come:
    hence ``earned``. Time is an argument (seconds).
    """

    __slots__ = ("_burst", "_level", "_rate", "_since")

    def __init__(self, *, burst: float, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._level = 0.0
        self._since = 0.0

    def spend(self, now: float, *, earned: int = 0) -> bool:
        """Count one more. False when the budget is exceeded."""
        given_back = (now - self._since) * self._rate + earned
        self._level = max(0.0, self._level - given_back) + 1
        self._since = now
        return self._level <= self._burst
