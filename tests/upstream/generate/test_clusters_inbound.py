# SPDX-License-Identifier: Apache-2.0
"""The workload's own clusters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import clusters, plain
from tests.upstream.support import sidecar, world

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  resolution: STATIC
  ports: [{number: 80, name: p, protocol: HTTP2, targetPort: 8080}]
  endpoints: [{address: 10.0.0.1}]
"""
RULE = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: default}
spec: {host: a.test, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}, tls: {mode: SIMPLE}}}
"""
SIDECAR = """---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec:
  inboundConnectionPool: {tcp: {maxConnections: 5}}
  ingress: [{port: {number: 8080, protocol: HTTP, name: h}, defaultEndpoint: 'WHERE'POOL}]
"""


def cluster(text: str, mesh: str | None = None, ip: str = "10.0.0.1") -> dict[str, Any]:
    return plain(clusters(sidecar(ip=ip), world(text, mesh))["inbound|8080||"])


def limit(made: dict[str, Any]) -> int:
    found: int = made["circuitBreakers"]["thresholds"][0]["maxConnections"]
    return found


def test_the_connection_goes_where_it_was_going() -> None:
    made = cluster(SERVICE)
    assert (made["type"], made["lbPolicy"]) == ("ORIGINAL_DST", "CLUSTER_PROVIDED")
    assert made["cleanupInterval"] == "9223372035s"
    assert made["upstreamBindConfig"]["sourceAddress"]["address"] == "127.0.0.6"
    assert made["metadata"]["filterMetadata"]["istio"]["services"][0]["host"] == "a.test"
    (options,) = made["typedExtensionProtocolOptions"].values()
    assert options["explicitHttpConfig"] == {"http2ProtocolOptions": {}}


def test_to_localhost_when_the_mesh_says_so() -> None:
    made = cluster(SERVICE, "inboundTrafficPolicy: {mode: LOCALHOST}")
    assert made["type"] == "STATIC"
    assert "upstreamBindConfig" not in made


@pytest.mark.parametrize(
    ("where", "expected", "bound"),
    [
        ("127.0.0.1:1", {"socketAddress": {"address": "127.0.0.1", "portValue": 1}}, False),
        ("0.0.0.0:1", {"socketAddress": {"address": "10.0.0.1", "portValue": 1}}, True),
        ("[::1]:1", {"socketAddress": {"address": "::1", "portValue": 1}}, False),
        ("unix:///x", {"pipe": {"path": "/x"}}, True),
    ],
)
def test_a_sidecars_endpoint(where: str, expected: dict[str, Any], *, bound: bool) -> None:
    made = cluster(SIDECAR.replace("WHERE", where).replace("POOL", ""))
    (group,) = made["loadAssignment"]["endpoints"]
    assert group["lbEndpoints"][0]["endpoint"]["address"] == expected
    assert ("upstreamBindConfig" in made) is bound


@pytest.mark.parametrize(
    ("text", "connections"),
    [
        (SERVICE, 4294967295),
        (SERVICE + RULE, 7),
        (SERVICE + RULE + SIDECAR.replace("POOL", ""), 5),
        (
            SERVICE
            + RULE
            + SIDECAR.replace("POOL", ", connectionPool: {tcp: {maxConnections: 3}}"),
            3,
        ),
    ],
)
def test_whose_limits(text: str, connections: int) -> None:
    made = cluster(text.replace("WHERE", "127.0.0.1:1"))
    assert limit(made) == connections
    assert "transportSocket" not in made


def test_an_address_of_the_other_family() -> None:
    text = SERVICE.replace("10.0.0.1", "'fd00::1'")
    made = cluster(text, ip="fd00::1")
    assert made["upstreamBindConfig"]["sourceAddress"]["address"] == "::6"
