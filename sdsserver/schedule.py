# SPDX-License-Identifier: Apache-2.0
"""When the certificate is asked for: in time, paced, after failures, after jumps of the clock. Pure.

Two clocks go in: the wall clock judges certificates and may be set or stand still in a suspended machine; the
monotonic one paces attempts. Source: spec/agent.md 7.6, appendix D; pace after failures 7.2.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from mesh.backoff import Backoff
from sdsserver import rotation

NEVER = float("-inf")
ASKED = 2.0
"""Seconds after a failure until somebody who asks has the CA asked again, however long the backoff is."""


class Instant(NamedTuple):
    """One moment on both clocks."""

    wall: float
    mono: float


class Schedule:
    """Says when; asking the CA is the manager's."""

    def __init__(self, *, grace: float, jitter: float, rng: Random) -> None:
        self.due = NEVER
        """Wall clock of the next renewal."""
        self._grace = grace
        self._jitter = jitter
        self._rng = rng
        self._born = NEVER
        self._backoff = Backoff()
        self._retry_at = NEVER
        """Monotonic clock before which a failed or quick renewal is not repeated by itself."""
        self._answer_at = NEVER
        """The same, where somebody waits."""
        self._drift: float | None = None
        """Wall minus monotonic clock at the last look."""

    def adopted(self, born: float, dies: float) -> None:
        """A certificate is served from now on."""
        self._born = born
        self.due = rotation.renew_at(
            born, dies, grace=self._grace, jitter=self._jitter, rng=self._rng
        )

    def hurry(self) -> None:
        """The next one is due now."""
        self.due = NEVER

    def put_off(self, wall: float) -> None:
        """The next one is there already, and is taken then."""
        self.due = wall

    def issued(self, at: Instant) -> None:
        """The CA signed."""
        self._backoff.reset()
        self._retry_at, self._answer_at = at.mono + rotation.PACE, NEVER

    def failed(self, at: Instant, *, dies: float | None) -> float:
        """The CA did not sign; ``dies`` of the certificate that still serves. Seconds until the next attempt."""
        delay = self._backoff.delay(self._rng)
        if dies is not None:  # the shorter its life, the more often we try
            delay = min(delay, max(rotation.PACE, (dies - at.wall) / 4))
        self._retry_at = at.mono + delay
        self._answer_at = at.mono + min(delay, ASKED)
        return delay

    def jumped(self, at: Instant) -> float:
        """Seconds that the wall clock was moved by since the last look; after a jump nothing is put off."""
        drift, known = at.wall - at.mono, self._drift
        self._drift = drift
        if known is None or abs(drift - known) <= rotation.RECHECK:
            return 0.0
        self._backoff.reset()
        self._retry_at = self._answer_at = NEVER
        return drift - known

    def is_due(self, at: Instant, *, asked: bool) -> bool:
        """Whether to ask the CA now; ``asked``: somebody waits for a certificate."""
        if asked:
            return at.mono >= self._answer_at
        set_back = at.wall < self._born - rotation.RECHECK
        return (at.wall >= self.due or set_back) and at.mono >= self._retry_at

    def rest(self, at: Instant, *, asked: bool) -> float:
        """Seconds until the next look."""
        if asked:
            return rotation.next_look(at.mono, self._answer_at)
        return rotation.next_look(0.0, max(self.due - at.wall, self._retry_at - at.mono))
