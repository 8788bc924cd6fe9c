# SPDX-License-Identifier: Apache-2.0
"""When changes have settled enough to push. Pure: time comes in, the next time to look goes out.

Source: spec/upstream.md 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from upstream.queue import PushRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A push whose time has come."""

    request: PushRequest
    events: int
    quiet: float
    """Seconds since the last event."""


class Debounce:
    """Gathers events until none came for ``after`` seconds, but no longer than ``longest``."""

    def __init__(self, *, after: float, longest: float) -> None:
        self._after = after
        self._longest = longest
        self._request: PushRequest | None = None
        self._events = 0
        self._first = 0.0
        self._last = 0.0

    def add(self, wish: PushRequest, *, now: float) -> None:
        """One more event."""
        if self._request is None:
            self._request, self._events, self._first = wish, 0, now
        else:
            self._request = self._request.merge(wish)
        self._events += 1
        self._last = now

    def due(self) -> float | None:
        """When to push if nothing more happens; None while nothing waits."""
        if self._request is None:
            return None
        return min(self._last + self._after, self._first + self._longest)

    def take(self, *, now: float) -> Settled | None:
        """What is to be pushed now; None when it is not time."""
        due = self.due()
        if self._request is None or due is None or now < due:
            return None
        settled = Settled(request=self._request, events=self._events, quiet=now - self._last)
        self._request = None
        return settled
