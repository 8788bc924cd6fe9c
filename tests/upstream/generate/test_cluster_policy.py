# SPDX-License-Identifier: Apache-2.0
"""Each field of a traffic policy on the cluster that it shapes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import clusters, plain
from tests.upstream.support import sidecar, world
from upstream.proxy import ProxyType

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints: [{address: 10.1.0.1}]
  ports: [{number: 80, name: http, protocol: PROTOCOL}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default}
spec: {host: a.test, trafficPolicy: POLICY}
"""
UNLIMITED = 4294967295


def cluster(policy: str, protocol: str = "HTTP", mesh: str | None = None) -> dict[str, Any]:
    text = SERVICE.replace("PROTOCOL", protocol).replace("POLICY", policy)
    return plain(clusters(sidecar(), world(text, mesh))["outbound|80||a.test"])


def options(policy: str, protocol: str = "HTTP") -> dict[str, Any]:
    """The HTTP protocol options; empty when the cluster has none."""
    found = cluster(policy, protocol).get("typedExtensionProtocolOptions", {})
    made: dict[str, Any] = next(iter(found.values()), {})
    made.pop("@type", None)
    return made


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("{}", {}),
        ("{connectionPool: {tcp: {maxConnections: 7}}}", {"maxConnections": 7}),
        (
            "{connectionPool: {http: {http1MaxPendingRequests: 3, http2MaxRequests: 4, maxRetries: 5}}}",
            {"maxPendingRequests": 3, "maxRequests": 4, "maxRetries": 5},
        ),
    ],
)
def test_limits_that_nobody_set_are_never_reached(policy: str, expected: dict[str, int]) -> None:
    names = ("maxConnections", "maxPendingRequests", "maxRequests", "maxRetries")
    (threshold,) = cluster(policy)["circuitBreakers"]["thresholds"]
    assert threshold == {**dict.fromkeys(names, UNLIMITED), **expected}


HTTP1: dict[str, Any] = {"httpProtocolOptions": {}}
HTTP2: dict[str, Any] = {"http2ProtocolOptions": {}}
SAME = {"useDownstreamProtocolConfig": {**HTTP1, **HTTP2}}


@pytest.mark.parametrize(
    ("protocol", "pool", "expected"),
    [
        ("HTTP", "{tcp: {}}", {}),
        ("TCP", "{tcp: {}}", {}),
        ("HTTP2", "{tcp: {}}", {"explicitHttpConfig": HTTP2}),
        ("GRPC", "{tcp: {}}", {"explicitHttpConfig": HTTP2}),
        ("HTTP", "{http: {h2UpgradePolicy: UPGRADE}}", {"explicitHttpConfig": HTTP2}),
        ("HTTP", "{http: {h2UpgradePolicy: DO_NOT_UPGRADE}}", {}),
        ("TCP", "{http: {h2UpgradePolicy: UPGRADE}}", {}),
        ("HTTP", "{http: {useClientProtocol: true}}", SAME),
        ("HTTP2", "{http: {useClientProtocol: true}}", SAME),
        (
            "HTTP",
            "{http: {idleTimeout: 5s, maxRequestsPerConnection: 9}}",
            {
                "explicitHttpConfig": HTTP1,
                "commonHttpProtocolOptions": {"idleTimeout": "5s", "maxRequestsPerConnection": 9},
            },
        ),
        (
            "HTTP",
            "{tcp: {idleTimeout: 6s, maxConnectionDuration: 60s}}",
            {
                "explicitHttpConfig": HTTP1,
                "commonHttpProtocolOptions": {"idleTimeout": "6s", "maxConnectionDuration": "60s"},
            },
        ),
        (
            "HTTP",
            "{tcp: {idleTimeout: 6s}, http: {idleTimeout: 5s}}",
            {"explicitHttpConfig": HTTP1, "commonHttpProtocolOptions": {"idleTimeout": "5s"}},
        ),
        (
            "HTTP2",
            "{http: {maxConcurrentStreams: 8}}",
            {
                "explicitHttpConfig": {"http2ProtocolOptions": {"maxConcurrentStreams": 8}},
                "commonHttpProtocolOptions": {},
            },
        ),
    ],
)
def test_upstream_protocol(protocol: str, pool: str, expected: dict[str, Any]) -> None:
    assert options(f"{{connectionPool: {pool}}}", protocol) == expected


@pytest.mark.parametrize(
    ("balancer", "expected"),
    [
        ("{}", {"lbPolicy": "LEAST_REQUEST"}),
        ("{simple: ROUND_ROBIN}", {}),
        ("{simple: RANDOM}", {"lbPolicy": "RANDOM"}),
        ("{simple: LEAST_CONN}", {"lbPolicy": "LEAST_REQUEST"}),
        (
            "{consistentHash: {useSourceIp: true}}",
            {"lbPolicy": "RING_HASH", "ringHashLbConfig": {"minimumRingSize": "1024"}},
        ),
        (
            "{consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 9}}}",
            {"lbPolicy": "RING_HASH", "ringHashLbConfig": {"minimumRingSize": "9"}},
        ),
        (
            "{consistentHash: {httpHeaderName: x, maglev: {tableSize: 65537}}}",
            {"lbPolicy": "MAGLEV", "maglevLbConfig": {"tableSize": "65537"}},
        ),
        ("{consistentHash: {httpHeaderName: x, maglev: {}}}", {"lbPolicy": "MAGLEV"}),
        (
            "{simple: ROUND_ROBIN, warmup: {duration: 60s}}",
            {"roundRobinLbConfig": {"slowStartConfig": {"slowStartWindow": "60s"}}},
        ),
        (
            "{warmup: {duration: 60s, minimumPercent: 10, aggression: 1.5}}",
            {
                "lbPolicy": "LEAST_REQUEST",
                "leastRequestLbConfig": {
                    "slowStartConfig": {
                        "slowStartWindow": "60s",
                        "minWeightPercent": {"value": 10.0},
                        "aggression": {"defaultValue": 1.5},
                    }
                },
            },
        ),
    ],
)
def test_balance(balancer: str, expected: dict[str, Any]) -> None:
    made = cluster(f"{{loadBalancer: {balancer}}}")
    assert {
        name: one
        for name, one in made.items()
        if "lbPolicy" in name or ("LbConfig" in name and name != "commonLbConfig")
    } == expected


def test_passthrough_balance_makes_the_cluster_follow_the_connection() -> None:
    made = cluster("{loadBalancer: {simple: PASSTHROUGH}}")
    assert (made["type"], made["lbPolicy"]) == ("ORIGINAL_DST", "CLUSTER_PROVIDED")
    assert "edsClusterConfig" not in made


def test_a_gateway_balances_instead() -> None:
    text = SERVICE.replace("PROTOCOL", "HTTP")
    where = world(text.replace("POLICY", "{loadBalancer: {simple: PASSTHROUGH}}"))
    made = plain(clusters(sidecar(kind=ProxyType.ROUTER), where)["outbound|80||a.test"])
    assert (made["type"], made["lbPolicy"]) == ("EDS", "LEAST_REQUEST")


@pytest.mark.parametrize(
    ("outlier", "expected", "panic"),
    [
        ("{}", {}, {}),
        (
            "{consecutive5xxErrors: 3, interval: 4s, baseEjectionTime: 5s, maxEjectionPercent: 6}",
            {
                "consecutive5xx": 3,
                "enforcingConsecutive5xx": 100,
                "interval": "4s",
                "baseEjectionTime": "5s",
                "maxEjectionPercent": 6,
            },
            {},
        ),
        (
            "{consecutive5xxErrors: 0, consecutiveGatewayErrors: 2}",
            {
                "consecutive5xx": 0,
                "enforcingConsecutive5xx": 0,
                "consecutiveGatewayFailure": 2,
                "enforcingConsecutiveGatewayFailure": 100,
            },
            {},
        ),
        (
            "{splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 7}",
            {
                "splitExternalLocalOriginErrors": True,
                "consecutiveLocalOriginFailure": 7,
                "enforcingConsecutiveLocalOriginFailure": 100,
                "enforcingLocalOriginSuccessRate": 0,
            },
            {},
        ),
        ("{minHealthPercent: 40}", {}, {"value": 40.0}),
    ],
)
def test_outlier_detection(outlier: str, expected: dict[str, Any], panic: dict[str, Any]) -> None:
    made = cluster(f"{{outlierDetection: {outlier}}}")
    assert made["outlierDetection"] == {"enforcingSuccessRate": 0, **expected}
    assert made["commonLbConfig"]["healthyPanicThreshold"] == panic


def test_connect_timeout_of_the_rule_goes_over_the_meshs() -> None:
    pool = "{connectionPool: {tcp: {connectTimeout: 2s}}}"
    assert cluster("{}", mesh="connectTimeout: 3s")["connectTimeout"] == "3s"
    assert cluster(pool, mesh="connectTimeout: 3s")["connectTimeout"] == "2s"


@pytest.mark.parametrize(
    ("mesh", "pool", "expected"),
    [
        (None, "{tcp: {}}", None),
        ("tcpKeepalive: {probes: 2}", "{tcp: {}}", {"keepaliveProbes": 2}),
        (
            "tcpKeepalive: {probes: 2}",
            "{tcp: {tcpKeepalive: {time: 30s, interval: 5s}}}",
            {"keepaliveTime": 30, "keepaliveInterval": 5},
        ),
    ],
)
def test_keepalive(mesh: str | None, pool: str, expected: dict[str, int] | None) -> None:
    made = cluster(f"{{connectionPool: {pool}}}", mesh=mesh).get("upstreamConnectionOptions", {})
    assert made.get("tcpKeepalive") == expected


@pytest.mark.parametrize(
    ("policy", "weighted"),
    [
        ("{}", False),
        (
            '{loadBalancer: {localityLbSetting: {distribute: [{from: "r/*", to: {"r/*": 100}}]}}}',
            True,
        ),
        ("{loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}", False),
        (
            "{loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}, outlierDetection: {}}",
            True,
        ),
    ],
)
def test_localities_have_weight_only_where_a_setting_uses_them(
    policy: str, *, weighted: bool
) -> None:
    assert ("localityWeightedLbConfig" in cluster(policy)["commonLbConfig"]) is weighted
