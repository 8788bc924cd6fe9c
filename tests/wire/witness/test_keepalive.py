# SPDX-License-Identifier: Apache-2.0
"""Keepalive pings between ours and the witnesses, each side as the one that asks: answered, and resented by nobody.

The witnesses have floors: all ping after a second at the earliest, grpc-go's client after ten; so most of their pings
are for ``long``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.witness.ends import Client, Transport, Wire, until, wire
from tests.wire.witness.grpcgo_ends import grpcgo_client, grpcgo_server
from tests.wire.witness.grpcio_ends import grpcio_client, grpcio_server
from tests.wire.witness.ours import our_client, our_server
from tests.wire.witness.pairs import MEETINGS
from tests.wire.witness.scenarios import unary
from wire.h2 import frames
from wire.h2.connection import H2Connection
from wire.h2io import Code, Keepalive
from wire.h2io.link import PING_PAYLOAD

OFTEN = Keepalive(interval=0.02, timeout=30)
WANTED = 3
SOME_MEETINGS = [
    pytest.param(Transport.UNIX, False, id="unix"),
    pytest.param(Transport.TLS13, True, id="tls1.3 with a certificate"),
    pytest.param(Transport.TCP, False, id="tcp", marks=pytest.mark.long),
    pytest.param(Transport.TLS12, False, id="tls1.2", marks=pytest.mark.long),
]

Pings = list[tuple[bool, bytes]]
"""Those that our side read: whether it is an answer, and the payload."""


@pytest.fixture
def pings(monkeypatch: pytest.MonkeyPatch) -> Pings:
    read: Pings = []
    original = H2Connection._on_ping

    def noted(self: H2Connection, flags: int, stream: int, payload: bytes) -> None:
        read.append((bool(flags & frames.ACK), payload))
        original(self, flags, stream, payload)

    monkeypatch.setattr(H2Connection, "_on_ping", noted)
    return read


async def ask(client: Client) -> None:
    [outcome] = await client.play([unary()])
    assert outcome.code is Code.OK


async def answered(pings: Pings) -> None:
    await until(lambda: pings.count((True, PING_PAYLOAD)) >= WANTED)


async def asked_twice(pings: Pings) -> None:
    """Who asks again was answered."""
    before = len(pings)
    await until(lambda: sum(not answer for answer, _ in pings[before:]) >= 2)


@pytest.fixture
def meeting(transport: Transport, certificate: bool, short_tmp: Path) -> Wire:
    return wire(transport, short_tmp, certificate=certificate)


@pytest.mark.parametrize(("transport", "certificate"), MEETINGS)
class TestOurPings:
    """Of both our sides."""

    async def test_grpcio_server_answers(self, pings: Pings, meeting: Wire) -> None:
        tolerant = [
            ("grpc.http2.min_ping_interval_without_data_ms", 1),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        async with (
            grpcio_server(meeting, tolerant) as running,
            our_client(meeting, running.target, OFTEN) as connected,
        ):
            await answered(pings)
            await ask(connected)

    @pytest.mark.go
    async def test_grpcgo_server_answers(self, pings: Pings, meeting: Wire) -> None:
        async with (
            grpcgo_server(meeting, "-permit-ping=1ms") as running,
            our_client(meeting, running.target, OFTEN) as connected,
        ):
            await answered(pings)
            await ask(connected)

    async def test_grpcio_client_answers(self, pings: Pings, meeting: Wire) -> None:
        async with (
            our_server(meeting, OFTEN) as running,
            grpcio_client(meeting, running.target) as connected,
        ):
            await ask(connected)
            await answered(pings)
            await ask(connected)

    @pytest.mark.go
    async def test_grpcgo_client_answers(self, pings: Pings, meeting: Wire) -> None:
        async with (
            our_server(meeting, OFTEN) as running,
            grpcgo_client(meeting, running.target) as connected,
        ):
            await ask(connected)
            await answered(pings)
            await ask(connected)


@pytest.mark.parametrize(("transport", "certificate"), SOME_MEETINGS)
class TestTheirPings:
    """Answered by both our sides."""

    async def test_of_grpcio_server(self, pings: Pings, meeting: Wire) -> None:
        often = [
            ("grpc.keepalive_time_ms", 50),
            ("grpc.keepalive_timeout_ms", 30_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        async with (
            grpcio_server(meeting, often) as running,
            our_client(meeting, running.target) as connected,
        ):
            await asked_twice(pings)
            await ask(connected)

    async def test_of_grpcio_client(self, pings: Pings, meeting: Wire) -> None:
        often = [
            ("grpc.keepalive_time_ms", 50),
            ("grpc.keepalive_timeout_ms", 30_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        async with (
            our_server(meeting) as running,
            grpcio_client(meeting, running.target, often) as connected,
        ):
            await ask(connected)
            await asked_twice(pings)
            await ask(connected)

    @pytest.mark.go
    async def test_of_grpcgo_server(self, pings: Pings, meeting: Wire) -> None:
        async with (
            grpcgo_server(meeting, "-keepalive=1s") as running,
            our_client(meeting, running.target) as connected,
        ):
            await asked_twice(pings)
            await ask(connected)

    @pytest.mark.go
    @pytest.mark.long
    async def test_of_grpcgo_client(self, pings: Pings, meeting: Wire) -> None:
        async with (
            our_server(meeting) as running,
            grpcgo_client(meeting, running.target, "-keepalive=10s") as connected,
        ):
            await ask(connected)
            await asked_twice(pings)
            await ask(connected)
