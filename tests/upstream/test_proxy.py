# SPDX-License-Identifier: Apache-2.0
"""The xDS node as Istio reads it."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from mesh.errors import Rejected
from upstream.proxy import Interception, Locality, Proxy, ProxyType
from wire.proto.discovery_pb2 import Node

ID = "sidecar~10.0.0.1~a.demo~demo.svc.cluster.local"


def parse(node_id: str = ID, locality: dict[str, str] | None = None, **metadata: Any) -> Proxy:
    node = Node(id=node_id)
    node.metadata.update(metadata)
    json_format.ParseDict(locality or {}, node.locality)
    return Proxy.parse(node)


def test_the_id_alone() -> None:
    proxy = parse()
    assert (proxy.type, proxy.ips, proxy.id) == (ProxyType.SIDECAR, ("10.0.0.1",), "a.demo")
    assert (proxy.domain, proxy.namespace) == ("demo.svc.cluster.local", "demo")
    assert (proxy.domain_suffix, proxy.interception) == ("cluster.local", Interception.REDIRECT)


def test_metadata() -> None:
    proxy = parse(
        NAMESPACE="other",
        LABELS={"app": "a", "version": "v1"},
        STATIC_LABELS={"version": "v2"},
        SERVICE_ACCOUNT="sa",
        INTERCEPTION_MODE="NONE",
        CLUSTER_ID="c",
        MESH_ID="m",
        NETWORK="n",
        GENERATOR="grpc",
    )
    assert (proxy.namespace, proxy.service_account) == ("other", "sa")
    assert proxy.labels == {"app": "a", "version": "v2"}
    assert proxy.interception is Interception.NONE
    assert (proxy.cluster_id, proxy.mesh_id, proxy.network) == ("c", "m", "n")
    assert proxy.generator == "grpc"


@pytest.mark.parametrize(
    ("given", "ips"),
    [
        ("10.0.0.2,fd00::1", ("10.0.0.2", "fd00::1")),
        (" 10.0.0.2 , ", ("10.0.0.2",)),
        (["10.0.0.2"], ("10.0.0.2",)),
        ("", ("10.0.0.1",)),
    ],
)
def test_addresses(given: Any, ips: tuple[str, ...]) -> None:
    assert parse(INSTANCE_IPS=given).ips == ips


def test_an_unknown_mode_is_redirect() -> None:
    assert parse(INTERCEPTION_MODE="MAGIC").interception is Interception.REDIRECT


@pytest.mark.parametrize(
    ("label", "given", "expected"),
    [
        ("", {"region": "r", "zone": "z", "subZone": "s"}, "r/z/s"),
        ("r1/z1", {"region": "r"}, "r1/z1"),
        ("r1.z1.s1", {}, "r1/z1/s1"),
        ("", {}, ""),
    ],
)
def test_locality(label: str, given: dict[str, str], expected: str) -> None:
    proxy = parse(ID, given, **({"LABELS": {"istio-locality": label}} if label else {}))
    assert str(proxy.locality) == expected
    assert proxy.locality == Locality.parse(expected)


@pytest.mark.parametrize(
    ("node_id", "says"),
    [
        ("sidecar~10.0.0.1~a", "type~ip~id~domain"),
        ("alien~10.0.0.1~a~d", "unknown proxy type 'alien'"),
        ("sidecar~~a~d", "no address"),
        ("sidecar~ten~a~d", "'ten' is not an IP address"),
    ],
)
def test_refused(node_id: str, says: str) -> None:
    with pytest.raises(Rejected, match=says):
        parse(node_id)


def test_one_bad_address_is_enough() -> None:
    with pytest.raises(Rejected, match="'x' is not an IP address"):
        parse(INSTANCE_IPS="10.0.0.1,x")
