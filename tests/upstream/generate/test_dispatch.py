# SPDX-License-Identifier: Apache-2.0
"""Type URLs and their subjects."""

from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf import any_pb2

from tests.upstream.support import sidecar, world
from upstream.generate.dispatch import TYPES, generate
from wire.types import CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, ROUTE

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  resolution: STATIC
  endpoints: [{address: 10.1.0.1}]
  ports: [{number: 80, name: http, protocol: HTTP}]
"""
ASKED = {
    ENDPOINT: "outbound|80||a.test",
    ROUTE: "80",
}


def test_clusters_go_before_what_refers_to_them() -> None:
    assert TYPES == (CLUSTER, ENDPOINT, LISTENER, ROUTE, NAME_TABLE)


def test_every_type_url_is_the_messages_own() -> None:
    kinds = {
        CLUSTER: Cluster,
        ENDPOINT: ClusterLoadAssignment,
        LISTENER: Listener,
        ROUTE: RouteConfiguration,
    }
    for type_url, kind in kinds.items():
        assert type_url == f"type.googleapis.com/{kind.DESCRIPTOR.full_name}"
        made = generate(type_url, sidecar(), world(ENTRY), None)
        assert made
        for one in made:
            assert any_pb2.Any.FromString(one.any_bytes).type_url == type_url


def test_an_unknown_type_gives_nothing() -> None:
    assert generate("type.googleapis.com/some.Other", sidecar(), world(ENTRY), None) == []


def test_asked_names_are_answered_each_and_only_they() -> None:
    for type_url, name in ASKED.items():
        for names in (frozenset({name}), frozenset({name, "nosuch"}), frozenset[str]()):
            made = generate(type_url, sidecar(), world(ENTRY), names)
            assert {one.name for one in made} == names


def test_clusters_and_listeners_are_always_whole() -> None:
    for type_url in (CLUSTER, LISTENER):
        whole = generate(type_url, sidecar(), world(ENTRY), None)
        assert generate(type_url, sidecar(), world(ENTRY), frozenset({"x"})) == whole
