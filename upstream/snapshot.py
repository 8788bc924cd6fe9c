# SPDX-License-Identifier: Apache-2.0
"""One consistent state of the mesh with its version: what every push of one moment is generated from. Pure.

Source: spec/upstream.md 2.7, 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

from upstream.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A world and the version under which it is pushed."""

    version: str
    world: World


class Versions:
    """``<RFC 3339 time>/<counter>``: later ones differ and sort by their counter."""

    def __init__(self) -> None:
        self._counter = count(1)

    def next(self, now: float) -> str:
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{moment}/{next(self._counter)}"
