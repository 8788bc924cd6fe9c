# SPDX-License-Identifier: Apache-2.0
"""Which mutual TLS mode PeerAuthentications come to, and the TLS that an inbound port then terminates."""

from __future__ import annotations

from typing import Any

import yaml
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext
from google.protobuf import json_format

from tests.conformance.runner import Case, cases
from upstream.config import MeshConfig, parse_documents
from upstream.config.security import MtlsMode
from upstream.generate.mtls import downstream_socket, workload_mode
from upstream.world import World

SPACE = "my-ns"
LABELS = {"app": "foo"}
OFFERED = ("h2", "http/1.1")
ANY_PORT = 1


def world_of(case: Case) -> World:
    """The policies apply to the workload; where the recording leaves their namespace out it is the workload's."""
    root = case.data.get("rootNamespace", "root-namespace")
    found = [document(one) for one in case.data["policies"]]
    objects, faults = parse_documents(yaml.safe_dump_all(found), "x.yaml")
    assert not [fault for fault in faults if fault.fatal]
    return World({"x.yaml": objects}, mesh=MeshConfig(root_namespace=root, trust_domain=""))


def document(policy: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": policy["name"] or "name", "namespace": policy["namespace"] or SPACE}
    if policy.get("created"):
        meta["creationTimestamp"] = policy["created"]
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": policy["kind"],
        "metadata": meta,
        "spec": policy["spec"],
    }


def mode(world: World, port: int) -> MtlsMode:
    return workload_mode(SPACE, LABELS, port, world)


@cases("authn/peer-merge")
def test_peer_merge(case: Case) -> None:
    world, expected = world_of(case), case.data["expected"]
    assert mode(world, ANY_PORT) == expected["mode"]
    assert {port: mode(world, int(port)) for port in expected["perPort"]} == expected["perPort"]


@cases("authn/inbound-mtls")
def test_inbound_mtls(case: Case) -> None:
    world = world_of(case)
    assert mode(world, case.data["port"]) == case.data["expectedMode"]
    for key, offered in (
        ("expectedTlsTcp", ("istio-peer-exchange", *OFFERED)),
        ("expectedTlsHttp", OFFERED),
    ):
        terminates = mode(world, case.data["port"]) is not MtlsMode.DISABLE
        assert terminates is (case.data[key] is not None)
        if terminates:
            assert context(downstream_socket(world, offered)) == expected_context(case.data[key])


def context(socket: TransportSocket) -> dict[str, Any]:
    made = DownstreamTlsContext()
    assert socket.typed_config.Unpack(made)
    return json_format.MessageToDict(made)


def expected_context(recorded: dict[str, Any]) -> dict[str, Any]:
    return json_format.MessageToDict(json_format.ParseDict(recorded, DownstreamTlsContext()))
