# SPDX-License-Identifier: Apache-2.0
"""A server that leaves in good order (RFC 9113 section 6.8): the call under way goes on, and no new one begins."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.wire.witness.ends import DEADLINE, Clients, Servers, Transport, until, wire
from tests.wire.witness.ours import OurServer, our_client, our_server
from tests.wire.witness.pairs import MEETINGS, WITNESS_CLIENTS, WITNESS_SERVERS
from tests.wire.witness.scenarios import unary
from tests.wire.witness.script import Call, Conversation, filling, receipt
from wire.h2io import Code, RpcError

pytestmark = pytest.mark.parametrize(("transport", "certificate"), MEETINGS)


def two_rounds(*, gate_on_server: bool) -> Call:
    """The gate opens when the server has said that it leaves."""
    conversation = Conversation()
    conversation.client_sends(10)
    conversation.server_sends(10)
    conversation.gate(on_server=gate_on_server)
    conversation.client_sends(200_000)
    conversation.half_close()
    conversation.server_sends(200_000)
    conversation.end(Code.OK, "", ("x-last", "1"))
    return conversation.call(1)


BOTH_REPLIES = tuple(receipt(filling(1, n, size)) for n, size in enumerate((10, 200_000)))


def has_read_our_goaway(server: OurServer) -> bool:
    """The PING after our first GOAWAY was answered."""
    assert server.server is not None
    return all(link.h2.gone for link in server.server.links)


@pytest.mark.parametrize("client", WITNESS_CLIENTS)
async def test_our_server_leaves(
    client: Clients, transport: Transport, certificate: bool, short_tmp: Path
) -> None:
    meeting = wire(transport, short_tmp, certificate=certificate)
    async with our_server(meeting) as running, client(meeting, running.target) as connected:
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(connected.play([two_rounds(gate_on_server=True)]))
            await until(lambda: running.gate.reached)
            draining = group.create_task(running.drain())
            await until(lambda: has_read_our_goaway(running))
            assert not draining.done()
            running.gate.set()
        [outcome] = playing.result()
        assert (outcome.code, outcome.messages) == (Code.OK, BOTH_REPLIES)
        [refused] = await connected.play([unary()])
        assert refused.code is Code.UNAVAILABLE


@pytest.mark.parametrize("server", WITNESS_SERVERS)
async def test_our_client_is_told_that_the_server_leaves(
    server: Servers, transport: Transport, certificate: bool, short_tmp: Path
) -> None:
    meeting = wire(transport, short_tmp, certificate=certificate)
    async with server(meeting) as running, our_client(meeting, running.target) as connected:
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(connected.play([two_rounds(gate_on_server=False)]))
            await until(lambda: connected.gate.reached)
            group.create_task(running.drain())
            await until(lambda: not connected.connection.usable)
            assert not connected.connection.closed
            with pytest.raises(RpcError, match="UNAVAILABLE"):
                connected.connection.open("/script/unary")
            connected.gate.set()
        [outcome] = playing.result()
        assert (outcome.code, outcome.messages) == (Code.OK, BOTH_REPLIES)
        async with asyncio.timeout(DEADLINE):
            await connected.connection.wait_closed()
