# SPDX-License-Identifier: Apache-2.0
"""The words of the socket shell: who is at the other end, and who takes a stream's bytes. No I/O here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from wire.h2.grpc import Status


class Peer(NamedTuple):
    """The other end of a connection."""

    address: str
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    """uid, gid and pid come from ``SO_PEERCRED`` and are known on unix sockets only."""
    certificate: bytes | None = None
    """DER of the verified leaf, where TLS asked for one and the peer had one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """PING when nothing was heard for ``interval`` seconds; give up ``timeout`` seconds later."""

    interval: float = 30.0
    timeout: float = 10.0


class Sink(Protocol):
    """Takes a stream's messages as they arrive, in the callback that read them: no task, no copy."""

    def on_data(self, pieces: Sequence[memoryview], offset: int, length: int) -> None:
        """Bytes from ``offset`` on of a message of ``length`` bytes; views die with the call.

        An empty message is one call with one empty piece.
        """

    def on_end(self, status: Status | None) -> None:
        """Once. None: the peer ended its half in good order; else how the call ended."""

    def on_writable(self) -> None:
        """After ``Call.write`` returned False: the backlog is gone."""
