# SPDX-License-Identifier: Apache-2.0
"""The table of open streams: who is connected, what each watches, what waits to be pushed to it.

Owned by the event loop's thread; no locks. Source: spec/upstream.md 2.4, 3.5, 10.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count

from upstream.proxy import Proxy
from upstream.queue import PushRequest, Slot
from upstream.watch import Watch, Watches


class Variant(StrEnum):
    """The two forms of the protocol."""

    SOTW = "sotw"
    DELTA = "delta"


class Sync(StrEnum):
    """What istioctl shows of a type on a stream."""

    SYNCED = "SYNCED"
    STALE = "STALE"
    NOT_SENT = "NOT_SENT"
    ERROR = "ERROR"


def sync_state(watch: Watch) -> Sync:
    """Source: spec/upstream.md 10.1, status rule."""
    if watch.last_error:
        return Sync.ERROR
    if not watch.nonce_sent:
        return Sync.NOT_SENT
    return Sync.SYNCED if watch.nonce_acked == watch.nonce_sent else Sync.STALE


@dataclass(slots=True, kw_only=True, eq=False)
class Connection:
    """One open stream of one proxy."""

    id: str
    proxy: Proxy
    variant: Variant
    peer: str
    identity: str
    """The proven SPIFFE id; empty on the plaintext port."""
    since: float
    watches: Watches = field(default_factory=Watches)
    slot: Slot = field(default_factory=Slot)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, wish: PushRequest) -> None:
        """Have the stream's own task push when it comes to it."""
        self.slot.put(wish)
        self.wake.set()


class Connections:
    """All open streams by id."""

    def __init__(self) -> None:
        self._open: dict[str, Connection] = {}
        self._counter = count(1)

    def new_id(self, proxy_id: str) -> str:
        """``<proxy>-<number>``, never used before in this process."""
        return f"{proxy_id}-{next(self._counter)}"

    def add(self, connection: Connection) -> None:
        self._open[connection.id] = connection

    def remove(self, connection: Connection) -> None:
        self._open.pop(connection.id, None)

    def push(self, wish: PushRequest) -> None:
        """Wish a push to everyone."""
        for connection in self._open.values():
            connection.push(wish)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)
