# SPDX-License-Identifier: Apache-2.0
"""What is to be pushed and why, and how two such wishes become one. Pure. Source: spec/upstream.md 3.1, 3.5.

Each connection has one slot: a wish that arrives while another waits, or while a push is under way, is
merged into it. So no connection is pushed to twice at once, and no update is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from upstream.config import Key


class Reason(StrEnum):
    """What set a push going; the peer's words."""

    CONFIG = "config"
    GLOBAL = "global"
    PROXY = "proxy"
    REQUEST = "proxyrequest"
    SECRET = "secret"  # noqa: S105  a word, not a secret
    DEBUG = "debug"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """A wish to push. ``changed`` None: anything may have changed."""

    changed: frozenset[Key] | None
    addresses: frozenset[str] = frozenset()
    """Workloads there get everything again, as what they serve may have changed."""
    reasons: Counter[str] = field(default_factory=Counter)
    forced: bool = False
    since: float = 0.0
    """Monotonic time of the earliest event in it."""

    def merge(self, other: PushRequest) -> PushRequest:
        """One wish that covers both."""
        unknown = self.changed is None or other.changed is None
        return PushRequest(
            changed=None
            if unknown
            else (self.changed or frozenset()) | (other.changed or frozenset()),
            addresses=self.addresses | other.addresses,
            reasons=self.reasons + other.reasons,
            forced=self.forced or other.forced,
            since=min(self.since, other.since),
        )

    @property
    def why(self) -> str:
        """For log lines: ``VirtualService/demo/reviews and 2 more``, or the reasons with their counts."""
        if self.changed:
            first, *more = sorted(map(str, self.changed))
            return f"{first} and {len(more)} more" if more else first
        return ",".join(f"{reason}:{count}" for reason, count in sorted(self.reasons.items()))


def request(
    changed: Iterable[Key] | None, reason: Reason, *, now: float, forced: bool = False
) -> PushRequest:
    """A wish with one reason."""
    keys = None if changed is None else frozenset(changed)
    return PushRequest(changed=keys, reasons=Counter({str(reason): 1}), forced=forced, since=now)


class Slot:
    """The one waiting push of a connection."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: PushRequest | None = None

    def put(self, wish: PushRequest) -> None:
        self._waiting = wish if self._waiting is None else self._waiting.merge(wish)

    def take(self) -> PushRequest | None:
        wish, self._waiting = self._waiting, None
        return wish

    def __bool__(self) -> bool:
        return self._waiting is not None
