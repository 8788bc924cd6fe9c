# SPDX-License-Identifier: Apache-2.0
"""The configuration that istiod generates from the same objects for the same proxy, compared resource by resource."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from envoy.extensions.filters.listener.original_src.v3 import original_src_pb2
from google.protobuf import any_pb2, json_format

from tests.conformance.runner import Case, cases
from upstream.config import Kind, MeshConfig, parse_documents, parse_mesh
from upstream.generate import generate
from upstream.proxy import Proxy
from upstream.world import World
from wire.proto.discovery_pb2 import Node
from wire.proto.istio_pb2 import NameTable
from wire.types import CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, ROUTE

assert original_src_pb2  # the descriptor registers itself for json_format

SERVED = frozenset(
    [
        "authz",
        "dr-lb",
        "dr-locality",
        "dr-policy",
        "dr-scope",
        "dr-tls",
        "inbound",
        "misc",
        "mtls-client",
        "outbound-policy",
        "peerauth",
        "services",
        "sidecar",
        "visibility",
        "vs-delegate",
        "vs-host",
        "vs-l4",
        "vs-match",
        "vs-policy",
        "vs-route",
    ]
)
PROFILE = "vanilla"
LISTS = {"cds": CLUSTER, "eds": ENDPOINT, "lds": LISTENER, "rds": ROUTE}


def serves(case: Case) -> bool:
    """By feature and profile, and only objects that are all acted on."""
    if not case.features <= SERVED or case.data.get("profile") != PROFILE:
        return False
    if case.data.get("options", {}).get("dualStack"):
        return False
    objects = [one for one in yaml.safe_load_all(config_of(case)) if one]
    return all(acted_on(one) for one in objects) and recorded_whole(case, objects)


def acted_on(one: dict[str, Any]) -> bool:
    """Kinds that are served, without external authorizers."""
    return one["kind"] in set(Kind) and one.get("spec", {}).get("action") != "CUSTOM"


def recorded_whole(case: Case, objects: list[dict[str, Any]]) -> bool:
    """Where a service with endpoints stands alone, the peer was asked for them before it had read them."""
    specs = [one["spec"] for one in objects]
    given = any(spec.get("endpoints") and spec.get("resolution") == "STATIC" for spec in specs)
    answered = json.loads((case.folder / "xds.json").read_text())["eds"]
    return not given or not answered or any(one.get("endpoints") for one in answered)


def config_of(case: Case) -> str:
    return (case.folder / "config.yaml").read_text()


def world_of(case: Case) -> World:
    objects, faults = parse_documents(config_of(case), "config.yaml")
    assert not [fault for fault in faults if fault.fatal]
    mesh, path = MeshConfig(), case.folder / "mesh.yaml"
    if path.is_file():
        mesh, faults = parse_mesh(path.read_text(), "mesh.yaml")
        assert not [fault for fault in faults if fault.fatal]
    return World({"config.yaml": objects}, mesh=mesh)


def proxy_of(case: Case) -> Proxy:
    node = json.loads((case.folder / "node.json").read_text())
    return Proxy.parse(json_format.ParseDict(node, Node()))


def plain(resource: any_pb2.Any) -> dict[str, Any]:
    """In protobuf's canonical JSON, with the endpoints of a locality in one order."""
    found: dict[str, Any] = json_format.MessageToDict(resource)
    for group in found.get("endpoints", []):
        group.get("lbEndpoints", []).sort(key=str)
    return found


def name_of(resource: dict[str, Any]) -> str:
    return str(resource.get("name") or resource.get("clusterName"))


def recorded(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    parsed = [plain(json_format.ParseDict(one, any_pb2.Any())) for one in resources]
    return {name_of(one): one for one in parsed}


@cases("xds", serves=serves)
def test_xds(case: Case) -> None:
    world, proxy = world_of(case), proxy_of(case)
    recording = json.loads((case.folder / "xds.json").read_text())
    for key, type_url in LISTS.items():
        made = generate(type_url, proxy, world, None)
        ours = {one.name: plain(any_pb2.Any.FromString(one.any_bytes)) for one in made}
        assert ours == recorded(recording[key]), key
    assert recording.get("ecds", []) == []
    assert names_of(world, proxy) == recording["nds"]


def names_of(world: World, proxy: Proxy) -> dict[str, Any]:
    (made,) = generate(NAME_TABLE, proxy, world, None)
    table = NameTable.FromString(any_pb2.Any.FromString(made.any_bytes).value)
    found: dict[str, Any] = json_format.MessageToDict(table)
    return dict(found.get("table", {}))


@pytest.mark.conformance
def test_every_named_resource_is_answered_even_if_unknown() -> None:
    proxy = Proxy.parse(Node(id="sidecar~10.0.0.1~a.default~default.svc.cluster.local"))
    for type_url in (ENDPOINT, ROUTE):
        (made,) = generate(type_url, proxy, World(), frozenset({"nosuch"}))
        assert made.name == "nosuch"
