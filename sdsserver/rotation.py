# SPDX-License-Identifier: Apache-2.0
"""When a certificate is renewed. Pure: time and chance come in as arguments.

Source: spec/agent.md 7.6 and appendix D. Peer: secretcache.go rotateTime.
"""

from __future__ import annotations

from random import Random

RECHECK = 5.0
"""Longest sleep before the wall clock is looked at again: a suspended machine or a set clock is noticed."""

PACE = 1.0
"""Shortest time between two issues: a grace ratio of 1 asks for renewal at once, for ever."""


def renew_at(born: float, dies: float, *, grace: float, jitter: float, rng: Random) -> float:
    """The moment to renew at: before ``dies`` by the graceful part of the lifetime."""
    drawn = grace + jitter * rng.uniform(-1.0, 1.0)
    return dies - (dies - born) * min(1.0, max(0.0, drawn))


def rotation_delay(
    now: float, *, born: float, dies: float, grace: float, jitter: float, rng: Random
) -> float:
    """Seconds from ``now`` until the certificate is renewed; never negative."""
    return max(0.0, renew_at(born, dies, grace=grace, jitter=jitter, rng=rng) - now)


def next_look(now: float, due: float) -> float:
    """Seconds to sleep before judging again whether ``due`` has come."""
    return min(RECHECK, max(0.0, due - now))
