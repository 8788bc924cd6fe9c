# SPDX-License-Identifier: Apache-2.0
"""grpcio and grpc-go as the other side of ours, over everything that carries bytes.

Each scenario has to end as it does between grpcio and itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.witness.ends import Clients, Servers, Transport, wire
from tests.wire.witness.grpcio_ends import grpcio_client, grpcio_server
from tests.wire.witness.pairs import MEETINGS, PAIRS
from tests.wire.witness.play import Both, play
from tests.wire.witness.scenarios import SCENARIOS


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
