# SPDX-License-Identifier: Apache-2.0
"""Suite ``xdsproxy``: step lists between a client in Envoy's place and a fake control plane, both grpcio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.xds.options import StoreOptions, XdsOptions
from agent.xds.proxy import XdsProxy
from mesh.clock import SystemClock
from tests.conformance.runner import Case, cases
from tests.support.fakeads import FakeAds, fake_ads
from tests.support.grpc_running import UNBOUNDED
from tests.support.grpcio import grpc
from wire import types
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Node,
)
from wire.types import TypeUrl

PATIENCE = 15.0


class Stage:
    """The two ends and what is open between them."""

    def __init__(self, case: Case, folder: Path, stack: AsyncExitStack) -> None:
        self.case = case
        self.socket = folder / "XDS"
        self.stack = stack
        self.ads = FakeAds()
        self.plane = AsyncExitStack()
        self.proxy: XdsProxy | None = None
        self.channels: dict[str, Any] = {}
        self.streams: dict[str, Any] = {}
        for type_url in (types.CLUSTER, types.LISTENER):
            self.ads.put(type_url, "one")

    @property
    def delta(self) -> bool:
        return bool(self.case.data["protocol"] == "delta")

    async def start_plane(self) -> None:
        port = int(self.ads.target.rpartition(":")[2] or 0)
        await self.plane.enter_async_context(fake_ads(self.ads, port=port))

    async def start_proxy(self, group: asyncio.TaskGroup, store: StoreOptions) -> None:
        options = XdsOptions(
            socket=str(self.socket), upstream=self.ads.target, tls=False, store=store
        )
        self.proxy = XdsProxy(options, SystemClock())
        task = group.create_task(self.proxy.run())
        self.stack.callback(task.cancel)
        await asyncio.wait_for(self.proxy.ready.wait(), PATIENCE)

    async def play(self, step: dict[str, Any]) -> None:
        """One step; its first known word says which."""
        match step:
            case {"open_stream": name, "on_connection": connection}:
                self.open(name, connection)
            case {"downstream": name, "send": what}:
                await self.send(name, what)
            case {"downstream": name, "expect": what}:
                response = await asyncio.wait_for(self.streams[name].read(), PATIENCE)
                assert response is not grpc.aio.EOF
                assert response.type_url == self.type_of(what["type"])
            case {"close_send": name}:
                await self.streams[name].done_writing()
            case {"close_connection": name}:
                await self.channels.pop(name).close()
            case {"proxy_upstream": "gone"}:
                await until(lambda: all(stream.closed.is_set() for stream in self.ads.streams))
            case {"control_plane": "stop"}:
                await self.plane.aclose()
            case {"control_plane": "start on the same address"}:
                await self.start_plane()
            case {"control_plane": _}:
                self.ads.streams.clear()
            case {"agent_health": health}:
                assert self.proxy is not None
                self.proxy.report_health("unhealthy" if health == "unhealthy" else None, code=500)
            case {"control_plane_expects_health": wanted}:
                await self.expect_health(wanted)
            case _:
                raise AssertionError(f"unknown step {step}")

    def open(self, name: str, connection: str) -> None:
        if connection not in self.channels:
            self.channels[connection] = grpc.aio.insecure_channel(
                f"unix:{self.socket}", options=UNBOUNDED
            )
        reply = DeltaDiscoveryResponse if self.delta else DiscoveryResponse
        method = self.channels[connection].stream_stream(
            types.DELTA_AGGREGATED if self.delta else types.STREAM_AGGREGATED,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=reply.FromString,
        )
        self.streams[name] = method()

    def type_of(self, word: str) -> TypeUrl:
        return TypeUrl(self.case.shared["types"][word])

    async def send(self, name: str, what: dict[str, Any]) -> None:
        key = "node" if what["node"] == "$NODE" else "health_node"
        node = Node(id=self.case.shared[key]["id"])
        node.metadata.update(self.case.shared[key]["metadata"])
        names = what.get("resource_names", [])
        if self.delta:
            request: Any = DeltaDiscoveryRequest(
                type_url=self.type_of(what["type"]), node=node, resource_names_subscribe=names
            )
        else:
            request = DiscoveryRequest(
                type_url=self.type_of(what["type"]), node=node, resource_names=names
            )
        await self.streams[name].write(request)

    async def expect_health(self, wanted: str) -> None:
        if wanted == "none":
            await asyncio.sleep(0.3)  # long enough for a wrong report to arrive
            assert self.health() == "none"
        else:
            await until(lambda: self.health() == wanted)

    def health(self) -> str:
        reports = self.ads.requests_of(types.HEALTH)
        return str(not reports[-1].HasField("error_detail")) if reports else "none"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("store", ["off", "on"])
@cases("xdsproxy/scripts", serves=lambda case: "ecds" not in case.features)
async def test_scripts(case: Case, store: str, short_tmp: Path) -> None:
    """With the peer's behaviour, and with the store that is ours by default: no script tells them apart."""
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        stage = Stage(case, short_tmp, stack)
        stack.push_async_callback(stage.plane.aclose)
        await stage.start_plane()
        await stage.start_proxy(group, StoreOptions(enabled=store == "on"))
        try:
            for step in case.data["steps"]:
                await stage.play(step)
        finally:
            for channel in stage.channels.values():
                await channel.close()
