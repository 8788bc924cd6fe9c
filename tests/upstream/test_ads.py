# SPDX-License-Identifier: Apache-2.0
"""The service as grpcio sees it: both variants, from first request to push, refusal and reconnect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tests.upstream.rig import SOON, Client, Rig, delta, node, serving, sotw, values
from upstream import ads
from upstream.ads import DELTA_PATH, go_name, human
from upstream.metrics import Metric
from upstream.queue import Reason, request
from upstream.watch import CDS, EDS, HEALTH, LDS, NDS, RDS
from wire.h2io import Server
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Node,
    RpcStatus,
)


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.resources = {
        CDS: {"c1": "1", "c2": "1"},
        EDS: {"c1": "10.0.0.1", "c2": "10.0.0.2"},
        LDS: {"l1": "1"},
        RDS: {"80": "a", "90": "b"},
    }
    return rig


@pytest.fixture
async def channel(rig: Rig) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        serving(Server(rig.ads.routes(rig.gate()))) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel


async def ask(
    client: Client[DiscoveryRequest, DiscoveryResponse],
    type_url: str,
    *names: str,
    said: DiscoveryResponse | None = None,
) -> None:
    await client.send(
        DiscoveryRequest(
            type_url=type_url,
            node=node(),
            resource_names=names,
            response_nonce=said.nonce if said else "",
            version_info=said.version_info if said else "",
        )
    )


async def subscribe(
    client: Client[DeltaDiscoveryRequest, DeltaDiscoveryResponse], type_url: str, *names: str
) -> DeltaDiscoveryResponse:
    """Subscribe, and acknowledge the answer."""
    await client.send(
        DeltaDiscoveryRequest(type_url=type_url, node=node(), resource_names_subscribe=names)
    )
    said = await client.receive()
    await ack(client, said)
    return said


async def ack(
    client: Client[DeltaDiscoveryRequest, DeltaDiscoveryResponse], said: DeltaDiscoveryResponse
) -> None:
    await client.send(DeltaDiscoveryRequest(type_url=said.type_url, response_nonce=said.nonce))


async def test_sotw_from_first_request_to_push(rig: Rig, channel: grpc.aio.Channel) -> None:
    client = sotw(channel)
    await ask(client, CDS)
    clusters = await client.receive()
    assert clusters.type_url == CDS
    assert values(clusters) == ["c1=1", "c2=1"]
    assert clusters.nonce.startswith(clusters.version_info)
    await ask(client, CDS, said=clusters)
    await ask(client, EDS, "c1", "c2")
    endpoints = await client.receive()
    assert values(endpoints) == ["c1=10.0.0.1", "c2=10.0.0.2"]
    await ask(client, EDS, "c1", "c2", said=endpoints)

    rig.resources[EDS]["c2"] = "10.0.0.9"
    rig.push()
    pushed = await client.receive()
    assert (pushed.type_url, values(pushed)) == (EDS, ["c2=10.0.0.9"])
    assert pushed.version_info != endpoints.version_info
    await client.silent()


async def test_sotw_newly_asked_names_only(channel: grpc.aio.Channel) -> None:
    client = sotw(channel)
    await ask(client, RDS, "80")
    first = await client.receive()
    await ask(client, RDS, "80", "90", said=first)
    second = await client.receive()
    assert values(second) == ["90=b"]
    await ask(client, RDS, "90", said=second)
    await client.silent()


async def test_sotw_unchanged_world_is_not_pushed(rig: Rig, channel: grpc.aio.Channel) -> None:
    client = sotw(channel)
    await ask(client, CDS)
    await client.receive()
    rig.push()
    await client.silent()


async def test_endpoints_follow_replaced_clusters(rig: Rig, channel: grpc.aio.Channel) -> None:
    client = sotw(channel)
    await ask(client, EDS, "c1")
    await client.receive()
    await ask(client, CDS)
    await client.receive()
    rig.resources[CDS]["c1"] = "2"
    rig.push()
    clusters, endpoints = await client.receive(), await client.receive()
    assert (clusters.type_url, values(clusters)) == (CDS, ["c1=2", "c2=1"])
    assert (endpoints.type_url, values(endpoints)) == (EDS, ["c1=10.0.0.1"])


async def test_delta_push_has_differences_and_removals_in_order(
    rig: Rig, channel: grpc.aio.Channel
) -> None:
    client = delta(channel)
    for type_url, names in ((RDS, ("80",)), (LDS, ()), (EDS, ("c1",)), (CDS, ("*",))):
        said = await subscribe(client, type_url, *names)
        assert said.type_url == type_url
        assert said.removed_resources == []
        assert all(not one.version for one in said.resources)
    await ack(
        client, await client.receive()
    )  # endpoints again, as clusters were answered after them

    rig.resources[CDS] = {"c1": "2", "c3": "1"}
    rig.resources[RDS]["80"] = "new"
    rig.push()
    clusters, endpoints, routes = [await client.receive() for _ in range(3)]
    assert values(clusters) == ["c1=2", "c3=1"]
    assert clusters.removed_resources == ["c2"]
    assert [one.name for one in clusters.resources] == ["c1", "c3"]
    assert (endpoints.type_url, values(endpoints)) == (EDS, ["c1=10.0.0.1"])
    assert (routes.type_url, values(routes)) == (RDS, ["80=new"])
    assert clusters.system_version_info == routes.system_version_info
    await client.silent()


async def test_delta_subscription_changes(channel: grpc.aio.Channel) -> None:
    client = delta(channel)
    assert values(await subscribe(client, RDS, "80")) == ["80=a"]
    assert values(await subscribe(client, RDS, "90")) == ["90=b"]
    await client.send(DeltaDiscoveryRequest(type_url=RDS, resource_names_unsubscribe=["80"]))
    assert values(await subscribe(client, RDS, "nosuch")) == ["nosuch="]


async def test_delta_reconnect_removes_what_is_gone(channel: grpc.aio.Channel) -> None:
    client = delta(channel)
    await client.send(
        DeltaDiscoveryRequest(
            type_url=CDS, node=node(), initial_resource_versions={"c1": "", "gone": ""}
        )
    )
    said = await client.receive()
    assert values(said) == ["c1=1", "c2=1"]
    assert said.removed_resources == ["gone"]


async def test_refusal_is_counted_and_not_answered(
    rig: Rig, channel: grpc.aio.Channel, capsys: pytest.CaptureFixture[str]
) -> None:
    client = delta(channel)
    said = await subscribe(client, LDS)
    error = RpcStatus(code=13, message="bad thing")
    await client.send(
        DeltaDiscoveryRequest(type_url=LDS, response_nonce=said.nonce, error_detail=error)
    )
    await client.silent()
    assert rig.metrics.value(Metric.REJECTS, type="lds") == 1
    (connection,) = rig.connections
    watch = connection.watches.get(LDS)
    assert watch is not None
    assert watch.last_error == "bad thing"
    assert "ADS:LDS: ACK ERROR client.demo-1 Internal:bad thing" in capsys.readouterr().out
    rig.resources[LDS]["l1"] = "2"
    rig.push()
    assert values(await client.receive()) == ["l1=2"]


async def test_stale_nonce_is_ignored(rig: Rig, channel: grpc.aio.Channel) -> None:
    client = sotw(channel)
    await ask(client, RDS, "80")
    said = await client.receive()
    await ask(client, RDS, "80", "90", said=DiscoveryResponse(nonce="of another time"))
    await client.silent()
    assert rig.metrics.value(Metric.EXPIRED_NONCES, type="rds") == 1
    await ask(client, RDS, "80", "90", said=said)
    assert values(await client.receive()) == ["90=b"]


async def test_type_that_nobody_makes_gets_no_answer(channel: grpc.aio.Channel) -> None:
    client = delta(channel)
    await client.send(DeltaDiscoveryRequest(type_url=NDS, node=node()))
    await client.silent()
    assert len((await subscribe(client, CDS)).resources) == 2


async def test_health_reports_are_never_answered(channel: grpc.aio.Channel) -> None:
    client = delta(channel)
    await client.send(DeltaDiscoveryRequest(type_url=HEALTH))
    assert len((await subscribe(client, CDS)).resources) == 2
    await client.send(DeltaDiscoveryRequest(type_url=HEALTH))
    await client.silent()


async def test_push_skips_types_that_cannot_have_changed(
    rig: Rig, channel: grpc.aio.Channel
) -> None:
    from upstream.config import Key, Kind

    client = delta(channel)
    await subscribe(client, CDS)
    await subscribe(client, LDS)
    rig.resources[CDS]["c1"] = "2"
    rig.resources[LDS]["l1"] = "2"
    key = Key(Kind.AUTHORIZATION_POLICY, "demo", "p")
    rig.push(request([key], Reason.CONFIG, now=0.0))
    assert (await client.receive()).type_url == LDS
    await client.silent()


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        (Node(), "missing node information"),
        (Node(id="sidecar~x"), "must be type~ip~id~domain"),
    ],
)
async def test_bad_node(channel: grpc.aio.Channel, identity: Node, says: str) -> None:
    client = sotw(channel)
    await client.send(DiscoveryRequest(type_url=CDS, node=identity))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in str(caught.value.details())


async def test_garbage_ends_its_own_stream_only(channel: grpc.aio.Channel) -> None:
    good = delta(channel)
    await subscribe(good, CDS)
    aio: Any = channel
    raw = aio.stream_stream(DELTA_PATH)()
    await raw.write(b"\xff\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await raw.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert values(await subscribe(good, RDS, "80")) == ["80=a"]


async def test_not_ready(rig: Rig, channel: grpc.aio.Channel) -> None:
    rig.snapshot = None
    client = sotw(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.stream.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_client_that_takes_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ads, "PATIENCE", 0.05)
    monkeypatch.setattr(ads, "TAKEN_WITHIN", 1.0)
    rig = Rig(throttle=1)
    rig.resources = {CDS: {"c1": "1"}}
    async with (
        serving(Server(rig.ads.routes(rig.gate()))) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as deaf_channel,
        grpc.aio.insecure_channel(f"localhost:{port}") as channel,
    ):
        deaf, good = delta(deaf_channel), delta(channel)
        await subscribe(deaf, CDS)
        rig.resources[CDS] = {"c1": "x" * (24 << 20)}
        rig.push()
        await asyncio.sleep(0.2)
        rig.resources[CDS] = {"c1": "2"}
        assert values(await subscribe(good, CDS)) == ["c1=2"]
        rig.resources[CDS] = {"c1": "3"}
        rig.push()
        assert values(await good.receive()) == ["c1=3"]
        assert len(rig.connections) == 2
        async with asyncio.timeout(SOON):
            assert await deaf.stream.code() is grpc.StatusCode.CANCELLED
        assert rig.metrics.value(Metric.WRITE_TIMEOUTS) == 1
        assert len(rig.connections) == 1


async def test_stream_leaves_the_table_when_its_client_goes(
    rig: Rig, channel: grpc.aio.Channel
) -> None:
    client = delta(channel)
    await subscribe(client, CDS)
    assert len(rig.connections) == 1
    await client.stream.done_writing()
    async with asyncio.timeout(SOON):
        assert await client.stream.code() is grpc.StatusCode.OK
    assert len(rig.connections) == 0


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (999, "999B"), (22_400, "22.4kB"), (999_960, "1.0MB")]
)
def test_human_sizes(size: int, text: str) -> None:
    assert human(size) == text


@pytest.mark.parametrize(
    ("code", "name"),
    [(0, "OK"), (1, "Canceled"), (3, "InvalidArgument"), (13, "Internal"), (99, "Code(99)")],
)
def test_statuses_in_gos_words(code: int, name: str) -> None:
    assert go_name(code) == name
