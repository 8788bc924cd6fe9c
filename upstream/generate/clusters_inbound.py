# SPDX-License-Identifier: Apache-2.0
"""The workload's own clusters: one for each port that it serves. Pure. Source: spec/upstream.md 7.1, 21.1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from google.protobuf.duration_pb2 import Duration

from upstream.config.destination_rule import ConnectionPool
from upstream.config.mesh import InboundMode
from upstream.generate.addresses import address
from upstream.generate.cluster_policy import apply_pool, http_options_of, set_http_options
from upstream.generate.clusters_static import original_destination
from upstream.generate.destination_rules import NOTHING, inbound_rule_for
from upstream.generate.inbound_ports import InboundPort, inbound_ports
from upstream.generate.metadata import cluster_metadata
from upstream.generate.names import INBOUND_PASSTHROUGH, inbound_cluster, stat
from upstream.generate.resource import Generated, resource
from upstream.generate.view import View

FOREVER = Duration(seconds=9223372035)
"""As near to never as a duration in nanoseconds gets."""
_Cluster: TypeAlias = cluster_pb2.Cluster


def inbound_clusters(view: View) -> Iterator[Generated]:
    """One for each inbound port."""
    for port in inbound_ports(view):
        yield _cluster(view, port)


def inbound_passthrough(view: View) -> Generated:
    """Inbound traffic for ports that no service has."""
    cluster = original_destination(view, INBOUND_PASSTHROUGH)
    cluster.upstream_bind_config.CopyFrom(_from_proxy(view))
    return resource(INBOUND_PASSTHROUGH, cluster)


def _from_proxy(view: View) -> address_pb2.BindConfig:
    """A source address that capture rules know: traffic from it is not captured again."""
    source = "::6" if ":" in view.proxy.ip else "127.0.0.6"
    return address_pb2.BindConfig(
        source_address=address_pb2.SocketAddress(address=source, port_value=0)
    )


def _cluster(view: View, port: InboundPort) -> Generated:
    name = inbound_cluster(port.number)
    cluster = _Cluster(
        name=name,
        alt_stat_name=stat(name),
        common_lb_config=_Cluster.CommonLbConfig(),
    )
    cluster.connect_timeout.FromTimedelta(view.world.mesh.connect_timeout)
    if port.services:
        cluster.metadata.CopyFrom(cluster_metadata(port.services))
    if port.endpoint:
        _to_endpoint(cluster, view, port.endpoint)
    elif view.world.mesh.inbound_traffic_policy.mode is InboundMode.LOCALHOST:
        _to_endpoint(cluster, view, f"127.0.0.1:{port.number}")
    else:
        cluster.type = _Cluster.ORIGINAL_DST
        cluster.lb_policy = _Cluster.CLUSTER_PROVIDED
        cluster.cleanup_interval.CopyFrom(FOREVER)
        cluster.upstream_bind_config.CopyFrom(_from_proxy(view))
    options = http_options_of(port.as_service_port, NOTHING)
    apply_pool(cluster, options, _pool(view, port), view)
    set_http_options(cluster, options)
    return resource(name, cluster)


def _pool(view: View, port: InboundPort) -> ConnectionPool:
    """Limits that clients have towards this service hold for its own proxy too."""
    sidecar = view.scope.sidecar
    pool = port.pool or (sidecar.spec.inbound_connection_pool if sidecar else None)
    if pool:
        return pool
    if port.services:
        rule = inbound_rule_for(view.proxy, port.services[0], view.world)
        if rule:
            return rule.policy_for(port.as_service_port).connection_pool or ConnectionPool()
    return ConnectionPool()


def _to_endpoint(cluster: cluster_pb2.Cluster, view: View, endpoint: str) -> None:
    cluster.type = _Cluster.STATIC
    where = endpoint
    if not endpoint.startswith("unix://"):
        host, _, number = endpoint.rpartition(":")
        host = host.strip("[]")
        if host in ("0.0.0.0", "::"):
            host = view.proxy.ip
        if host not in ("127.0.0.1", "::1"):
            cluster.upstream_bind_config.CopyFrom(_from_proxy(view))
        target = address(host, int(number))
    else:
        target = address(where, 0)
        cluster.upstream_bind_config.CopyFrom(_from_proxy(view))
    one = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=target)
    )
    group = endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[one])
    cluster.load_assignment.CopyFrom(
        endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster.name, endpoints=[group])
    )
