# SPDX-License-Identifier: Apache-2.0
"""What is generated, as messages by name, and in plain JSON where a test compares shapes."""

from __future__ import annotations

from typing import Any, TypeVar

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message

from upstream.generate import Generated, generate
from upstream.proxy import Proxy
from upstream.world import World
from wire.types import CLUSTER, ENDPOINT, LISTENER, ROUTE

M = TypeVar("M", bound=Message)


def plain(message: Message) -> dict[str, Any]:
    """Protobuf's canonical JSON."""
    found: dict[str, Any] = json_format.MessageToDict(message)
    return found


def unpack(made: Generated, kind: type[M]) -> M:
    """The message inside."""
    message = kind()
    assert any_pb2.Any.FromString(made.any_bytes).Unpack(message)
    return message


def _all(type_url: str, kind: type[M], proxy: Proxy, world: World) -> dict[str, M]:
    return {one.name: unpack(one, kind) for one in generate(type_url, proxy, world, None)}


def clusters(proxy: Proxy, world: World) -> dict[str, Cluster]:
    return _all(CLUSTER, Cluster, proxy, world)


def assignments(proxy: Proxy, world: World) -> dict[str, ClusterLoadAssignment]:
    return _all(ENDPOINT, ClusterLoadAssignment, proxy, world)


def listeners(proxy: Proxy, world: World) -> dict[str, Listener]:
    return _all(LISTENER, Listener, proxy, world)


def routes(proxy: Proxy, world: World) -> dict[str, RouteConfiguration]:
    return _all(ROUTE, RouteConfiguration, proxy, world)


def hosts(proxy: Proxy, world: World, name: str) -> dict[str, dict[str, Any]]:
    """The virtual hosts of one route configuration, by name."""
    return {one["name"]: one for one in plain(routes(proxy, world)[name])["virtualHosts"]}
