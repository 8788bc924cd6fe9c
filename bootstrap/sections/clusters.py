# SPDX-License-Identifier: Apache-2.0
"""Static clusters: Envoy's own statistics, the agent, its sockets; and who is asked for everything else.

Source: spec/agent.md 2.5. Clusters of tracers and remote services stand in their own sections.
"""

from __future__ import annotations

import json
from datetime import timedelta

from envoy_data_plane.envoy.config.bootstrap.v3 import (
    BootstrapDynamicResources,
    ClusterManager,
    ClusterManagerOutlierDetection,
)
from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterCommonLbConfigZoneAwareLbConfig,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
    ClusterLbPolicy,
    UpstreamConnectionOptions,
)
from envoy_data_plane.envoy.config.core.v3 import (
    ApiConfigSource,
    ApiConfigSourceApiType,
    RoutingPriority,
    TcpKeepalive,
)

from bootstrap.family import Family
from bootstrap.inputs import BootstrapInputs
from bootstrap.sections.messages import (
    ONE_SECOND,
    SDS_CLUSTER,
    XDS_CLUSTER,
    ads,
    grpc_source,
    http2,
    pipe,
    socket_address,
    static_cluster,
)
from mesh.errors import BootstrapFailed

PROMETHEUS_CLUSTER = "prometheus_stats"
AGENT_CLUSTER = "agent"
_FILES_CLUSTER = "sds-files-grpc"
_LOCAL_CLUSTER = "local_cluster"
_LOCAL_TIMEOUT = timedelta(milliseconds=250)
_PLENTY = 100_000
"""No circuit breaker may cut Envoy off from its agent."""


def own_clusters(inputs: BootstrapInputs, family: Family) -> list[Cluster]:
    """What every proxy has."""
    config = inputs.proxy_config
    admin = socket_address(family.loopback, config.get("proxyAdminPort", 0))
    agent = socket_address(family.loopback, config.get("statusPort", 0))
    found = [
        static_cluster(PROMETHEUS_CLUSTER, admin, _LOCAL_TIMEOUT),
        static_cluster(AGENT_CLUSTER, agent, _LOCAL_TIMEOUT),
        _grpc_cluster(SDS_CLUSTER, inputs.sockets.workload),
    ]
    if "file-credential" in inputs.metadata:
        found.append(_grpc_cluster(_FILES_CLUSTER, inputs.sockets.files))
    found.append(_xds_cluster(inputs))
    return found


def _grpc_cluster(name: str, path: str) -> Cluster:
    cluster = static_cluster(name, pipe(path))
    cluster.typed_extension_protocol_options = http2()
    return cluster


def _xds_cluster(inputs: BootstrapInputs) -> Cluster:
    cluster = _grpc_cluster(XDS_CLUSTER, inputs.sockets.xds)
    cluster.circuit_breakers = CircuitBreakers(
        thresholds=[
            CircuitBreakersThresholds(
                priority=priority,
                max_connections=_PLENTY,
                max_pending_requests=_PLENTY,
                max_requests=_PLENTY,
            )
            for priority in (RoutingPriority.DEFAULT, RoutingPriority.HIGH)
        ]
    )
    keepalive = TcpKeepalive(keepalive_time=300)
    cluster.upstream_connection_options = UpstreamConnectionOptions(tcp_keepalive=keepalive)
    cluster.max_requests_per_connection = 1
    return cluster


def self_discovery(inputs: BootstrapInputs) -> bool:
    """Whether the proxy asks who else is of its kind, for zone-aware balancing."""
    return bool(inputs.metadata.get("ENABLE_SELF_DISCOVERY") == "true")


def local_cluster() -> Cluster:
    """The workload's own peers, by EDS."""
    zones = ClusterCommonLbConfigZoneAwareLbConfig(min_cluster_size=1)
    return Cluster(
        name=_LOCAL_CLUSTER,
        alt_stat_name=f"{_LOCAL_CLUSTER};",
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=ads()),
        connect_timeout=ONE_SECOND,
        lb_policy=ClusterLbPolicy.LEAST_REQUEST,
        common_lb_config=ClusterCommonLbConfig(zone_aware_lb_config=zones),
    )


def cluster_manager(inputs: BootstrapInputs) -> ClusterManager | None:
    """None where neither an outlier log, load reports nor self discovery is wanted."""
    load_stats = inputs.metadata.get("LOAD_STATS_CONFIG_JSON")
    if not (inputs.outlier_log_path or load_stats or self_discovery(inputs)):
        return None
    manager = ClusterManager(enable_deferred_cluster_creation=True)
    if self_discovery(inputs):
        manager.local_cluster_name = _LOCAL_CLUSTER
    if inputs.outlier_log_path:
        path = inputs.outlier_log_path
        manager.outlier_detection = ClusterManagerOutlierDetection(event_log_path=path)
    if load_stats:
        manager.load_stats_config = _load_stats(load_stats)
    return manager


def _load_stats(text: object) -> ApiConfigSource:
    try:
        return ApiConfigSource.from_dict(json.loads(str(text)))
    except Exception as error:  # the library's parser raises what it likes
        field = "ISTIO_META_LOAD_STATS_CONFIG_JSON"
        raise BootstrapFailed(f"not an ApiConfigSource: {error}", field=field) from error


def dynamic_resources(*, delta: bool) -> BootstrapDynamicResources:
    """Everything else comes over one stream from the agent."""
    kind = ApiConfigSourceApiType.DELTA_GRPC if delta else ApiConfigSourceApiType.GRPC
    return BootstrapDynamicResources(
        lds_config=ads(), cds_config=ads(), ads_config=grpc_source(XDS_CLUSTER, kind)
    )
