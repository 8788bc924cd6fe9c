# SPDX-License-Identifier: Apache-2.0
"""The gate: what a new Envoy is given, and when it is answered. grpcio stands in for Envoy here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.envoy.gate import METHOD, NAME, Gatekeeper, with_gate
from tests.support.grpcio import grpc
from wire import types
from wire.h2io import Server
from wire.proto.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

WAIT = 20.0


def test_an_override_of_the_users_stays() -> None:
    users = {"static_resources": {"listeners": [{"name": "mine"}]}, "admin": {"x": 1}}
    found = json.loads(with_gate(json.dumps(users), "g", xds_socket="X", admin_socket="A"))
    assert [each["name"] for each in found["static_resources"]["listeners"]] == ["mine", NAME]
    assert found["admin"] == {"x": 1, "address": {"pipe": {"path": "A"}}}
    assert users["admin"] == {"x": 1}


def test_no_port_is_taken_and_no_admin_moved_unless_asked() -> None:
    found = json.loads(with_gate("", "g-7", xds_socket="X"))
    (listener,) = found["static_resources"]["listeners"]
    assert listener["bind_to_port"] is False
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["rds"]["route_config_name"] == "g-7"
    assert manager["rds"]["config_source"]["initial_fetch_timeout"] == "0s", "for ever"
    assert "admin" not in found


@asynccontextmanager
async def asked(tmp: Path, keeper: Gatekeeper, gate: str) -> AsyncIterator[grpc.aio.Call]:
    server = Server({METHOD: keeper.serve})
    await server.bind_unix(str(tmp / "X"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve())
        async with grpc.aio.insecure_channel(f"unix:{tmp / 'X'}") as channel:
            call = channel.stream_stream(
                METHOD,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=DiscoveryResponse.FromString,
            )()
            await call.write(DiscoveryRequest(resource_names=[gate], type_url=types.ROUTE))
            yield call
            call.cancel()
        task.cancel()


async def test_who_asks_waits_until_it_is_opened(short_tmp: Path) -> None:
    keeper = Gatekeeper()
    other, gate = keeper.build(), keeper.build()
    async with asked(short_tmp, keeper, gate) as call, asyncio.TaskGroup() as group:
        answer = group.create_task(call.read())
        keeper.open(other)
        done, _ = await asyncio.wait([answer], timeout=0.2)
        assert not done
        keeper.open(gate)
        response = await asyncio.wait_for(answer, WAIT)
        assert response.type_url == types.ROUTE
        assert gate.encode() in response.resources[0].value


async def test_a_gate_that_nobody_built(short_tmp: Path) -> None:
    async with asked(short_tmp, Gatekeeper(), "strange") as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call.read(), WAIT)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
