# SPDX-License-Identifier: Apache-2.0
"""Remote receivers of metrics and access logs: clusters and sinks. Source: spec/agent.md 2.5, 2.7.

Imported only when one is configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, UpstreamConnectionOptions
from envoy_data_plane.envoy.config.core.v3 import ApiVersion, TcpKeepalive
from envoy_data_plane.envoy.config.metrics.v3 import MetricsServiceConfig, StatsdSink, StatsSink
from envoy_data_plane.google.protobuf import Any as AnyMessage

from bootstrap.family import Family
from bootstrap.inputs import BootstrapInputs
from bootstrap.sections.messages import (
    dns_cluster,
    envoy_grpc,
    http2,
    socket_address,
    split_address,
)
from bootstrap.sections.tls import upstream_tls
from mesh import durations

METRICS_CLUSTER = "envoy_metrics_service"
ACCESS_LOG_CLUSTER = "envoy_accesslog_service"


def service_clusters(inputs: BootstrapInputs, family: Family) -> list[Cluster]:
    """Of the metrics service and the access log service, where configured."""
    found = []
    metrics = _metrics_service(inputs)
    if metrics:
        found.append(_cluster(inputs, family, "envoyMetricsService", METRICS_CLUSTER, metrics))
    logs = inputs.proxy_config.get("envoyAccessLogService") or {}
    if logs.get("address"):
        found.append(_cluster(inputs, family, "envoyAccessLogService", ACCESS_LOG_CLUSTER, logs))
    return found


def stats_sinks(inputs: BootstrapInputs) -> list[StatsSink]:
    """Where statistics are pushed to."""
    found = []
    if _metrics_service(inputs):
        config = MetricsServiceConfig(
            transport_api_version=ApiVersion.V3, grpc_service=envoy_grpc(METRICS_CLUSTER)
        )
        found.append(_sink("envoy.stat_sinks.metrics_service", config))
    statsd = inputs.proxy_config.get("statsdUdpAddress")
    if statsd:
        host, port = split_address("statsdUdpAddress", statsd, inputs.host_ip)
        found.append(
            _sink("envoy.stat_sinks.statsd", StatsdSink(address=socket_address(host, port)))
        )
    return found


def _sink(name: str, config: betterproto2.Message) -> StatsSink:
    return StatsSink(name=name, typed_config=AnyMessage.pack(config))


def _metrics_service(inputs: BootstrapInputs) -> Mapping[str, Any]:
    """The service, or the deprecated address alone (the peer crashes on that one)."""
    service: Mapping[str, Any] = inputs.proxy_config.get("envoyMetricsService") or {}
    if service.get("address"):
        return service
    address = inputs.proxy_config.get("envoyMetricsServiceAddress")
    return {"address": address} if address else {}


def _cluster(
    inputs: BootstrapInputs, family: Family, field: str, name: str, service: Mapping[str, Any]
) -> Cluster:
    host, port = split_address(f"{field}.address", service["address"], inputs.host_ip)
    cluster = dns_cluster(name, socket_address(host, port), family.lookup)
    cluster.typed_extension_protocol_options = http2()
    cluster.transport_socket = upstream_tls(
        service.get("tlsSettings"), inputs.metadata, default_sni=name
    )
    if service.get("tcpKeepalive") is not None:
        cluster.upstream_connection_options = UpstreamConnectionOptions(
            tcp_keepalive=_keepalive(service["tcpKeepalive"])
        )
    return cluster


def _keepalive(settings: Mapping[str, Any]) -> TcpKeepalive:
    return TcpKeepalive(
        keepalive_probes=settings.get("probes") or None,
        keepalive_time=_seconds(settings.get("time")),
        keepalive_interval=_seconds(settings.get("interval")),
    )


def _seconds(text: str | None) -> int | None:
    return int(durations.parse(text)) if text else None
