# SPDX-License-Identifier: Apache-2.0
"""grpcio and grpc-go as the other side of ours, over everything that carries bytes.

Each scenario has to end as it does between grpcio and itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.witness.ends import Clients, Servers, Transport, wire
from tests.wire.witness.grpcio_ends import grpcio_client, grpcio_server
from tests.wire.witness.ours import our_client
from tests.wire.witness.pairs import MEETINGS, PAIRS, WITNESS_SERVERS
from tests.wire.witness.play import Both, play
from tests.wire.witness.scenarios import SCENARIOS
from tests.wire.witness.script import Conversation
from wire.h2io import Code


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(("transport", "certificate"), MEETINGS)
@pytest.mark.parametrize(("client", "server"), PAIRS)
async def test_each_scenario_ends_as_between_grpcio_and_itself(
    short_tmp: Path,
    client: Clients,
    server: Servers,
    transport: Transport,
    certificate: bool,
    scenario: str,
) -> None:
    call = SCENARIOS[scenario]()
    meeting = wire(transport, short_tmp, certificate=certificate)
    assert await play(meeting, client, server, [call]) == await reference(scenario, short_tmp)


_REFERENCE: dict[str, list[Both]] = {}


async def reference(scenario: str, directory: Path) -> list[Both]:
    """What grpcio and itself make of it."""
    if scenario not in _REFERENCE:
        meeting = wire(Transport.UNIX, directory, certificate=False)
        call = SCENARIOS[scenario]()
        _REFERENCE[scenario] = await play(meeting, grpcio_client, grpcio_server, [call])
    return _REFERENCE[scenario]


@pytest.mark.parametrize("server", WITNESS_SERVERS)
async def test_a_server_whose_message_is_too_big_for_us_hears_that_the_call_is_over(
    server: Servers, short_tmp: Path
) -> None:
    conversation = Conversation()
    conversation.server_sends(1000, 1001)
    conversation.hang()
    meeting = wire(Transport.UNIX, short_tmp, certificate=False)
    async with (
        server(meeting) as running,
        our_client(meeting, running.target, max_message=1000) as connected,
    ):
        [outcome] = await connected.play([conversation.call()])
        assert (outcome.code, len(outcome.messages)) == (Code.RESOURCE_EXHAUSTED, 1)
        assert (await running.seen(0)).end == "cancelled"
