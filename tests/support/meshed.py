# SPDX-License-Identifier: Apache-2.0
"""Clusters and listeners for a real Envoy, as small as they can be."""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import any_pb2, json_format

KNOWN = (router_pb2, http_connection_manager_pb2, http_protocol_options_pb2, tcp_proxy_pb2)
"""Known to the JSON parser once imported."""
_TYPES = "type.googleapis.com/envoy.extensions."
_MANAGER = "filters.network.http_connection_manager.v3.HttpConnectionManager"
_TCP_PROXY = "filters.network.tcp_proxy.v3.TcpProxy"
_PROTOCOL = "upstreams.http.v3.HttpProtocolOptions"


def cluster(name: str, port: int, *, http2: bool = False) -> any_pb2.Any:
    """One endpoint on loopback."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    document: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if http2:
        document["typed_extension_protocol_options"] = {
            f"envoy.extensions.{_PROTOCOL}": {
                "@type": f"{_TYPES}{_PROTOCOL}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return _packed(document, cluster_pb2.Cluster())


def listener(name: str, port: int, to: str, *, inbound: bool) -> any_pb2.Any:
    """HTTP of both versions; gRPC goes to the cluster ``<to>-grpc``."""
    routes = [
        {
            "match": {"prefix": "/", "grpc": {}},
            "route": {"cluster": f"{to}-grpc", "timeout": "0s"},
        },
        {"match": {"prefix": "/"}, "route": {"cluster": to}},
    ]
    manager = {
        "@type": f"{_TYPES}{_MANAGER}",
        "stat_prefix": name,
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{_TYPES}filters.http.router.v3.Router"}}
        ],
        "route_config": {
            "name": name,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
    }
    document = {
        "name": name,
        "traffic_direction": "INBOUND" if inbound else "OUTBOUND",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    return _packed(document, listener_pb2.Listener())


def tcp_listener(name: str, port: int, to: str) -> any_pb2.Any:
    """Bytes for the cluster ``to``."""
    proxy = {"@type": f"{_TYPES}{_TCP_PROXY}", "stat_prefix": name, "cluster": to}
    filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]
    document = {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }
    return _packed(document, listener_pb2.Listener())


def _packed(document: dict[str, Any], message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(json_format.ParseDict(document, message))
    return packed
