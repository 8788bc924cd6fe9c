# SPDX-License-Identifier: Apache-2.0
"""The latest pushes, by comparing what is counted of each type now and before. Pure; somebody looks in regularly.

Pushes of one type between two looks are one entry with their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

KEPT = 200
_COUNTS = ("responses", "acknowledged", "refused")


class Timeline:
    """``look`` at ``XdsProxy.status()["types"]``; ``entries`` are the changes seen."""

    def __init__(self) -> None:
        self._before: dict[str, dict[str, int]] = {}
        self._entries: deque[dict[str, object]] = deque(maxlen=KEPT)

    def look(self, types: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Remember what changed since the last look."""
        for name, push in types.items():
            counts = {key: int(push.get(key, 0)) for key in _COUNTS}
            before = self._before.get(name, dict.fromkeys(_COUNTS, 0))
            if counts == before:
                continue
            self._before[name] = counts
            grown = {key: counts[key] - before[key] for key in _COUNTS}
            facts = ("bytes", "at", "version", "source")
            pushed = {key: push.get(key) for key in facts} if grown["responses"] else {}
            refusal = {"error": push.get("lastError", "")} if grown["refused"] else {}
            self._entries.append(
                {"type": name, "seen": round(now, 3), **grown, **pushed, **refusal}
            )

    def entries(self) -> list[dict[str, object]]:
        """Newest last."""
        return list(self._entries)


def nacks(types: Mapping[str, Mapping[str, Any]]) -> list[dict[str, object]]:
    """Types of which Envoy refused something, with the last reason."""
    return [
        {
            "type": name,
            "refused": push["refused"],
            "error": push.get("lastError", ""),
            "at": push.get("refusedAt", 0.0),
        }
        for name, push in types.items()
        if push.get("refused")
    ]


def last_nack(types: Mapping[str, Mapping[str, Any]]) -> dict[str, object] | None:
    """The latest of them; None where Envoy took everything."""
    return max(nacks(types), key=lambda each: float(str(each["at"])), default=None)
