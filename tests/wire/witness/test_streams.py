# SPDX-License-Identifier: Apache-2.0
"""SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 section 5.1.2) between ours and the witnesses."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.wire.witness.ends import Clients, Server, Servers, Transport, Wire, until, wire
from tests.wire.witness.grpcgo_ends import grpcgo_server
from tests.wire.witness.grpcio_ends import grpcio_server
from tests.wire.witness.ours import our_client, our_server
from tests.wire.witness.pairs import WITNESS_CLIENTS
from tests.wire.witness.scenarios import unary
from tests.wire.witness.script import Call, Conversation, Kind
from wire.h2io import Code, RpcError


def slow_call(number: int) -> Call:
    conversation = Conversation(Kind.UNARY)
    conversation.client_sends(100)
    conversation.slow_server(5)
    conversation.server_sends(100)
    conversation.end()
    return conversation.call(number)


@pytest.mark.parametrize("client", WITNESS_CLIENTS)
async def test_more_calls_than_our_server_takes_wait_for_their_turn(
    client: Clients, short_tmp: Path
) -> None:
    meeting = wire(Transport.UNIX, short_tmp, certificate=False)
    async with (
        our_server(meeting, max_streams=2) as running,
        client(meeting, running.target) as connected,
    ):
        outcomes = await connected.play([slow_call(number) for number in range(20)])
        assert running.server is not None
        assert len(running.server.links) == 1
    assert [outcome.code for outcome in outcomes] == [Code.OK] * 20


def grpcio_with_one_stream(meeting: Wire) -> AbstractAsyncContextManager[Server]:
    return grpcio_server(meeting, [("grpc.max_concurrent_streams", 1)])


def grpcgo_with_one_stream(meeting: Wire) -> AbstractAsyncContextManager[Server]:
    return grpcgo_server(meeting, "-max-streams=1")


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(grpcio_with_one_stream, id="grpcio"),
        pytest.param(grpcgo_with_one_stream, id="grpcgo", marks=pytest.mark.go),
    ],
)
async def test_our_client_says_at_once_that_the_server_takes_no_more(
    server: Servers, short_tmp: Path
) -> None:
    meeting = wire(Transport.UNIX, short_tmp, certificate=False)
    conversation = Conversation()
    conversation.client_sends(1)
    conversation.server_sends(1)
    conversation.gate(on_server=False)
    conversation.half_close()
    conversation.end()
    async with server(meeting) as running, our_client(meeting, running.target) as connected:
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(connected.play([conversation.call(1)]))
            await until(lambda: connected.gate.reached)
            assert not connected.connection.usable
            with pytest.raises(RpcError, match="takes no more streams"):
                connected.connection.open("/script/unary")
            connected.gate.set()
        assert playing.result()[0].code is Code.OK
        await until(lambda: connected.connection.usable)
        [outcome] = await connected.play([unary()])
        assert outcome.code is Code.OK
