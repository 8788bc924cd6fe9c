# SPDX-License-Identifier: Apache-2.0
"""Static listeners: metrics on 15090, readiness on 15021, metrics over mTLS where wanted. Source: spec/agent.md 2.5."""

from __future__ import annotations

import betterproto2
from envoy_data_plane.envoy.config.listener.v3 import (
    AdditionalAddress,
    Filter,
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
)
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.compression.brotli.compressor.v3 import Brotli
from envoy_data_plane.envoy.extensions.compression.gzip.compressor.v3 import Gzip
from envoy_data_plane.envoy.extensions.compression.zstd.compressor.v3 import Zstd
from envoy_data_plane.envoy.extensions.filters.http.compressor.v3 import (
    Compressor,
    CompressorCommonDirectionConfig,
    CompressorResponseDirectionConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.listener.proxy_protocol.v3 import ProxyProtocol
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
)
from envoy_data_plane.google.protobuf import Any

from bootstrap.family import Family
from bootstrap.inputs import BootstrapInputs
from bootstrap.sections.clusters import AGENT_CLUSTER, PROMETHEUS_CLUSTER
from bootstrap.sections.messages import extension, socket_address
from bootstrap.sections.tls import downstream_mesh_tls

_HCM = "envoy.filters.network.http_connection_manager"
_LOCALHOST_ONLY = "METRICS_LOCALHOST_ACCESS_ONLY"
_METRIC_TYPES = (
    "text/plain",
    "application/vnd.google.protobuf",
    "application/openmetrics-text",
    "application/openmetrics-protobuf",
)


def listeners(inputs: BootstrapInputs, family: Family) -> list[Listener]:
    """In the peer's order; a port 0 leaves a secure one out."""
    ports = inputs.ports
    found = [_prometheus(inputs, family)]
    if ports.secure_metrics:
        routes = {"/stats/prometheus": PROMETHEUS_CLUSTER}
        chain = _chain("secure_stats", routes)
        found.append(_secure(family, ports.secure_metrics, chain))
    if ports.secure_merged_metrics:
        routes = {"/stats/prometheus": AGENT_CLUSTER, "/metrics": AGENT_CLUSTER}
        chain = _chain("secure_merged_stats", routes)
        found.append(_secure(family, ports.secure_merged_metrics, chain))
    found.append(_readiness(inputs, family))
    return found


def _prometheus(inputs: BootstrapInputs, family: Family) -> Listener:
    metadata = inputs.proxy_config.get("proxyMetadata") or {}
    local = metadata.get(_LOCALHOST_ONLY) == "true"
    host = family.loopback if local else family.wildcard
    other = family.additional_loopback if local else family.additional_wildcard
    routes = {"/stats/prometheus": PROMETHEUS_CLUSTER}
    compress = bool(inputs.proxy_config.get("statsCompression", True))
    chain = _chain("stats", routes, _compressors() if compress else [])
    return _listener(host, inputs.ports.prometheus, chain, other)


def _readiness(inputs: BootstrapInputs, family: Family) -> Listener:
    chain = _chain("agent", {"/healthz/ready": AGENT_CLUSTER})
    listener = _listener(family.wildcard, inputs.ports.status, chain, family.additional_wildcard)
    if inputs.ports.status_proxy_protocol:
        lenient = ProxyProtocol(allow_requests_without_proxy_protocol=True)
        listener.listener_filters = [
            _listener_filter("envoy.filters.listener.proxy_protocol", lenient)
        ]
    return listener


def _secure(family: Family, port: int, chain: FilterChain) -> Listener:
    chain.filter_chain_match = FilterChainMatch(transport_protocol="tls")
    chain.transport_socket = downstream_mesh_tls()
    listener = _listener(family.wildcard, port, chain)
    listener.listener_filters = [
        _listener_filter("envoy.filters.listener.tls_inspector", TlsInspector())
    ]
    return listener


def _listener(host: str, port: int, chain: FilterChain, other: str = "") -> Listener:
    additional = [AdditionalAddress(address=socket_address(other, port))] if other else []
    return Listener(
        name=f"{host}_{port}",
        address=socket_address(host, port),
        additional_addresses=additional,
        ignore_global_conn_limit=True,  # a full proxy must still answer probes and scrapes
        bypass_overload_manager=True,
        filter_chains=[chain],
    )


def _listener_filter(name: str, config: betterproto2.Message) -> ListenerFilter:
    return ListenerFilter(name=name, typed_config=Any.pack(config))


def _chain(
    stat_prefix: str, routes: dict[str, str], filters: list[HttpFilter] | None = None
) -> FilterChain:
    host = VirtualHost(
        name="backend",
        domains=["*"],
        routes=[
            Route(match=RouteMatch(prefix=prefix), route=RouteAction(cluster=cluster))
            for prefix, cluster in routes.items()
        ],
    )
    manager = HttpConnectionManager(
        stat_prefix=stat_prefix,
        route_config=RouteConfiguration(virtual_hosts=[host]),
        http_filters=[*(filters or []), _http_filter("envoy.filters.http.router", Router())],
    )
    return FilterChain(filters=[Filter(name=_HCM, typed_config=Any.pack(manager))])


def _http_filter(name: str, config: betterproto2.Message) -> HttpFilter:
    return HttpFilter(name=name, typed_config=Any.pack(config))


def _compressors() -> list[HttpFilter]:
    libraries = {"brotli": Brotli(), "zstd": Zstd(), "gzip": Gzip()}
    common = CompressorCommonDirectionConfig(content_type=list(_METRIC_TYPES))
    return [
        _http_filter(
            f"envoy.filters.http.compressor.{name}",
            Compressor(
                compressor_library=extension(f"stats_{name}", library),
                response_direction_config=CompressorResponseDirectionConfig(common_config=common),
            ),
        )
        for name, library in libraries.items()
    ]
