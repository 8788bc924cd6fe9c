# SPDX-License-Identifier: Apache-2.0
"""Whether real Envoy takes what is generated: many proxies' resources in one static file, ``--mode validate``.

Nothing is bound and nothing is asked for: routes stand in their listeners, endpoints in their clusters. Names get
the case before them, so that Envoy's complaint says whose resource it is about.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from google.protobuf import json_format

from tests.support.envoy import find_envoy
from tests.upstream.generate.made import assignments, clusters, listeners, routes
from upstream.generate.http_connection import HCM
from upstream.generate.mtls import SDS_CLUSTER
from upstream.proxy import Proxy
from upstream.world import World

DEADLINE = 300.0
_ADDRESS = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}


def complaint(cases: Mapping[str, tuple[Proxy, World]], home: Path) -> str:
    """What Envoy has against the resources of these proxies; empty when it takes them all."""
    return refusal(static(cases), home)


def refusal(config: dict[str, Any], home: Path) -> str:
    """What Envoy has against this bootstrap."""
    file = home / "static.json"
    file.write_text(json.dumps(config))
    argv = [find_envoy(), "--mode", "validate", "-c", str(file), "-l", "error"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    return "" if done.returncode == 0 else _with_names(done.stderr or done.stdout, config)


def _with_names(said: str, config: dict[str, Any]) -> str:
    """Some complaints know a listener by its address only."""
    for listener in config["static_resources"]["listeners"]:
        where = listener["address"].get("socketAddress", {}).get("address")
        if where and f"{where}:" in said:
            return f"{listener['name']}: {said}"
    return said


def static(cases: Mapping[str, tuple[Proxy, World]]) -> dict[str, Any]:
    """A bootstrap that holds everything."""
    found: dict[str, list[Any]] = {"clusters": [_sds()], "listeners": []}
    for case, (proxy, world) in cases.items():
        found["clusters"] += _clusters(case, proxy, world)
        found["listeners"] += _listeners(case, proxy, world)
    for number, listener in enumerate(found["listeners"], 1):
        _move(listener, number)
    return {"node": {"id": "x", "cluster": "x"}, "static_resources": found}


def _sds() -> dict[str, Any]:
    place = {"cluster_name": SDS_CLUSTER, "endpoints": [{"lb_endpoints": [_endpoint()]}]}
    return {"name": SDS_CLUSTER, "type": "STATIC", "load_assignment": place}


def _endpoint() -> dict[str, Any]:
    return {"endpoint": {"address": _ADDRESS}}


def _clusters(case: str, proxy: Proxy, world: World) -> Iterator[dict[str, Any]]:
    members = assignments(proxy, world)
    for name, cluster in clusters(proxy, world).items():
        if cluster.type == Cluster.EDS:
            cluster.type = Cluster.STATIC
            cluster.ClearField("eds_cluster_config")
            cluster.load_assignment.CopyFrom(members[name])
        cluster.name = f"{case}/{name}"
        yield json_format.MessageToDict(cluster)


def _listeners(case: str, proxy: Proxy, world: World) -> Iterator[dict[str, Any]]:
    known = routes(proxy, world)
    for name, listener in listeners(proxy, world).items():
        listener.name = f"{case}/{name}"
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for one in chain.filters:
                if one.name == HCM:
                    _inline(one.typed_config, known)
        yield json_format.MessageToDict(listener)


def _move(listener: dict[str, Any], number: int) -> None:
    """To an address that no other case has."""
    where = listener["address"]
    if "pipe" in where:
        where["pipe"]["path"] += f".{number}"
    else:
        where["socketAddress"]["address"] = str(IPv4Address("127.1.0.0") + number)


def _inline(config: Any, known: Mapping[str, RouteConfiguration]) -> None:
    manager = HttpConnectionManager()
    config.Unpack(manager)
    if manager.HasField("rds"):
        manager.route_config.CopyFrom(known[manager.rds.route_config_name])
        config.Pack(manager)
