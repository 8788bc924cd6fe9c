# SPDX-License-Identifier: Apache-2.0
"""The whole control plane with grpcio as its sidecar: certificate by token, streams over TLS, an edit on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from ctl.demo import topology
from ctl.demo.topology import Workload
from mesh.errors import BadSetting
from tests.upstream.authority import csr, new_key
from tests.upstream.authority import names as names_in
from tests.upstream.rig import Client, delta, sotw
from upstream import addresses, development, tokens
from upstream.app import serve, serving_names
from upstream.ca.authority import key_pem
from upstream.ca.service import PATH
from upstream.options import Address, ServeOptions, ServingOptions
from upstream.settings import parser, serve_options
from upstream.watch import CDS, EDS, LDS, RDS
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    Node,
)
from wire.proto.istio_pb2 import CertificateRequest, CertificateResponse


def workload(name: str, account: str, version: str, last: int) -> Workload:
    return Workload(
        name=name,
        account=account,
        version=version,
        address=f"127.0.0.{last}",
        app_port=8000 + last,
        inbound_port=9080,
        outbound_port=15007,
        admin_port=1,
        status_port=2,
        envoy_status_port=3,
        prometheus_port=4,
    )


CLIENT = workload("client", "client", "v1", 11)
REVIEWS = [workload("reviews-v1", "reviews", "v1", 12), workload("reviews-v2", "reviews", "v2", 13)]
SERVICE = f"outbound|80|v1|{topology.HOST}"


def node(one: Workload) -> Node:
    made = Node(id=f"sidecar~{one.address}~{one.name}.demo~demo.svc.cluster.local")
    made.metadata.update(
        {
            "NAMESPACE": "demo",
            "SERVICE_ACCOUNT": one.account,
            "INTERCEPTION_MODE": "NONE",
            "LABELS": one.labels,
            "INSTANCE_IPS": one.address,
        }
    )
    return made


class Plane:
    """A running control plane and its files."""

    def __init__(self, home: Path) -> None:
        self.config, self.state = home / "config", home / "state"
        self.config.mkdir()
        (home / "mesh.yaml").write_text(topology.mesh_yaml())
        self.put("reviews", topology.service_yaml(REVIEWS))
        self.put("security", topology.security_yaml())
        for one in (CLIENT, *REVIEWS):
            self.put(f"sidecar-{one.name}", topology.sidecar_yaml(one))
        self.put("canary", topology.canary_yaml(90, 10))
        self.mesh = home / "mesh.yaml"
        self.book: Mapping[str, Address] = {}

    def put(self, name: str, text: str) -> None:
        aside = self.config / f"{name}.yaml.new"
        aside.write_text(text)
        aside.replace(self.config / f"{name}.yaml")

    def options(self, *more: str, env: Mapping[str, str] | None = None) -> ServeOptions:
        argv = ["discovery", "--registries=", "--httpsAddr=", "--configDir", str(self.config)]
        argv += ["--meshConfig", str(self.mesh), "--state-dir", str(self.state)]
        for flag in ("--grpcAddr", "--secureGRPCAddr", "--httpAddr", "--monitoringAddr"):
            argv += [flag, "127.0.0.1:0"]
        arguments, unknown = parser().parse_known_args([*argv, *more])
        cacerts = {"ROOT_CA_DIR": str(self.state / "no-cacerts")}
        return serve_options(arguments, unknown, {**cacerts, **(env or {})})

    def bearer(self, account: str) -> tuple[tuple[str, str], ...]:
        token = tokens.development_token(
            development.development_key(str(self.state)),
            tokens.ServiceAccount("demo", account),
            audience="istio-ca",
            ttl=60,
            now=time.time(),
        )
        return (("authorization", f"Bearer {token}"),)

    def secure(self, key: bytes | None = None, chain: bytes | None = None) -> grpc.aio.Channel:
        """As an agent dials: by address, expecting istiod's name."""
        roots = (self.state / "root-cert.pem").read_bytes()
        credentials = grpc.ssl_channel_credentials(roots, key, chain)
        name = (("grpc.ssl_target_name_override", "istiod.istio-system.svc"),)
        return grpc.aio.secure_channel(str(self.book["secure_grpc"]), credentials, options=name)


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    made = Plane(tmp_path)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve(made.options(), stop=stop), name="upstream")
        async with asyncio.timeout(30):
            while not (made.state / "addresses.json").exists():
                assert not task.done(), task.result()
                await asyncio.sleep(0.01)
        made.book = addresses.read(str(made.state))
        yield made
        stop.set()


def routes_of(listeners: DeltaDiscoveryResponse) -> set[str]:
    """Names of the route configurations that the listeners ask for."""
    found = set()
    for one in listeners.resources:
        listener = Listener.FromString(one.resource.value)
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for each in chain.filters:
                manager = HttpConnectionManager()
                if each.typed_config.Unpack(manager) and manager.HasField("rds"):
                    found.add(manager.rds.route_config_name)
    return found


def weights(routes: DeltaDiscoveryResponse) -> dict[str, int]:
    """Weight by subset of the service reviews."""
    found = {}
    for one in routes.resources:
        for host in RouteConfiguration.FromString(one.resource.value).virtual_hosts:
            for route in host.routes:
                for cluster in route.route.weighted_clusters.clusters:
                    found[cluster.name.split("|")[2]] = cluster.weight.value
    return found


async def watched(
    client: Client[DeltaDiscoveryRequest, DeltaDiscoveryResponse], type_url: str, *names: str
) -> DeltaDiscoveryResponse:
    await client.send(
        DeltaDiscoveryRequest(type_url=type_url, node=node(CLIENT), resource_names_subscribe=names)
    )
    said = await client.receive()
    assert said.type_url == type_url
    await client.send(DeltaDiscoveryRequest(type_url=type_url, response_nonce=said.nonce))
    return said


async def test_edit_on_disk_reaches_a_sidecar_over_tls(plane: Plane) -> None:
    async with plane.secure() as channel:
        client = delta(channel, dict(plane.bearer("client")))
        clusters = await watched(client, CDS, "*")
        assert SERVICE in [one.name for one in clusters.resources]
        endpoints = await watched(client, EDS, SERVICE)
        assert [one.name for one in endpoints.resources] == [SERVICE]
        listeners = await watched(client, LDS, "*")
        routes = await watched(client, RDS, *routes_of(listeners))
        assert weights(routes) == {"v1": 90, "v2": 10}
        plane.put("canary", topology.canary_yaml(30, 70))
        pushed = await client.receive()
        assert pushed.type_url == RDS
        assert weights(pushed) == {"v1": 30, "v2": 70}
        await client.silent()


async def test_certificate_then_stream_by_certificate(plane: Plane) -> None:
    key = new_key()
    async with plane.secure() as channel:
        method: Any = channel.unary_unary(
            PATH,
            request_serializer=CertificateRequest.SerializeToString,
            response_deserializer=CertificateResponse.FromString,
        )
        request = CertificateRequest(csr=csr(key), validity_duration=24)
        answer: CertificateResponse = await method(
            request, metadata=plane.bearer("reviews"), timeout=10
        )
    from cryptography import x509

    leaf = x509.load_pem_x509_certificate(answer.cert_chain[0].encode())
    assert names_in(leaf) == [REVIEWS[0].spiffe]
    async with plane.secure(key_pem(key), answer.cert_chain[0].encode()) as channel:
        client = sotw(channel)
        await client.send(DiscoveryRequest(type_url=LDS, node=node(REVIEWS[0])))
        assert (await client.receive()).resources


async def test_plaintext_asks_nobody(plane: Plane) -> None:
    async with grpc.aio.insecure_channel(str(plane.book["grpc"])) as channel:
        client = sotw(channel)
        await client.send(DiscoveryRequest(type_url=CDS, node=node(CLIENT)))
        assert (await client.receive()).resources


async def test_bad_edit_changes_nothing_for_those_who_come_later(plane: Plane) -> None:
    plane.put("canary", "apiVersion: networking.istio.io/v1\nkind: VirtualService\n")
    await asyncio.sleep(0.3)
    async with grpc.aio.insecure_channel(str(plane.book["grpc"])) as channel:
        client = sotw(channel)
        await client.send(DiscoveryRequest(type_url=CDS, node=node(CLIENT)))
        assert (await client.receive()).resources


async def test_incomplete_plugged_authority_stops_the_start(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    cacerts = tmp_path / "cacerts"
    cacerts.mkdir()
    (cacerts / "ca-cert.pem").write_text("")
    options = plane.options(env={"ROOT_CA_DIR": str(cacerts)})
    with pytest.raises(BadSetting, match="incomplete signing CA bundle"):
        await serve(options, stop=asyncio.Event())
    assert not (plane.state / "addresses.json").exists()


@pytest.mark.parametrize(
    ("address", "added"),
    [
        ("127.0.0.1:0", {"localhost", "127.0.0.1"}),
        ("[::1]:0", {"localhost", "::1"}),
        ("localhost:0", {"localhost", "127.0.0.1"}),
        (":0", set()),
    ],
)
def test_names_of_the_serving_certificate(address: str, added: set[str]) -> None:
    options = serving_names(ServingOptions(names=("a",)), Address.parse(address))
    assert set(options.names) == {"a"} | added
