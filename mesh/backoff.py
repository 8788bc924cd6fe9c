# SPDX-License-Identifier: Apache-2.0
"""How long to wait before trying again. Pure: chance comes in as an argument, waiting is the caller's.

Defaults are the peer's (spec/agent.md 7.2: 500 ms, factor 1.5, +-50 %, cap 60 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(slots=True)
class Backoff:
    """A growing delay, in seconds. ``reset`` after a success."""

    initial: float = 0.5
    factor: float = 1.5
    jitter: float = 0.5
    """Fraction of the delay that is drawn anew each time, both ways."""
    cap: float = 60.0
    _next: float = 0.0

    def delay(self, rng: Random) -> float:
        """Seconds to wait now; the following delay is longer."""
        base = self._next or self.initial
        self._next = min(base * self.factor, self.cap)
        return base * (1 + self.jitter * (2 * rng.random() - 1))

    def reset(self) -> None:
        self._next = 0.0
