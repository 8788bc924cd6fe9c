# SPDX-License-Identifier: Apache-2.0
"""Envoy messages that several sections need, and the one that envoy_data_plane lacks.

Any is packed from a message whose module is imported: that is what makes it printable as JSON.
"""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any as AnyValue

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiConfigSource,
    ApiConfigSourceApiType,
    ApiVersion,
    ConfigSource,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    Http2ProtocolOptions,
    Pipe,
    SocketAddress,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.google.protobuf import Any, Struct
from envoy_data_plane.message_pool import default_message_pool
from pydantic.dataclasses import dataclass

from mesh.errors import BootstrapFailed
from mesh.proxyconfig import address_fault

SDS_CLUSTER = "sds-grpc"
XDS_CLUSTER = "xds-grpc"
ONE_SECOND = timedelta(seconds=1)
NO_TIMEOUT = timedelta(0)

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _remember_type_hints() -> None:
    """The library evaluates all annotations of a class once per field; once per class is 0.25 s less."""
    message: AnyValue = betterproto2.Message  # there is no public way
    remembered: AnyValue = functools.cache(message._type_hints.__func__)  # noqa: SLF001  as above
    message._type_hints = classmethod(remembered)  # noqa: SLF001  as above


_remember_type_hints()


@dataclass(eq=False, repr=False, config={"extra": "forbid"})
class TypedStruct(betterproto2.Message):
    """udpa.type.v1.TypedStruct: a message of a type that its sender does not know."""

    type_url: str = betterproto2.field(1, betterproto2.TYPE_STRING)
    value: Struct | None = betterproto2.field(2, betterproto2.TYPE_MESSAGE, optional=True)


default_message_pool.register_message("udpa.type.v1", "TypedStruct", TypedStruct)


def extension(name: str, message: betterproto2.Message) -> TypedExtensionConfig:
    """A named extension with its configuration."""
    return TypedExtensionConfig(name=name, typed_config=Any.pack(message))


def typed_struct(name: str, type_name: str, value: dict[str, AnyValue]) -> TypedExtensionConfig:
    """An extension whose message only Envoy knows."""
    url = f"type.googleapis.com/{type_name}"
    return extension(name, TypedStruct(type_url=url, value=Struct.from_dict(value)))


def socket_address(host: str, port: int) -> Address:
    """TCP address of an IP address or a name to resolve."""
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def pipe(path: str) -> Address:
    """Address of a unix socket."""
    return Address(pipe=Pipe(path=path))


def split_address(field: str, text: str, host_ip: str) -> tuple[str, int]:
    """Host and port of ``text``; the host ``$(HOST_IP)`` is the node's address. Raises BootstrapFailed."""
    why = address_fault(text)
    if why:
        raise BootstrapFailed(f"{text!r}: {why}", field=field)
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return (host_ip if host_ip and host == "$(HOST_IP)" else host), int(port)


def ads() -> ConfigSource:
    """The aggregated stream as a source; Envoy waits for it as long as it takes."""
    return ConfigSource(
        ads=AggregatedConfigSource(),
        initial_fetch_timeout=NO_TIMEOUT,
        resource_api_version=ApiVersion.V3,
    )


def envoy_grpc(cluster: str) -> GrpcService:
    """A gRPC service behind one of our clusters."""
    return GrpcService(envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=cluster))


def grpc_source(cluster: str, kind: ApiConfigSourceApiType) -> ApiConfigSource:
    """An xDS server behind one of our clusters; the node is said once per stream."""
    return ApiConfigSource(
        api_type=kind,
        grpc_services=[envoy_grpc(cluster)],
        set_node_on_first_message_only=True,
        transport_api_version=ApiVersion.V3,
    )


def sds_source(*, wait: bool) -> ConfigSource:
    """The agent's secret server. ``wait``: no answer is no reason to go on without."""
    return ConfigSource(
        api_config_source=grpc_source(SDS_CLUSTER, ApiConfigSourceApiType.GRPC),
        resource_api_version=ApiVersion.V3,
        initial_fetch_timeout=NO_TIMEOUT if wait else None,
    )


def http2() -> dict[str, Any]:
    """Cluster options that say HTTP/2 and nothing else."""
    explicit = HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions())
    return {_HTTP_OPTIONS: Any.pack(HttpProtocolOptions(explicit_http_config=explicit))}


def assignment(name: str, address: Address) -> ClusterLoadAssignment:
    """One endpoint."""
    endpoint = LbEndpoint(endpoint=Endpoint(address=address))
    locality = LocalityLbEndpoints(lb_endpoints=[endpoint])
    return ClusterLoadAssignment(cluster_name=name, endpoints=[locality])


def static_cluster(name: str, address: Address, timeout: timedelta = ONE_SECOND) -> Cluster:
    """A cluster of one known endpoint; ``;`` ends its name in statistics so that the tag regex finds it."""
    return Cluster(
        name=name,
        alt_stat_name=f"{name};",
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=timeout,
        load_assignment=assignment(name, address),
    )


def dns_cluster(name: str, address: Address, lookup: str) -> Cluster:
    """A cluster whose endpoints are what a name resolves to."""
    return Cluster(
        name=name,
        alt_stat_name=f"{name};",
        type=ClusterDiscoveryType.STRICT_DNS,
        respect_dns_ttl=True,
        dns_lookup_family=ClusterDnsLookupFamily[lookup],
        connect_timeout=ONE_SECOND,
        load_assignment=assignment(name, address),
    )
