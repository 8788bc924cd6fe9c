# SPDX-License-Identifier: Apache-2.0
"""Real Envoys take what the control plane sends, in both variants, and carry a request with mutual TLS.

Their secrets come from a small server here, signed by the control plane's own authority: no agent is needed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from google.protobuf.any_pb2 import Any as AnyMessage

from ctl.demo import topology
from ctl.demo.topology import Workload
from tests.support.envoy import find_envoy
from tests.upstream.authority import csr, new_key
from tests.upstream.rig import serving
from tests.upstream.test_app import CLIENT, REVIEWS, Plane, plane
from upstream.ca.authority import Authority, Limits, issue, key_pem
from wire.h2io import Server, ServerCall
from wire.proto.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from wire.proto.secret_pb2 import Secret

__all__ = ["plane"]

pytestmark = pytest.mark.envoy

TYPES = {"Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"}
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
SECRETS = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"


def secrets(plane: Plane, one: Workload) -> dict[str, bytes]:
    """``default`` and ``ROOTCA`` as the agent would serve them."""
    certificate = (plane.state / "ca-cert.pem").read_bytes()
    authority = Authority.from_pem(
        certificate=certificate,
        key=(plane.state / "ca-key.pem").read_bytes(),
        chain=b"",
        roots=certificate,
        self_signed=True,
    )
    key = new_key()
    limits = Limits(default=3600, longest=3600)
    chain = issue(authority, csr(key), [one.spiffe], 0, limits=limits, now=time.time())
    own = Secret(name="default")
    own.tls_certificate.certificate_chain.inline_bytes = chain[0].encode()
    own.tls_certificate.private_key.inline_bytes = key_pem(key)
    root = Secret(name="ROOTCA")
    root.validation_context.trusted_ca.inline_bytes = certificate
    return {one.name: one.SerializeToString() for one in (own, root)}


@asynccontextmanager
async def secret_server(plane: Plane, one: Workload) -> AsyncIterator[int]:
    """Serves the workload's secrets on loopback."""
    held = secrets(plane, one)

    async def stream(call: ServerCall) -> None:
        async for message in call:
            request = DiscoveryRequest.FromString(message)
            if request.response_nonce:
                continue
            boxes = [AnyMessage(type_url=SECRET, value=held[n]) for n in request.resource_names]
            said = DiscoveryResponse(version_info="1", nonce="1", type_url=SECRET, resources=boxes)
            await call.send(said.SerializeToString())

    async with serving(Server({SECRETS: stream})) as port:
        yield port


def bootstrap(one: Workload, plane: Plane, kind: str, secret_port: int) -> dict[str, Any]:
    """The least that subscribes to everything."""

    def cluster(name: str, port: int) -> dict[str, Any]:
        where = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        return {
            "name": name,
            "type": "STATIC",
            "typed_extension_protocol_options": {
                protocol: {
                    "@type": f"type.googleapis.com/{protocol}",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            },
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": where}}]}],
            },
        }

    return {
        "node": {
            "id": f"sidecar~{one.address}~{one.name}.demo~demo.svc.cluster.local",
            "cluster": one.account,
            "metadata": {
                "NAMESPACE": "demo",
                "SERVICE_ACCOUNT": one.account,
                "INTERCEPTION_MODE": "NONE",
                "LABELS": one.labels,
                "INSTANCE_IPS": one.address,
            },
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": kind,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {
            "clusters": [
                cluster("xds", plane.book["grpc"].port),
                cluster("sds-grpc", secret_port),
            ]
        },
    }


@asynccontextmanager
async def envoy(plane: Plane, one: Workload, home: Path, kind: str) -> AsyncIterator[None]:
    """One sidecar's Envoy."""
    home.mkdir()
    file = home / "envoy.json"
    argv = ["-c", str(file), "--concurrency", "1", "--use-dynamic-base-id", "-l", "warn"]
    async with secret_server(plane, one) as port:
        file.write_text(json.dumps(bootstrap(one, plane, kind, port)))
        with (home / "envoy.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                find_envoy(), *argv, cwd=home, stdout=log, stderr=log
            )
            try:
                yield
            finally:
                process.kill()
                await process.wait()
                print((home / "envoy.log").read_text())


async def synced(plane: Plane, name: str) -> dict[str, dict[str, str]]:
    """What the control plane knows of the proxy's types, by short name."""
    url = f"http://{plane.book['http']}/debug/syncz"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        for entry in await reply.json():
            if entry["proxy"] == f"{name}.demo":
                return {kind.rpartition(".")[2]: v for kind, v in entry["resources"].items()}
    return {}


async def until_all(plane: Plane, name: str, types: set[str]) -> dict[str, dict[str, str]]:
    """Wait until each of the types is acknowledged or refused."""
    found: dict[str, dict[str, str]] = {}
    async with asyncio.timeout(30):
        while not all(found.get(one, {}).get("status") in {"SYNCED", "ERROR"} for one in types):
            await asyncio.sleep(0.05)
            found = await synced(plane, name)
    return found


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as taken:
        return int(taken.getsockname()[1])


@asynccontextmanager
async def application(one: Workload) -> AsyncIterator[None]:
    """Answers its name."""

    async def name(_: web.Request) -> web.Response:
        return web.Response(text=one.name)

    app = web.Application()
    app.router.add_get("/", name)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", one.app_port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def with_free_ports(one: Workload, inbound: int) -> Workload:
    return replace(
        one,
        app_port=free_port("127.0.0.1"),
        inbound_port=inbound,
        outbound_port=free_port(one.address),
    )


async def answers(client: Workload, number: int) -> Counter[str]:
    """Who answered so many requests through the client's sidecar; failures by status."""
    seen: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        for _ in range(number):
            async with session.get(f"http://{topology.HOST}/", proxy=client.proxy_url) as reply:
                seen[await reply.text() if reply.status == 200 else str(reply.status)] += 1
    return seen


@pytest.mark.parametrize("kind", ["DELTA_GRPC", "GRPC"])
async def test_envoys_refuse_nothing_and_follow_an_edit(
    plane: Plane, tmp_path: Path, kind: str
) -> None:
    inbound = free_port(REVIEWS[0].address)
    client = with_free_ports(CLIENT, inbound)
    reviews = [with_free_ports(one, inbound) for one in REVIEWS]
    plane.put("reviews", topology.service_yaml(reviews))
    for one in (client, *reviews):
        plane.put(f"sidecar-{one.name}", topology.sidecar_yaml(one))
    plane.put("canary", topology.canary_yaml(100, 0))
    async with AsyncExitStack() as stack:
        for one in reviews:
            await stack.enter_async_context(application(one))
        for one in (client, *reviews):
            await stack.enter_async_context(envoy(plane, one, tmp_path / one.name, kind))
        await until_all(plane, client.name, TYPES)
        for one in reviews:
            await until_all(plane, one.name, {"Cluster", "Listener"})
        assert await answers(client, 10) == {"reviews-v1": 10}

        plane.put("canary", topology.canary_yaml(0, 100))
        async with asyncio.timeout(20):
            while (await answers(client, 5)) != {"reviews-v2": 5}:
                await asyncio.sleep(0.05)

        # Clusters that come, and clusters that change while their endpoints stay.
        plane.put("more", topology.service_yaml(reviews[:1]).replace("reviews", "more"))
        plane.put("reviews", topology.service_yaml(reviews) + POOL)
        before = (await synced(plane, client.name))["Cluster"]["acked"]
        async with asyncio.timeout(20):
            while (await synced(plane, client.name))["Cluster"]["acked"] == before:
                await asyncio.sleep(0.05)
        assert await answers(client, 10) == {"reviews-v2": 10}
        for one in (client, *reviews):
            found = await until_all(plane, one.name, {"Cluster", "Listener"})
            assert {entry["lastError"] for entry in found.values()} == {""}


POOL = "  trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s}}}\n"
"""Appended to the DestinationRule that ends ``service_yaml``."""
