# SPDX-License-Identifier: Apache-2.0
"""Who is behind a cluster, where, and what is spoken to them."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from tests.upstream.generate.made import plain, unpack
from tests.upstream.support import sidecar, world
from upstream.generate import generate
from upstream.proxy import ProxyType
from wire.types import ENDPOINT

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
  - {number: 81, name: more, protocol: HTTP}
  endpoints: ENDPOINTS
"""
RULE = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: default}
spec: {host: a.test, subsets: [{name: v1, labels: {version: v1}}], trafficPolicy: POLICY}
"""
PEER = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: p, namespace: default}
spec:
  selector: {matchLabels: {app: a}}
  mtls: {mode: STRICT}
  portLevelMtls: {8080: {mode: DISABLE}}
"""


def assignment(
    endpoints: str, name: str = "outbound|80||a.test", more: str = "", **where: str
) -> dict[str, Any]:
    objects = world(ENTRY.replace("ENDPOINTS", endpoints) + more)
    (made,) = generate(ENDPOINT, sidecar(**where), objects, frozenset({name}))  # type: ignore[arg-type]  # only texts
    return plain(unpack(made, ClusterLoadAssignment))


def members(*args: str, **more: str) -> list[dict[str, Any]]:
    groups = assignment(*args, **more).get("endpoints", [])
    return [one for group in groups for one in group["lbEndpoints"]]


def addresses(*args: str, **more: str) -> list[tuple[str, int]]:
    found = [one["endpoint"]["address"]["socketAddress"] for one in members(*args, **more)]
    return [(one["address"], one["portValue"]) for one in found]


def test_the_target_port_unless_the_endpoint_has_its_own() -> None:
    two = "[{address: 10.1.0.1}, {address: 10.1.0.2, ports: {http: 9000}}]"
    assert addresses(two) == [("10.1.0.1", 8080), ("10.1.0.2", 9000)]
    assert addresses(two, "outbound|81||a.test") == [("10.1.0.1", 81), ("10.1.0.2", 81)]


def test_a_subset_has_those_with_its_labels() -> None:
    two = "[{address: 10.1.0.1, labels: {version: v1, x: y}}, {address: 10.1.0.2}]"
    more = RULE.replace("POLICY", "{}")
    assert addresses(two, "outbound|80|v1|a.test", more) == [("10.1.0.1", 8080)]


@pytest.mark.parametrize(
    "name",
    [
        "outbound|80|nosuch|a.test",
        "outbound|82||a.test",
        "outbound|80||b.test",
        "inbound|80||",
        "anything",
    ],
)
def test_an_unknown_name_is_answered_empty(name: str) -> None:
    assert assignment("[{address: 10.1.0.1}]", name) == {"clusterName": name}


def test_the_same_address_counts_once() -> None:
    assert addresses("[{address: 10.1.0.1}, {address: 10.1.0.1}]") == [("10.1.0.1", 8080)]


def test_a_socket_has_no_port() -> None:
    one_port = ENTRY.replace("  - {number: 81, name: more, protocol: HTTP}\n", "")
    objects = world(one_port.replace("ENDPOINTS", "[{address: 'unix:///x.sock'}]"))
    (made,) = generate(ENDPOINT, sidecar(), objects, frozenset({"outbound|80||a.test"}))
    (group,) = plain(unpack(made, ClusterLoadAssignment))["endpoints"]
    assert group["lbEndpoints"][0]["endpoint"]["address"] == {"pipe": {"path": "/x.sock"}}


def test_weights_add_up_in_their_locality() -> None:
    some = (
        "[{address: 10.1.0.1, locality: r2, weight: 3},"
        " {address: 10.1.0.2, locality: r1/z/s}, {address: 10.1.0.3, locality: r1/z/s, weight: 4}]"
    )
    groups = assignment(some)["endpoints"]
    assert [(one["locality"], one["loadBalancingWeight"]) for one in groups] == [
        ({"region": "r1", "zone": "z", "subZone": "s"}, 5),
        ({"region": "r2"}, 3),
    ]


TLS_ON = {"tlsMode": "istio"}
KNOWN = "[{address: 10.1.0.1, serviceAccount: a, labels: {app: a}}]"
LABELLED = "[{address: 10.1.0.1, labels: {security.istio.io/tlsMode: istio}}]"
REFUSED = "[{address: 10.1.0.1, serviceAccount: a, labels: {security.istio.io/tlsMode: disabled}}]"


@pytest.mark.parametrize(
    ("endpoints", "more", "secured"),
    [
        (KNOWN, "", True),
        ("[{address: 10.1.0.1}]", "", False),
        (LABELLED, "", True),
        (REFUSED, "", False),
        (KNOWN, PEER, False),
        (KNOWN, RULE.replace("POLICY", "{tls: {mode: DISABLE}}"), False),
        (KNOWN, RULE.replace("POLICY", "{tls: {mode: SIMPLE}}"), False),
        (KNOWN, RULE.replace("POLICY", "{tls: {mode: ISTIO_MUTUAL}}"), True),
    ],
)
def test_mutual_tls_with_those_that_speak_it(endpoints: str, more: str, *, secured: bool) -> None:
    (one,) = members(endpoints, more=more)
    match = one["metadata"]["filterMetadata"].get("envoy.transport_socket_match")
    assert match == (TLS_ON if secured else None)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("{}", "a-0;default;a-0;;Kubernetes"),
        ("{app: x, version: v2}", "a-0;default;x;v2;Kubernetes"),
        ("{app: x, app.kubernetes.io/name: y}", "a-0;default;y;;Kubernetes"),
        (
            "{app: x, service.istio.io/canonical-name: z, service.istio.io/canonical-revision: latest}",
            "a-0;default;z;;Kubernetes",
        ),
    ],
)
def test_telemetry_knows_the_workload(labels: str, expected: str) -> None:
    (one,) = members(f"[{{address: 10.1.0.1, labels: {labels}}}]")
    assert one["metadata"]["filterMetadata"]["istio"] == {"workload": expected}


def test_far_localities_wait_for_the_near_to_fail() -> None:
    some = "[{address: 10.1.0.1, locality: near}, {address: 10.1.0.2, locality: far}]"
    more = RULE.replace("POLICY", "{outlierDetection: {}}")
    groups = assignment(some, more=more, locality="near")["endpoints"]
    assert {one["locality"]["region"]: one.get("priority", 0) for one in groups} == {
        "near": 0,
        "far": 1,
    }


def test_addresses_that_only_differ_in_service_are_of_one_host() -> None:
    """A ServiceEntry with two addresses is two services with the same members."""
    objects = ENTRY.replace("ENDPOINTS", "[{address: 10.1.0.1}]").replace(
        "resolution:", "addresses: [10.9.0.1, 10.9.0.2]\n  resolution:"
    )
    (made,) = generate(ENDPOINT, sidecar(), world(objects), frozenset({"outbound|80||a.test"}))
    (group,) = plain(unpack(made, ClusterLoadAssignment))["endpoints"]
    assert len(group["lbEndpoints"]) == 1


SELECTING = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  resolution: NONE
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: a}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: default}
spec: {address: 10.1.0.1, labels: {app: a}}
"""


@pytest.mark.parametrize(("kind", "found"), [(ProxyType.ROUTER, 1), (ProxyType.SIDECAR, 0)])
def test_without_an_original_destination_a_router_asks_for_addresses(
    kind: ProxyType, found: int
) -> None:
    name = "outbound|80||a.test"
    (made,) = generate(ENDPOINT, sidecar(kind=kind), world(SELECTING), frozenset({name}))
    assert len(unpack(made, ClusterLoadAssignment).endpoints) == found


def test_endpoints_of_the_same_host_in_another_namespace_are_not_its_own() -> None:
    mine = ENTRY.replace("ENDPOINTS", "[{address: 10.1.0.1}]")
    theirs = ENTRY.replace("ENDPOINTS", "[{address: 10.1.0.2}]")
    both = world(mine + "---" + theirs.replace("namespace: default", "namespace: other"))
    (made,) = generate(ENDPOINT, sidecar(), both, frozenset({"outbound|80||a.test"}))
    (group,) = plain(unpack(made, ClusterLoadAssignment))["endpoints"]
    found = [one["endpoint"]["address"]["socketAddress"]["address"] for one in group["lbEndpoints"]]
    assert found == ["10.1.0.1"]
