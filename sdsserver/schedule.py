# SPDX-License-Identifier: Apache-2.0
"""When the certificate is asked for: in time, paced, after failures, after jumps of the clock. Pure.

Two clocks go in: the wall clock judges certificates and may be set, the monotonic one paces attempts and stands still
while the machine is suspended. A certificate ages on both, and is due when the first of them says so: a wall clock
that was set back, or is behind the CA's, makes no renewal late. Source: spec/agent.md 7.6, appendix D; pace after
failures 7.2.
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


class Life(NamedTuple):
    """When a certificate is due and when it ends, as known at its receipt."""

    born: float
    due: float
    """Both by the wall clock."""
    due_mono: float
    ends_mono: float
    """By the monotonic clock."""


UNKNOWN = Life(NEVER, NEVER, NEVER, NEVER)


class Schedule:
    """Says when; asking the CA is the manager's."""

    def __init__(self, *, grace: float, jitter: float, rng: Random) -> None:
        self._life = UNKNOWN
        self._grace = grace
        self._jitter = jitter
        self._rng = rng
        self._backoff = Backoff()
        self._retry_at = NEVER
        """Monotonic clock before which a failed or quick renewal is not repeated by itself."""
        self._answer_at = NEVER
        """The same, where somebody waits."""
        self._drift: float | None = None
        """Wall minus monotonic clock at the last look."""

    @property
    def due(self) -> float:
        """Wall clock of the next renewal."""
        return self._life.due

    def life(self, at: Instant, *, born: float, begins: float, dies: float) -> Life:
        """Of a certificate that is at hand now. One that has not begun says how far our clock is behind."""
        ends = dies - max(0.0, begins - at.wall)
        due = rotation.renew_at(born, ends, grace=self._grace, jitter=self._jitter, rng=self._rng)
        ahead = at.mono - at.wall
        return Life(born, due, due + ahead, ends + ahead)

    def adopted(self, life: Life) -> None:
        """A certificate is served from now on."""
        self._life = life

    def hurry(self) -> None:
        """The next one is due now."""
        self._life = self._life._replace(due=NEVER)

    def lasts(self, at: Instant, wall: float) -> bool:
        """Whether what is served has not ended when the wall clock comes to ``wall``."""
        return at.mono + (wall - at.wall) < self._life.ends_mono

    def put_off(self, at: Instant, wall: float) -> None:
        """The next one is there already, and is taken then; a clock that was set back is known by now."""
        life = self._life
        self._life = Life(min(life.born, at.wall), wall, at.mono + (wall - at.wall), life.ends_mono)

    def issued(self, at: Instant) -> None:
        """The CA signed."""
        self._backoff.reset()
        self._retry_at, self._answer_at = at.mono + rotation.PACE, NEVER

    def failed(self, at: Instant, *, dies: float | None) -> float:
        """The CA did not sign; ``dies`` of the certificate that still serves. Seconds until the next attempt."""
        delay = self._backoff.delay(self._rng)
        left = self._left(at, dies) if dies is not None else 0.0
        if left > 0:  # the shorter its life, the more often we try
            delay = min(delay, max(rotation.PACE, left / 4))
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
        set_back = at.wall < self._life.born - rotation.RECHECK
        return (self._until_due(at) <= 0 or set_back) and at.mono >= self._retry_at

    def rest(self, at: Instant, *, asked: bool) -> float:
        """Seconds until the next look."""
        if asked:
            return rotation.next_look(at.mono, self._answer_at)
        return rotation.next_look(0.0, max(self._until_due(at), self._retry_at - at.mono))

    def _until_due(self, at: Instant) -> float:
        return min(self._life.due - at.wall, self._life.due_mono - at.mono)

    def _left(self, at: Instant, dies: float) -> float:
        return min(dies - at.wall, self._life.ends_mono - at.mono)
