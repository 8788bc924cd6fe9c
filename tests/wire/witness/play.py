# SPDX-License-Identifier: Apache-2.0
"""Plays one script between a client and a server, and says what both saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.wire.witness.ends import Clients, Servers, Wire
from tests.wire.witness.script import Call, Outcome, Seen

Both = tuple[Outcome, Seen | None]
"""What the client saw, and the server. None where it may never have heard of the call."""


async def play(
    client: Wire,
    clients: Clients,
    servers: Servers,
    calls: Sequence[Call],
    *,
    server: Wire | None = None,
) -> list[Both]:
    """``server`` is the server's view of the meeting, where it is another than the client's."""
    async with servers(server or client) as serving, clients(client, serving.target) as connected:
        outcomes = await connected.play(calls)
        seen = [None if call.hopeless else await serving.seen(call.number) for call in calls]
    return [
        (call.judged(outcome), replace(one, peer="") if one else None)
        for call, outcome, one in zip(calls, outcomes, seen, strict=True)
    ]
