# SPDX-License-Identifier: Apache-2.0
"""One stream, where the control plane misbehaves: it dies inside a message, stalls, answers too late."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agent.xds.options import StoreOptions, XdsOptions
from agent.xds.proxy import XdsProxy
from mesh.clock import SystemClock
from tests.support.grpc_running import Running, serving
from wire import types
from wire.h2io import ClientCall, Code, Limits, RpcError, ServerCall, connect
from wire.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource
from wire.types import TypeUrl

ASK = DeltaDiscoveryRequest(type_url=types.CLUSTER).SerializeToString()


def response(size: int, type_url: TypeUrl = types.CLUSTER) -> bytes:
    message = DeltaDiscoveryResponse(type_url=type_url, nonce="n")
    one = Resource(name="a", version="1")
    one.resource.type_url = type_url
    one.resource.value = b"\x0a\x01a" + b"\x7a\xff\xff\x03" + bytes(65_535) * (size // 65_535 + 1)
    message.resources.append(one)
    return message.SerializeToString()


async def start(stack: AsyncExitStack, folder: Path, upstream: Running) -> ClientCall:
    """A proxy between ``upstream`` and a client of ours in Envoy's place."""
    options = XdsOptions(
        socket=str(folder / "XDS"),
        upstream=upstream.target,
        tls=False,
        store=StoreOptions(enabled=False),
    )
    proxy = XdsProxy(options, SystemClock())
    group = await stack.enter_async_context(asyncio.TaskGroup())
    task = group.create_task(proxy.run())
    stack.callback(task.cancel)
    await asyncio.wait_for(proxy.ready.wait(), 10)
    connection = await connect(f"unix:{folder}/XDS", limits=Limits(max_message=0))
    stack.push_async_callback(connection.close)
    call = connection.open(types.DELTA_AGGREGATED)
    call.send_nowait(ASK)
    return call


async def test_a_message_that_ends_half_resets_envoys_stream(short_tmp: Path) -> None:
    die = asyncio.Event()

    async def half(call: ServerCall) -> None:
        await call.receive()
        whole = response(200_000)
        call.begin(len(whole))
        call.write((whole[:100_000],))
        await die.wait()
        call.reset()

    async with serving({types.DELTA_AGGREGATED: half}) as upstream, AsyncExitStack() as stack:
        call = await start(stack, short_tmp, upstream)
        await asyncio.sleep(0.1)
        die.set()
        with pytest.raises(RpcError) as ended:
            await asyncio.wait_for(call.receive(), 10)
        assert ended.value.status.code is Code.CANCELLED
        assert "reset" in ended.value.status.message


async def test_between_messages_the_end_is_a_status(short_tmp: Path) -> None:
    async def one_then_end(call: ServerCall) -> None:
        await call.receive()
        await call.send(response(10))

    async with (
        serving({types.DELTA_AGGREGATED: one_then_end}) as upstream,
        AsyncExitStack() as stack,
    ):
        call = await start(stack, short_tmp, upstream)
        assert await asyncio.wait_for(call.receive(), 10) == response(10)
        assert await asyncio.wait_for(call.receive(), 10) is None


async def test_an_envoy_that_does_not_read_stops_the_control_plane(short_tmp: Path) -> None:
    """Back-pressure: what is under way between the two is bounded."""
    sent = 0

    async def flood(call: ServerCall) -> None:
        nonlocal sent
        await call.receive()
        message = response(1_000_000)
        for _ in range(100):
            await call.send(message)
            sent += len(message)

    class Lazy:
        """Takes nothing: its window is never given back."""

        def on_data(self, pieces: object, offset: int, length: int) -> None: ...
        def on_end(self, status: object) -> None: ...
        def on_writable(self) -> None: ...

    async with serving({types.DELTA_AGGREGATED: flood}) as upstream, AsyncExitStack() as stack:
        call = await start(stack, short_tmp, upstream)
        call.pause()
        call.attach(Lazy())
        await asyncio.sleep(0.5)
        first = sent
        await asyncio.sleep(0.3)
        assert sent == first  # stands still
        assert sent < 30_000_000
        call.resume()
        async with asyncio.timeout(20):
            while sent < 100_000_000:
                await asyncio.sleep(0.01)


async def test_a_type_that_comes_late_is_waited_for(short_tmp: Path) -> None:
    """The first bytes do not name the type: nothing goes to Envoy before they do."""
    whole = response(10)

    async def dribble(call: ServerCall) -> None:
        await call.receive()
        call.begin(len(whole))
        for at in range(len(whole)):
            if at < 60:
                await asyncio.sleep(0)
            call.write((whole[at : at + 1],))
        await call.receive()

    async with serving({types.DELTA_AGGREGATED: dribble}) as upstream, AsyncExitStack() as stack:
        call = await start(stack, short_tmp, upstream)
        assert await asyncio.wait_for(call.receive(), 10) == whole
