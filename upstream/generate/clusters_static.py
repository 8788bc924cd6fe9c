# SPDX-License-Identifier: Apache-2.0
"""The clusters that every proxy has: nowhere, and wherever the connection was going. Pure. Source: spec 7.1."""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf.duration_pb2 import Duration

from upstream.generate.cluster_policy import downstream_protocol, no_limits, set_http_options
from upstream.generate.names import BLACK_HOLE, PASSTHROUGH, stat
from upstream.generate.resource import Generated, resource
from upstream.generate.telemetry import upstream_exchange
from upstream.generate.view import View

IDLE = Duration(seconds=300)


def black_hole(view: View) -> Generated:
    """Connections to it fail at once."""
    cluster = cluster_pb2.Cluster(
        name=BLACK_HOLE, alt_stat_name=stat(BLACK_HOLE), type=cluster_pb2.Cluster.STATIC
    )
    cluster.connect_timeout.FromTimedelta(view.world.mesh.connect_timeout)
    return resource(BLACK_HOLE, cluster)


def passthrough(view: View) -> Generated:
    """Outbound traffic for addresses that no service has."""
    cluster = original_destination(view, PASSTHROUGH)
    if view.world.istio_filters:
        cluster.filters.append(upstream_exchange())
    return resource(PASSTHROUGH, cluster)


def original_destination(view: View, name: str) -> cluster_pb2.Cluster:
    """A cluster that connects to where the client wanted to go. Its statistics are always Passthrough's."""
    cluster = cluster_pb2.Cluster(
        name=name,
        alt_stat_name=stat(PASSTHROUGH),
        type=cluster_pb2.Cluster.ORIGINAL_DST,
        lb_policy=cluster_pb2.Cluster.CLUSTER_PROVIDED,
        circuit_breakers=no_limits(),
    )
    cluster.connect_timeout.FromTimedelta(view.world.mesh.connect_timeout)
    options = http_protocol_options_pb2.HttpProtocolOptions(
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(idle_timeout=IDLE),
        use_downstream_protocol_config=downstream_protocol(),
    )
    set_http_options(cluster, options)
    return cluster
