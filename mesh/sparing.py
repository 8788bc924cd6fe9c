# SPDX-License-Identifier: Apache-2.0
"""How often a line is worth its place in the log when strangers cause it. Pure: time is an argument."""

from __future__ import annotations

from typing import Final

BURST: Final = 20
"""Lines at once, after silence."""
EVERY: Final = 5.0
"""Seconds for which one more is allowed in the long run."""


class Sparing:
    """Says which lines to write and how many were not: whoever may connect must not fill a disk."""

    __slots__ = ("_allowed", "_since", "_untold")

    def __init__(self) -> None:
        self._allowed = float(BURST)
        self._since = 0.0
        self._untold = 0

    def count(self, now: float) -> int | None:
        """One more at ``now`` (seconds, steady): None not to tell it, else how many were not told before."""
        self._allowed = min(float(BURST), self._allowed + (now - self._since) / EVERY)
        self._since = now
        if self._allowed < 1.0:
            self._untold += 1
            return None
        self._allowed -= 1.0
        untold, self._untold = self._untold, 0
        return untold
