# SPDX-License-Identifier: Apache-2.0
"""Random scripts end between ours, grpcio and grpc-go as they end between grpcio and itself.

A script comes from its seed alone; a failure prints both, and ``WITNESS_SEED=n`` makes ``long`` begin with another one.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from pprint import pformat

import pytest

from tests.wire.witness.ends import Clients, Servers, wire
from tests.wire.witness.grpcgo_ends import grpcgo_client, grpcgo_server
from tests.wire.witness.grpcio_ends import grpcio_client, grpcio_server
from tests.wire.witness.ours import our_client, our_server
from tests.wire.witness.play import play
from tests.wire.witness.random_scripts import random_script

FEW = 40
MANY = 1000
CHUNK = 25
FIRST = int(os.environ.get("WITNESS_SEED", "0"))

Ways = dict[str, tuple[Clients, Servers]]

WAYS: Ways = {
    "ours > grpcio": (our_client, grpcio_server),
    "grpcio > ours": (grpcio_client, our_server),
    "ours > ours": (our_client, our_server),
}


GO_WAYS: Ways = {
    "ours > grpc-go": (our_client, grpcgo_server),
    "grpc-go > ours": (grpcgo_client, our_server),
}


async def played(ways: Ways, seed: int, directory: Path) -> None:
    script = random_script(seed)
    server = wire(script.transport, directory, certificate=False, windows=script.server_windows)
    client = replace(server, windows=script.client_windows)
    expected = await play(client, grpcio_client, grpcio_server, script.calls, server=server)
    for way, (clients, servers) in ways.items():
        both = await play(client, clients, servers, script.calls, server=server)
        for call, ours, reference in zip(script.calls, both, expected, strict=True):
            assert ours == reference, (
                f"seed {seed}, {way}, call {call.number}\n{pformat(call)}\n{pformat(script)}"
            )


@pytest.mark.parametrize("seed", range(FEW))
async def test_a_random_script_ends_as_between_grpcio_and_itself(
    seed: int, short_tmp: Path
) -> None:
    await played(WAYS, seed, short_tmp)


@pytest.mark.go
@pytest.mark.parametrize("seed", range(FEW, FEW + FEW // 2))
async def test_a_random_script_ends_with_grpc_go_as_between_grpcio_and_itself(
    seed: int, short_tmp: Path
) -> None:
    await played(GO_WAYS, seed, short_tmp)


@pytest.mark.go
@pytest.mark.long
@pytest.mark.parametrize("first", range(FIRST, FIRST + MANY, CHUNK))
async def test_many_random_scripts_end_as_between_grpcio_and_itself(
    first: int, short_tmp: Path
) -> None:
    for seed in range(first, first + CHUNK):
        directory = short_tmp / str(seed)
        directory.mkdir()
        await played(WAYS if seed % 4 else WAYS | GO_WAYS, seed, directory)
