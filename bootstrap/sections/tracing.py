# SPDX-License-Identifier: Apache-2.0
"""The tracer of the proxy configuration: its cluster, and Envoy told to use it. Source: spec/agent.md 2.5, 2.7.

Imported only when a tracer is configured. The lightstep token goes into a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.trace.v3 import (
    DatadogConfig,
    LightstepConfig,
    Tracing,
    TracingHttp,
    ZipkinConfig,
    ZipkinConfigCollectorEndpointVersion,
)
from envoy_data_plane.google.protobuf import Any as AnyMessage

from bootstrap.family import Family
from bootstrap.inputs import BootstrapInputs
from bootstrap.sections.messages import dns_cluster, http2, socket_address, split_address
from bootstrap.sections.tls import upstream_tls
from mesh.errors import BootstrapFailed

_DEFAULT_SNI = "tracer"
_CLUSTERS = {"zipkin": "zipkin", "lightstep": "lightstep", "datadog": "datadog_agent"}


class Tracer(NamedTuple):
    """What tracing adds to the bootstrap."""

    cluster: Cluster
    tracing: Tracing
    token: str = ""
    """Content of the token file, or nothing."""


def tracer(inputs: BootstrapInputs, family: Family, token_path: str) -> Tracer | None:
    """The configured tracer, if it is one that Envoy is told about."""
    tracing = inputs.proxy_config.get("tracing") or {}
    if "stackdriver" in tracing:
        _check_stackdriver(inputs)
    for kind, name in _CLUSTERS.items():
        if kind in tracing:
            cluster = _cluster(inputs, family, kind, name)
            message = _message(inputs, kind, name, token_path)
            http = TracingHttp(name=f"envoy.tracers.{kind}", typed_config=AnyMessage.pack(message))
            token = tracing[kind].get("accessToken", "")
            return Tracer(cluster, Tracing(http=http), token)
    return None


def _check_stackdriver(inputs: BootstrapInputs) -> None:
    platform: Mapping[str, Any] = inputs.metadata.get("PLATFORM_METADATA") or {}
    if not platform.get("gcp_project"):
        raise BootstrapFailed(
            "no gcp_project in the platform metadata", field="tracing.stackdriver"
        )


def _cluster(inputs: BootstrapInputs, family: Family, kind: str, name: str) -> Cluster:
    tracing = inputs.proxy_config["tracing"]
    text = tracing[kind].get("address", "")
    host, port = split_address(f"tracing.{kind}.address", text, inputs.host_ip)
    cluster = dns_cluster(name, socket_address(host, port), family.lookup)
    grpc = kind == "lightstep"
    if kind == "zipkin":
        cluster.dns_refresh_rate = timedelta(seconds=30)
    if grpc:
        cluster.typed_extension_protocol_options = http2()
    cluster.transport_socket = upstream_tls(
        tracing.get("tlsSettings"), inputs.metadata, default_sni=_DEFAULT_SNI, http2=grpc
    )
    return cluster


def _message(
    inputs: BootstrapInputs, kind: str, cluster: str, token_path: str
) -> betterproto2.Message:
    match kind:
        case "zipkin":
            return ZipkinConfig(
                collector_cluster=cluster,
                collector_endpoint="/api/v2/spans",
                collector_endpoint_version=ZipkinConfigCollectorEndpointVersion.HTTP_JSON,
                trace_id_128bit=True,
                shared_span_context=False,
            )
        case "lightstep":
            return LightstepConfig(collector_cluster=cluster, access_token_file=token_path)
        case _:
            return DatadogConfig(collector_cluster=cluster, service_name=inputs.cluster)
