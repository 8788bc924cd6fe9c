# SPDX-License-Identifier: Apache-2.0
"""The one seam through which time enters: a port with the real clock and, in tests, a fake.

Wall time judges certificates; monotonic time judges waiting. Answers to DESIGN section 6.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the time is, and waiting for it to pass."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since some point; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; at once for zero or less."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
