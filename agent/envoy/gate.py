# SPDX-License-Identifier: Apache-2.0
"""Where a new Envoy waits until it may take over: a route table that it must have before it is initialised.

Envoy drains its parent by itself as soon as it is initialised, whatever came of its configuration. So the bootstrap of
each epoch after the first has one more listener, bound to no port, whose routes come from the agent; the agent looks at
the new Envoy first and answers then. One that never hears has bound its ports, and neither listens nor drains anybody.
"""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage

from agent.envoy.command import compact
from wire import types
from wire.h2io import Code, RpcError, ServerCall, Status
from wire.proto.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

METHOD = "/envoy.service.route.v3.RouteDiscoveryService/StreamRoutes"
NAME = "pilothouse-gate"
_TYPES = "type.googleapis.com/envoy.extensions."


def with_gate(override: str, gate: str, *, xds_socket: str, admin_socket: str = "") -> str:
    """The ``--config-yaml`` of an Envoy that asks at ``gate``; the user's own override stays in it."""
    document: dict[str, Any] = copy.deepcopy(json.loads(override)) if override else {}
    static = document.setdefault("static_resources", {})
    static.setdefault("listeners", []).append(_listener(gate))
    static.setdefault("clusters", []).append(_cluster(xds_socket))
    if admin_socket:
        document.setdefault("admin", {})["address"] = {"pipe": {"path": admin_socket}}
    return compact(document)


def _listener(gate: str) -> dict[str, Any]:
    service = {"envoy_grpc": {"cluster_name": NAME}}
    source = {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [service],
        },
    }
    manager = {
        "@type": f"{_TYPES}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": NAME,
        "rds": {"route_config_name": gate, "config_source": source},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}filters.http.router.v3.Router"},
            }
        ],
    }
    name = "envoy.filters.network.http_connection_manager"
    return {
        "name": NAME,
        "bind_to_port": False,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
    }


def _cluster(xds_socket: str) -> dict[str, Any]:
    protocol = f"{_TYPES}upstreams.http.v3.HttpProtocolOptions"
    address = {"pipe": {"path": xds_socket}}
    return {
        "name": NAME,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": protocol,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": NAME,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


class Gatekeeper:
    """Answers at the gates. Each Envoy has one of its own, shut until it is opened, and opened once."""

    def __init__(self) -> None:
        self._gates: dict[str, asyncio.Event] = {}

    def build(self) -> str:
        """A new gate's name."""
        gate = f"{NAME}-{len(self._gates)}"
        self._gates[gate] = asyncio.Event()
        return gate

    def open(self, gate: str) -> None:
        self._gates[gate].set()

    async def serve(self, call: ServerCall) -> None:
        """One stream of Envoy's, until it ends."""
        raw = await call.receive()
        if raw is None:
            return
        name = next(iter(DiscoveryRequest.FromString(raw).resource_names), "")
        if name not in self._gates:
            raise RpcError(Status(Code.NOT_FOUND, f"no gate {name}"))
        await self._gates[name].wait()  # no deadline: who looks at the new Envoy has one
        await call.send(_routes(name).SerializeToString())
        while await call.receive() is not None:  # no deadline: it stays as long as Envoy does
            pass


def _routes(name: str) -> DiscoveryResponse:
    table = b"\x0a" + bytes([len(name)]) + name.encode()  # RouteConfiguration: its name, no route
    resource = AnyMessage(type_url=types.ROUTE, value=table)
    return DiscoveryResponse(
        version_info="1", nonce="1", type_url=types.ROUTE, resources=[resource]
    )
