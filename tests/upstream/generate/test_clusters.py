# SPDX-License-Identifier: Apache-2.0
"""One cluster for each visible port and subset, discovered as its service says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.upstream.generate.made import clusters, plain
from tests.upstream.support import sidecar, world
from upstream.generate import generate
from upstream.proxy import ProxyType
from wire.types import CLUSTER

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  resolution: RESOLUTION
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 53, name: dns, protocol: UDP}
  endpoints: ENDPOINTS
"""
RULE = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: default}
spec:
  host: a.test
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
"""
MEMBER = "[{address: 10.1.0.1, labels: {version: v1}}]"


def entry(resolution: str, endpoints: str = MEMBER) -> str:
    return ENTRY.replace("RESOLUTION", resolution).replace("ENDPOINTS", endpoints)


def outbound(text: str, kind: ProxyType = ProxyType.SIDECAR) -> dict[str, dict[str, Any]]:
    made = clusters(sidecar(kind=kind), world(text))
    return {name: plain(one) for name, one in made.items() if name.startswith("outbound|")}


def test_a_cluster_for_each_port_and_subset_but_none_for_udp() -> None:
    made = outbound(entry("STATIC") + RULE)
    assert set(made) == {"outbound|80||a.test", "outbound|80|v1|a.test"}
    assert made["outbound|80||a.test"]["lbPolicy"] == "LEAST_REQUEST"
    assert made["outbound|80|v1|a.test"]["lbPolicy"] == "RANDOM"


TWO_WORKLOADS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  resolution: DNS_ROUND_ROBIN
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: a}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: one, namespace: default}
spec: {address: one.test, locality: r1/z1, labels: {app: a}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: two, namespace: default}
spec: {address: two.test, locality: r2/z2, labels: {app: a}}
"""


def test_one_name_is_resolved_in_turn_however_many_workloads_there_are() -> None:
    made = outbound(TWO_WORKLOADS)["outbound|80||a.test"]
    assert made["type"] == "LOGICAL_DNS"
    (located,) = made["loadAssignment"]["endpoints"]
    (endpoint,) = located["lbEndpoints"]
    assert endpoint["endpoint"]["address"]["socketAddress"]["address"] == "one.test"


def test_metadata_says_where_a_cluster_comes_from() -> None:
    made = outbound(entry("STATIC") + RULE)["outbound|80|v1|a.test"]
    assert made["metadata"]["filterMetadata"]["istio"] == {
        "services": [{"host": "a.test", "name": "a.test", "namespace": "default"}],
        "config": "/apis/networking.istio.io/v1/namespaces/default/destination-rule/r",
        "subset": "v1",
        "external": True,
    }


@pytest.mark.parametrize(
    ("resolution", "endpoints", "expected"),
    [
        ("STATIC", MEMBER, "EDS"),
        ("DNS", "[{address: x.test}]", "STRICT_DNS"),
        ("DNS_ROUND_ROBIN", "[{address: x.test}]", "LOGICAL_DNS"),
        ("NONE", "[]", "ORIGINAL_DST"),
    ],
)
def test_discovery(resolution: str, endpoints: str, expected: str) -> None:
    assert outbound(entry(resolution, endpoints))["outbound|80||a.test"]["type"] == expected


def test_eds_comes_over_the_same_stream() -> None:
    made = outbound(entry("STATIC"))["outbound|80||a.test"]
    assert made["edsClusterConfig"] == {
        "edsConfig": {"ads": {}, "initialFetchTimeout": "0s", "resourceApiVersion": "V3"},
        "serviceName": "outbound|80||a.test",
    }


def test_dns_clusters_bring_their_endpoints() -> None:
    made = outbound(entry("DNS", "[]"))["outbound|80||a.test"]
    (group,) = made["loadAssignment"]["endpoints"]
    where = group["lbEndpoints"][0]["endpoint"]["address"]["socketAddress"]
    assert where == {"address": "a.test", "portValue": 80}
    assert made["respectDnsTtl"] is True
    assert made["dnsRefreshRate"] == "60s"


def test_a_dns_subset_without_endpoints_has_no_cluster() -> None:
    assert set(outbound(entry("DNS", "[{address: x.test}]") + RULE)) == {"outbound|80||a.test"}


def test_a_router_never_follows_the_connection() -> None:
    """Connections end at it: there is no other destination to follow."""
    made = outbound(entry("NONE", "[]"), ProxyType.ROUTER)["outbound|80||a.test"]
    assert made["type"] == "EDS"


def test_what_proxies_share_is_made_once() -> None:
    where = world(entry("STATIC"))
    one, other = (
        {m.name: m for m in generate(CLUSTER, sidecar(ip=ip), where, None)}
        for ip in ("10.0.0.1", "10.0.0.2")
    )
    assert one["outbound|80||a.test"] is other["outbound|80||a.test"]


def test_of_one_name_the_first_counts() -> None:
    text = entry("STATIC") + "---" + entry("DNS").replace("name: a,", "name: b,")
    assert outbound(text)["outbound|80||a.test"]["type"] == "EDS"


def test_proxies_of_two_clusters_do_not_share_what_names_their_cluster() -> None:
    text = """
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {name: d, namespace: default}
    spec: {hosts: [d.test], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
    """
    objects = world(text)
    for cluster in ("one", "two"):
        made = clusters(replace(sidecar(), cluster_id=cluster), objects)["outbound|80||d.test"]
        assert f";{cluster}" in str(made.load_assignment)
