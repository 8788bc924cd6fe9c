# SPDX-License-Identifier: Apache-2.0
"""The demo's own YAML becomes a configuration that a real Envoy accepts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import any_pb2, json_format

from ctl.demo.topology import (
    Workload,
    canary_yaml,
    mesh_yaml,
    security_yaml,
    service_yaml,
    sidecar_yaml,
)
from tests.support.envoy import find_envoy
from upstream.config import parse_documents, parse_mesh
from upstream.generate import generate
from upstream.proxy import Interception, Proxy, ProxyType
from upstream.world import World
from wire.types import CLUSTER, ENDPOINT, LISTENER, ROUTE

HOST = "reviews.demo.svc.cluster.local"


def workload(name: str, account: str, version: str, address: str) -> Workload:
    return Workload(
        name=name,
        account=account,
        version=version,
        address=address,
        app_port=18080,
        inbound_port=9080,
        outbound_port=15007,
        admin_port=1,
        status_port=2,
        envoy_status_port=3,
        prometheus_port=4,
    )


CLIENT = workload("client", "client", "v1", "127.0.0.10")
REVIEWS = [
    workload("reviews-v1", "reviews", "v1", "127.0.0.11"),
    workload("reviews-v2", "reviews", "v2", "127.0.0.12"),
]


def world(v1: int = 90, v2: int = 10) -> World:
    texts = {
        "sidecars": "---\n".join(sidecar_yaml(one) for one in [CLIENT, *REVIEWS]),
        "service": service_yaml(REVIEWS),
        "canary": canary_yaml(v1, v2),
        "security": security_yaml(),
    }
    sources = {}
    for name, text in texts.items():
        sources[name], faults = parse_documents(text, name)
        assert not faults
    mesh, faults = parse_mesh(mesh_yaml(), "mesh")
    assert not faults
    return World(sources, mesh=mesh)


def proxy(one: Workload) -> Proxy:
    return Proxy(
        type=ProxyType.SIDECAR,
        ips=(one.address,),
        id=f"{one.name}.demo",
        domain="demo.svc.cluster.local",
        namespace="demo",
        labels=one.labels,
        interception=Interception.NONE,
        cluster_id="Kubernetes",
    )


def resources(type_url: str, one: Workload, where: World) -> dict[str, Any]:
    return {
        made.name: json_format.MessageToDict(any_pb2.Any.FromString(made.any_bytes))
        for made in generate(type_url, proxy(one), where, None)
    }


def test_the_service_asks_for_a_client_certificate() -> None:
    listener = resources(LISTENER, REVIEWS[0], world())["127.0.0.11_9080"]
    assert listener["address"] == {"socketAddress": {"address": "127.0.0.11", "portValue": 9080}}
    (chain,) = listener["filterChains"]
    assert chain["filterChainMatch"]["transportProtocol"] == "tls"
    tls = chain["transportSocket"]["typedConfig"]
    assert tls["requireClientCertificate"] is True
    assert tls["commonTlsContext"]["tlsCertificateSdsSecretConfigs"][0]["name"] == "default"
    filters = chain["filters"][0]["typedConfig"]["httpFilters"]
    assert filters[0]["name"] == "envoy.filters.http.rbac"


def test_the_client_reaches_both_versions_through_its_proxy_listener() -> None:
    listeners = resources(LISTENER, CLIENT, world())
    assert "127.0.0.10_15007" in listeners
    (route,) = resources(ROUTE, CLIENT, world()).values()
    assert route["name"] == "15007"
    reviews = route["virtualHosts"][0]
    assert {HOST, f"{HOST}:80", "reviews", "reviews:80"} <= set(reviews["domains"])
    weighted = reviews["routes"][0]["route"]["weightedClusters"]["clusters"]
    assert [(one["name"], one["weight"]) for one in weighted] == [
        (f"outbound|80|v1|{HOST}", 90),
        (f"outbound|80|v2|{HOST}", 10),
    ]


def test_a_shift_to_one_version_names_its_cluster() -> None:
    (route,) = resources(ROUTE, CLIENT, world(0, 100)).values()
    assert route["virtualHosts"][0]["routes"][0]["route"]["cluster"] == f"outbound|80|v2|{HOST}"


def test_endpoints_of_the_subsets_speak_mutual_tls() -> None:
    assignment = resources(ENDPOINT, CLIENT, world())[f"outbound|80|v2|{HOST}"]
    (group,) = assignment["endpoints"]
    (endpoint,) = group["lbEndpoints"]
    assert endpoint["endpoint"]["address"]["socketAddress"] == {
        "address": "127.0.0.12",
        "portValue": 9080,
    }
    match = endpoint["metadata"]["filterMetadata"]["envoy.transport_socket_match"]
    assert match == {"tlsMode": "istio"}
    cluster = resources(CLUSTER, CLIENT, world())[f"outbound|80|v2|{HOST}"]
    tls = cluster["transportSocketMatches"][0]["transportSocket"]["typedConfig"]
    sans = tls["commonTlsContext"]["combinedValidationContext"]["defaultValidationContext"]
    assert sans["matchSubjectAltNames"] == [{"exact": "spiffe://cluster.local/ns/demo/sa/reviews"}]


def test_requests_arrive_at_the_application() -> None:
    cluster = resources(CLUSTER, REVIEWS[0], world())["inbound|9080||"]
    (group,) = cluster["loadAssignment"]["endpoints"]
    assert group["lbEndpoints"][0]["endpoint"]["address"]["socketAddress"] == {
        "address": "127.0.0.1",
        "portValue": 18080,
    }


def bootstrap(one: Workload, where: World) -> dict[str, Any]:
    """Everything in one static file: clusters with their endpoints, listeners with their routes."""
    assignments = resources(ENDPOINT, one, where)
    routes = resources(ROUTE, one, where)
    clusters = [as_static(c, assignments) for c in resources(CLUSTER, one, where).values()]
    clusters.append(sds_cluster())
    listeners = [with_routes(lst, routes) for lst in resources(LISTENER, one, where).values()]
    for resource in (*clusters, *listeners):
        resource.pop("@type", None)
    return {
        "node": {"id": one.name, "cluster": one.account},
        "static_resources": {"clusters": clusters, "listeners": listeners},
    }


def as_static(cluster: dict[str, Any], assignments: dict[str, Any]) -> dict[str, Any]:
    if cluster["type"] == "EDS":
        del cluster["edsClusterConfig"]
        cluster["type"] = "STATIC"
        cluster["loadAssignment"] = assignments[cluster["name"]]
        cluster["loadAssignment"].pop("@type")
    return cluster


def with_routes(listener: dict[str, Any], routes: dict[str, Any]) -> dict[str, Any]:
    for chain in listener["filterChains"]:
        config = chain["filters"][0]["typedConfig"]
        if "rds" in config:
            config["routeConfig"] = dict(routes[config.pop("rds")["routeConfigName"]])
            config["routeConfig"].pop("@type")
    return listener


def sds_cluster() -> dict[str, Any]:
    pipe = {"endpoint": {"address": {"pipe": {"path": "./sds.sock"}}}}
    assignment = {"cluster_name": "sds-grpc", "endpoints": [{"lb_endpoints": [pipe]}]}
    options = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    return {
        "name": "sds-grpc",
        "type": "STATIC",
        "typed_extension_protocol_options": options,
        "load_assignment": assignment,
    }


@pytest.mark.envoy
@pytest.mark.parametrize("one", [CLIENT, *REVIEWS], ids=lambda one: one.name)
async def test_envoy_accepts_it(one: Workload, tmp_path: Path) -> None:
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(bootstrap(one, world())))
    process = await asyncio.create_subprocess_exec(
        find_envoy(),
        "--mode",
        "validate",
        "-c",
        str(path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
