# SPDX-License-Identifier: Apache-2.0
"""The whole xDS part between two grpcio witnesses: one plays Envoy, one the control plane."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.xds.options import StoreOptions, XdsOptions
from agent.xds.proxy import XdsProxy
from mesh.clock import SystemClock
from tests.support.fakeads import FakeAds, fake_ads
from tests.support.grpc_running import UNBOUNDED
from tests.support.grpcio import grpc
from tests.support.testca import CA
from wire import types
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Node,
    RpcStatus,
)
from wire.types import TypeUrl

WAIT = 20.0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(options: XdsOptions, **kwargs: Any) -> AsyncIterator[XdsProxy]:
    proxy = XdsProxy(options, SystemClock(), **kwargs)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(proxy.run())
        await asyncio.wait_for(proxy.ready.wait(), WAIT)
        try:
            yield proxy
        finally:
            task.cancel()


def options_for(tmp: Path, target: str, **kwargs: Any) -> XdsOptions:
    store = kwargs.pop("store", StoreOptions(enabled=False))
    return XdsOptions(socket=str(tmp / "XDS"), upstream=target, tls=False, store=store, **kwargs)


class Envoy:
    """A grpcio client in Envoy's place: one ADS stream."""

    def __init__(self, socket: Path, *, delta: bool = True) -> None:
        self.delta = delta
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=UNBOUNDED)
        method = self._channel.stream_stream(
            types.DELTA_AGGREGATED if delta else types.STREAM_AGGREGATED,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=(
                DeltaDiscoveryResponse if delta else DiscoveryResponse
            ).FromString,
        )
        self.call = method()
        self._first = True

    async def ask(self, type_url: TypeUrl, *names: str, **kwargs: Any) -> None:
        node = Node(id="sidecar~1.1.1.1~a.b~b.svc") if self._first else None
        self._first = False
        if self.delta:
            await self.call.write(
                DeltaDiscoveryRequest(
                    node=node, type_url=type_url, resource_names_subscribe=names, **kwargs
                )
            )
        else:
            await self.call.write(
                DiscoveryRequest(node=node, type_url=type_url, resource_names=names, **kwargs)
            )

    async def read(self) -> DeltaDiscoveryResponse | DiscoveryResponse:
        response = await asyncio.wait_for(self.call.read(), WAIT)
        assert response is not grpc.aio.EOF, await self.call.code()
        assert isinstance(response, DeltaDiscoveryResponse | DiscoveryResponse)
        return response

    async def ack(
        self, response: DeltaDiscoveryResponse | DiscoveryResponse, error: str = ""
    ) -> None:
        detail = RpcStatus(code=13, message=error) if error else None
        if self.delta:
            await self.call.write(
                DeltaDiscoveryRequest(
                    type_url=response.type_url, response_nonce=response.nonce, error_detail=detail
                )
            )
        else:
            assert isinstance(response, DiscoveryResponse)
            await self.call.write(
                DiscoveryRequest(
                    type_url=response.type_url,
                    response_nonce=response.nonce,
                    version_info=response.version_info,
                    error_detail=detail,
                )
            )

    async def code(self) -> Any:
        return await asyncio.wait_for(self.call.code(), WAIT)

    async def close(self) -> None:
        self.call.cancel()
        await self._channel.close()


@asynccontextmanager
async def envoy(socket: Path, *, delta: bool = True) -> AsyncIterator[Envoy]:
    one = Envoy(socket, delta=delta)
    try:
        yield one
    finally:
        await one.close()


def small_mesh() -> FakeAds:
    ads = FakeAds()
    ads.put(types.CLUSTER, "outbound|80||a", "outbound|80||b")
    ads.put(types.LISTENER, "0.0.0.0_80")
    ads.put(types.ENDPOINT, "outbound|80||a", "outbound|80||b")
    return ads


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
async def test_requests_and_responses_pass_unchanged(short_tmp: Path, delta: bool) -> None:
    async with AsyncExitStack() as stack:
        ads = await stack.enter_async_context(fake_ads(small_mesh()))
        options = options_for(short_tmp, ads.target, headers=(("X-Extra", "1"),), cluster_id="c1")
        await stack.enter_async_context(running(options))
        one = await stack.enter_async_context(envoy(short_tmp / "XDS", delta=delta))
        await one.ask(types.CLUSTER)
        clusters = await one.read()
        assert len(clusters.resources) == 2
        await one.ack(clusters)
        await one.ask(types.ENDPOINT, "outbound|80||a")
        endpoints = await one.read()
        assert (endpoints.type_url, len(endpoints.resources)) == (types.ENDPOINT, 1)
        await until(lambda: len(ads.streams[0].requests) == 3)
        assert ads.streams[0].requests[0].node.id == "sidecar~1.1.1.1~a.b~b.svc"
        assert ads.streams[0].requests[1].response_nonce == clusters.nonce
        metadata = ads.streams[0].metadata
        assert (metadata["clusterid"], metadata["x-extra"]) == ("c1", "1")
        assert "authorization" not in metadata


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
async def test_64_mib_push(short_tmp: Path, delta: bool) -> None:
    ads = small_mesh()
    ads.put(types.CLUSTER, "big", size=64 * 1024 * 1024)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(fake_ads(ads))
        await stack.enter_async_context(running(options_for(short_tmp, ads.target)))
        one = await stack.enter_async_context(envoy(short_tmp / "XDS", delta=delta))
        await one.ask(types.CLUSTER)
        response = await one.read()
        expected = ads.delta(types.CLUSTER) if delta else ads.sotw(types.CLUSTER)
        expected.nonce = response.nonce
        assert response == expected


async def test_many_pushes_keep_their_order(short_tmp: Path) -> None:
    ads = small_mesh()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(fake_ads(ads))
        await stack.enter_async_context(running(options_for(short_tmp, ads.target)))
        one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        await one.ask(types.CLUSTER)
        await one.read()
        sent = []
        for number in range(500):
            ads.put(types.CLUSTER, f"c{number}", size=number * 37 % 5000)
            sent.append(await ads.push(types.CLUSTER))
        assert [(await one.read()).nonce for _ in range(500)] == sent


async def test_token_is_read_for_each_stream(short_tmp: Path) -> None:
    token = short_tmp / "token"
    token.write_text("first\n")
    async with AsyncExitStack() as stack:
        ads = await stack.enter_async_context(fake_ads(small_mesh()))
        await stack.enter_async_context(
            running(options_for(short_tmp, ads.target, token=str(token)))
        )
        for text in ("first", "second"):
            token.write_text(f"{text}\n")
            async with envoy(short_tmp / "XDS") as one:
                await one.ask(types.CLUSTER)
                await one.read()
            assert ads.streams[-1].metadata["authorization"] == f"Bearer {text}"


async def test_a_new_stream_ends_the_old_one(short_tmp: Path) -> None:
    async with AsyncExitStack() as stack:
        ads = await stack.enter_async_context(fake_ads(small_mesh()))
        await stack.enter_async_context(running(options_for(short_tmp, ads.target)))
        old = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        await old.ask(types.CLUSTER)
        await old.read()
        new = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        await new.ask(types.CLUSTER)
        await new.read()
        assert await old.code() is grpc.StatusCode.OK
        await asyncio.wait_for(ads.streams[0].closed.wait(), WAIT)
        await new.ask(types.LISTENER)
        assert (await new.read()).type_url == types.LISTENER


async def test_upstream_status_reaches_envoy(short_tmp: Path) -> None:
    async with AsyncExitStack() as stack:
        ads = await stack.enter_async_context(fake_ads(small_mesh()))
        proxy = await stack.enter_async_context(running(options_for(short_tmp, ads.target)))
        one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        await one.ask(types.CLUSTER)
        await one.read()
        await ads.streams[0].out.put(grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert await one.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert 'istiod_connection_terminations{type="error"} 1' in proxy.metrics()
        assert proxy.source == "none"


async def test_no_control_plane_and_no_store_is_unavailable(short_tmp: Path) -> None:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(running(options_for(short_tmp, "127.0.0.1:1")))
        one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        assert await one.code() is grpc.StatusCode.UNAVAILABLE
        assert "istio_agent_istiod_connection_failures 1" in proxy.metrics()


async def test_only_admitted_users_are_relayed(
    short_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who was refused, and the setting that admits it, are said to the operator."""
    mine, stranger = os.geteuid(), frozenset({os.geteuid() + 1})
    options = options_for(short_tmp, "127.0.0.1:1", uds_allow=stranger)
    async with running(options), envoy(short_tmp / "XDS") as client:
        assert await client.code() is grpc.StatusCode.UNAVAILABLE
    said = capsys.readouterr().out
    assert f"uid={mine} pid={os.getpid()} " in said
    assert f"uid {mine} may not use the xDS socket; PILOT_UDS_ALLOW={mine},... admits it" in said


async def test_envoy_that_leaves_ends_the_stream_upstream(short_tmp: Path) -> None:
    async with AsyncExitStack() as stack:
        ads = await stack.enter_async_context(fake_ads(small_mesh()))
        await stack.enter_async_context(running(options_for(short_tmp, ads.target)))
        async with envoy(short_tmp / "XDS") as one:
            await one.ask(types.CLUSTER)
            await one.read()
        await asyncio.wait_for(ads.streams[0].closed.wait(), WAIT)


async def test_garbage_request_ends_its_stream_only(short_tmp: Path) -> None:
    async with AsyncExitStack() as stack:
        ads = await stack.enter_async_context(fake_ads(small_mesh()))
        await stack.enter_async_context(running(options_for(short_tmp, ads.target)))
        async with grpc.aio.insecure_channel(f"unix:{short_tmp}/XDS") as channel:
            call = channel.stream_stream(types.DELTA_AGGREGATED)()
            await call.write(b"\xff\xff\xff garbage")
            assert await asyncio.wait_for(call.code(), WAIT) is grpc.StatusCode.INTERNAL
        one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        await one.ask(types.CLUSTER)
        await one.read()


async def test_types_of_the_agent_are_answered_and_never_seen_by_envoy(short_tmp: Path) -> None:
    handled: list[Sequence[bytes]] = []

    def handle(bodies: Sequence[bytes]) -> str | None:
        handled.append(bodies)
        return "cannot use this" if len(handled) > 1 else None

    ads = small_mesh()
    ads.put(types.PROXY_CONFIG, "x")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(fake_ads(ads))
        options = options_for(short_tmp, ads.target, proxy_config_updates=True)
        await stack.enter_async_context(running(options, local={types.PROXY_CONFIG: handle}))
        one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        await one.ask(types.LISTENER)
        assert (await one.read()).type_url == types.LISTENER
        await until(lambda: len(ads.requests_of(types.PROXY_CONFIG)) == 2)
        await ads.push(types.PROXY_CONFIG)
        await until(lambda: len(ads.requests_of(types.PROXY_CONFIG)) == 3)
        asked, acked, nacked = ads.requests_of(types.PROXY_CONFIG)
        assert handled == [[b"\x0a\x01x"]] * 2
        assert not asked.response_nonce
        assert acked.response_nonce
        assert not acked.HasField("error_detail")
        assert (nacked.error_detail.code, nacked.error_detail.message) == (13, "cannot use this")
        await ads.push(types.CLUSTER)
        assert (await one.read()).type_url == types.CLUSTER


async def test_foreign_types_are_dropped(short_tmp: Path) -> None:
    foreign = TypeUrl("type.googleapis.com/acme.Thing")
    ads = small_mesh()
    ads.put(foreign, "x")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(fake_ads(ads))
        await stack.enter_async_context(running(options_for(short_tmp, ads.target)))
        one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        await one.ask(types.CLUSTER)
        await one.read()
        await ads.push(foreign)
        await ads.push(types.CLUSTER)
        assert (await one.read()).type_url == types.CLUSTER


async def test_tls_with_roots_and_server_name(short_tmp: Path) -> None:
    ca = CA()
    leaf = ca.issue("istiod.istio-system.svc")
    roots = short_tmp / "root.pem"
    roots.write_bytes(CA("wrong").certificate)
    credentials = grpc.ssl_server_credentials([(leaf.key, leaf.chain)])
    async with AsyncExitStack() as stack:
        ads = await stack.enter_async_context(fake_ads(small_mesh(), credentials=credentials))
        options = XdsOptions(
            socket=str(short_tmp / "XDS"),
            upstream=ads.target,
            roots=str(roots),
            server_name="istiod.istio-system.svc",
            store=StoreOptions(enabled=False),
        )
        await stack.enter_async_context(running(options))
        async with envoy(short_tmp / "XDS") as one:
            assert await one.code() is grpc.StatusCode.UNAVAILABLE
        roots.write_bytes(ca.certificate)  # replaced on disk: the next stream works
        async with envoy(short_tmp / "XDS") as one:
            await one.ask(types.CLUSTER)
            await one.read()


# ---- the store ----


def stored(tmp: Path, **kwargs: Any) -> StoreOptions:
    return StoreOptions(
        directory=str(tmp / "state"),
        quiet=0.01,
        patience=5.0,
        node_id="n",
        trust_domain="td",
        **kwargs,
    )


async def learn(tmp: Path, ads: FakeAds, *, delta: bool = True) -> None:
    """One life of an agent with a control plane: Envoy takes everything."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(options_for(tmp, ads.target, store=stored(tmp))))
        one = await stack.enter_async_context(envoy(tmp / "XDS", delta=delta))
        for type_url in (types.CLUSTER, types.LISTENER):
            await one.ask(type_url)
            await one.ack(await one.read())
        await one.ask(types.ENDPOINT, "outbound|80||a")
        await one.ack(await one.read())
        await until(
            lambda: (
                ads.streams[-1].requests[-1].response_nonce and len(ads.streams[-1].requests) == 6
            )
        )


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])
async def test_a_restarted_agent_serves_what_envoy_had(short_tmp: Path, delta: bool) -> None:
    async with fake_ads(small_mesh()) as ads:
        await learn(short_tmp, ads, delta=delta)
    async with AsyncExitStack() as stack:
        options = options_for(short_tmp, ads.target, store=stored(short_tmp))
        proxy = await stack.enter_async_context(running(options))
        one = await stack.enter_async_context(envoy(short_tmp / "XDS", delta=delta))
        await one.ask(types.CLUSTER)
        clusters = await one.read()
        assert len(clusters.resources) == 2
        await one.ack(clusters)
        await one.ask(types.ENDPOINT, "outbound|80||a")
        assert len((await one.read()).resources) == 1
        await one.ask(types.LISTENER)
        assert len((await one.read()).resources) == 1
        assert proxy.source == "store"
        # the control plane returns: Envoy's stream is ended and the next one goes there
        port = int(ads.target.rpartition(":")[2])
        await stack.enter_async_context(fake_ads(ads, port=port))
        assert await one.code() is grpc.StatusCode.OK
        again = await stack.enter_async_context(envoy(short_tmp / "XDS", delta=delta))
        await again.ask(types.CLUSTER)
        await again.read()
        assert proxy.source == "control plane"


async def test_store_file_is_ours_alone(short_tmp: Path) -> None:
    async with fake_ads(small_mesh()) as ads:
        await learn(short_tmp, ads)
    assert stat.S_IMODE((short_tmp / "state").stat().st_mode) == 0o700
    for name in os.listdir(short_tmp / "state"):
        assert stat.S_IMODE((short_tmp / "state" / name).stat().st_mode) == 0o600


async def test_a_refused_version_is_not_served_later(short_tmp: Path) -> None:
    ads = small_mesh()
    async with fake_ads(ads):
        await learn(short_tmp, ads)
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(
                running(options_for(short_tmp, ads.target, store=stored(short_tmp)))
            )
            one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
            await one.ask(types.CLUSTER)
            await one.ack(await one.read())
            ads.put(types.CLUSTER, "poison")
            await ads.push(types.CLUSTER)
            await one.ack(await one.read(), error="bad cluster")
            await until(lambda: "bad cluster" in str(proxy.status()))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            running(options_for(short_tmp, ads.target, store=stored(short_tmp)))
        )
        one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        await one.ask(types.CLUSTER)
        served = await one.read()
        assert isinstance(served, DeltaDiscoveryResponse)
        assert sorted(r.name for r in served.resources) == ["outbound|80||a", "outbound|80||b"]


async def test_a_control_plane_that_refuses_streams_counts_as_absent(short_tmp: Path) -> None:
    ads = small_mesh()
    async with fake_ads(ads):
        await learn(short_tmp, ads)
        ads.refuse = grpc.StatusCode.UNAUTHENTICATED
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(
                running(options_for(short_tmp, ads.target, store=stored(short_tmp)))
            )
            one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
            await one.ask(types.CLUSTER)
            assert len((await one.read()).resources) == 2
            assert proxy.source == "store"
            ads.refuse = None
            assert await one.code() is grpc.StatusCode.OK


async def test_an_empty_store_serves_nothing(short_tmp: Path) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            running(options_for(short_tmp, "127.0.0.1:1", store=stored(short_tmp)))
        )
        one = await stack.enter_async_context(envoy(short_tmp / "XDS"))
        assert await one.code() is grpc.StatusCode.UNAVAILABLE


async def test_two_envoys_have_a_stream_each_and_takeover_is_within_one(short_tmp: Path) -> None:
    seats = iter([1, 2, 1])
    ads = FakeAds()
    ads.put(types.CLUSTER, "a")
    async with (
        fake_ads(ads),
        running(options_for(short_tmp, ads.target), seat=lambda _: next(seats)),
    ):
        envoys = []
        for _ in range(3):  # one after the other: a call reaches us when it is made
            envoys.append(Envoy(short_tmp / "XDS"))
            await envoys[-1].ask(types.CLUSTER)
            await envoys[-1].read()
        first, second, _ = envoys
        assert await first.code() is grpc.StatusCode.OK, "the same Envoy came again"
        await second.ask(types.ENDPOINT, "x")
        await until(lambda: ads.requests_of(types.ENDPOINT))
        for envoy in envoys:
            await envoy.close()
