# SPDX-License-Identifier: Apache-2.0
"""A DestinationRule's traffic policy on a cluster: pool, balancing, outliers, upstream protocol. Pure.

Source: spec/upstream.md 7.1. Zero and absent are "not said" in connection pools, as istiod has it.
"""

from __future__ import annotations

from typing import TypeAlias

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf.wrappers_pb2 import UInt32Value, UInt64Value

from upstream.config.destination_rule import (
    Balance,
    ConnectionPool,
    ConsistentHash,
    H2Upgrade,
    HttpSettings,
    Keepalive,
    LoadBalancer,
    OutlierDetection,
    TcpSettings,
    TrafficPolicy,
    Warmup,
)
from upstream.generate.locality import weighted_by_locality
from upstream.generate.resource import packed
from upstream.generate.view import View
from upstream.registry import ServicePort

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
NO_LIMIT = 4294967295
DEFAULT_RING = 1024
_Options: TypeAlias = http_protocol_options_pb2.HttpProtocolOptions
_Cluster: TypeAlias = cluster_pb2.Cluster

_BALANCE = {
    Balance.UNSPECIFIED: _Cluster.LEAST_REQUEST,
    Balance.LEAST_CONN: _Cluster.LEAST_REQUEST,
    Balance.LEAST_REQUEST: _Cluster.LEAST_REQUEST,
    Balance.RANDOM: _Cluster.RANDOM,
    Balance.ROUND_ROBIN: _Cluster.ROUND_ROBIN,
    # Only gateways get here with it: they know no original destination, and Envoy refuses a cluster
    # that is to provide its own balancing and cannot.
    Balance.PASSTHROUGH: _Cluster.LEAST_REQUEST,
}


def downstream_protocol() -> http_protocol_options_pb2.HttpProtocolOptions.UseDownstreamHttpConfig:
    """Speak upstream what the client speaks."""
    return _Options.UseDownstreamHttpConfig(
        http_protocol_options=protocol_pb2.Http1ProtocolOptions(),
        http2_protocol_options=protocol_pb2.Http2ProtocolOptions(),
    )


def explicit_http2() -> http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig:
    """HTTP/2 whatever the client speaks."""
    return _Options.ExplicitHttpConfig(http2_protocol_options=protocol_pb2.Http2ProtocolOptions())


def http_options_of(port: ServicePort, policy: TrafficPolicy) -> _Options:
    """The upstream protocol that the port and the policy ask for; empty when HTTP/1.1 goes without saying."""
    options = _Options()
    http = policy.connection_pool.http if policy.connection_pool else None
    if http and http.use_client_protocol and port.protocol.http:
        options.use_downstream_protocol_config.CopyFrom(downstream_protocol())
    elif port.protocol.http2 or (port.protocol.http and _upgraded(http)):
        options.explicit_http_config.CopyFrom(explicit_http2())
    elif port.protocol.auto:
        options.use_downstream_protocol_config.CopyFrom(downstream_protocol())
    return options


def _upgraded(http: HttpSettings | None) -> bool:
    return bool(http and http.h2_upgrade_policy is H2Upgrade.UPGRADE)


def speaks_http2(options: _Options) -> bool:
    """Whether upstream connections are HTTP/2 for certain."""
    return bool(options.explicit_http_config.HasField("http2_protocol_options"))


def set_http_options(cluster: _Cluster, options: _Options) -> None:
    """Attach the options where there are any; a protocol must then be named."""
    if not options.ByteSize():
        return
    if options.WhichOneof("upstream_protocol_options") is None:
        options.explicit_http_config.http_protocol_options.SetInParent()
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(packed(options))


def apply_policy(cluster: _Cluster, options: _Options, policy: TrafficPolicy, view: View) -> None:
    """Everything but TLS."""
    apply_pool(cluster, options, policy.connection_pool or ConnectionPool(), view)
    _apply_outlier(cluster, policy.outlier_detection)
    _apply_balance(cluster, policy.load_balancer)
    if weighted_by_locality(policy, view.world.mesh):
        cluster.common_lb_config.locality_weighted_lb_config.SetInParent()


def apply_pool(cluster: _Cluster, options: _Options, pool: ConnectionPool, view: View) -> None:
    """Limits and timeouts of connections."""
    tcp, http = pool.tcp or TcpSettings(), pool.http or HttpSettings()
    threshold = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=_limit(tcp.max_connections),
        max_pending_requests=_limit(http.http1_max_pending_requests),
        max_requests=_limit(http.http2_max_requests),
        max_retries=_limit(http.max_retries),
    )
    cluster.circuit_breakers.CopyFrom(circuit_breaker_pb2.CircuitBreakers(thresholds=[threshold]))
    if tcp.connect_timeout is not None:
        cluster.connect_timeout.FromTimedelta(tcp.connect_timeout)
    _apply_keepalive(cluster, tcp.tcp_keepalive or view.world.mesh.tcp_keepalive)
    _apply_common(options, tcp, http)


def no_limits() -> circuit_breaker_pb2.CircuitBreakers:
    """Limits that are never reached; Envoy's own defaults are low."""
    threshold = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=_limit(0),
        max_pending_requests=_limit(0),
        max_requests=_limit(0),
        max_retries=_limit(0),
    )
    return circuit_breaker_pb2.CircuitBreakers(thresholds=[threshold])


def _limit(value: int) -> UInt32Value:
    return UInt32Value(value=value if value > 0 else NO_LIMIT)


def _apply_common(options: _Options, tcp: TcpSettings, http: HttpSettings) -> None:
    idle = http.idle_timeout if http.idle_timeout is not None else tcp.idle_timeout
    duration, requests = tcp.max_connection_duration, http.max_requests_per_connection
    if idle is None and duration is None and not requests and not http.max_concurrent_streams:
        return
    common = options.common_http_protocol_options
    common.SetInParent()
    if idle is not None:
        common.idle_timeout.FromTimedelta(idle)
    if duration is not None:
        common.max_connection_duration.FromTimedelta(duration)
    if requests > 0:
        common.max_requests_per_connection.value = requests
    if http.max_concurrent_streams > 0 and speaks_http2(options):
        http2 = options.explicit_http_config.http2_protocol_options
        http2.max_concurrent_streams.value = http.max_concurrent_streams


def _apply_keepalive(cluster: _Cluster, keepalive: Keepalive | None) -> None:
    if keepalive is None:
        return
    settings = address_pb2.TcpKeepalive()
    if keepalive.probes > 0:
        settings.keepalive_probes.value = keepalive.probes
    if keepalive.time:
        settings.keepalive_time.value = int(keepalive.time.total_seconds())
    if keepalive.interval:
        settings.keepalive_interval.value = int(keepalive.interval.total_seconds())
    cluster.upstream_connection_options.tcp_keepalive.CopyFrom(settings)


def _apply_outlier(cluster: _Cluster, outlier: OutlierDetection | None) -> None:
    if outlier is None:
        return
    out = outlier_detection_pb2.OutlierDetection(enforcing_success_rate=UInt32Value(value=0))
    if outlier.consecutive_5xx_errors is not None:
        out.consecutive_5xx.value = outlier.consecutive_5xx_errors
        out.enforcing_consecutive_5xx.value = 100 if outlier.consecutive_5xx_errors else 0
    if outlier.consecutive_gateway_errors is not None:
        out.consecutive_gateway_failure.value = outlier.consecutive_gateway_errors
        enforce = 100 if outlier.consecutive_gateway_errors else 0
        out.enforcing_consecutive_gateway_failure.value = enforce
    if outlier.interval is not None:
        out.interval.FromTimedelta(outlier.interval)
    if outlier.base_ejection_time is not None:
        out.base_ejection_time.FromTimedelta(outlier.base_ejection_time)
    if outlier.max_ejection_percent > 0:
        out.max_ejection_percent.value = outlier.max_ejection_percent
    if outlier.split_external_local_origin_errors:
        out.split_external_local_origin_errors = True
        if outlier.consecutive_local_origin_failures is not None:
            out.consecutive_local_origin_failure.value = outlier.consecutive_local_origin_failures
            out.enforcing_consecutive_local_origin_failure.value = 100
        out.enforcing_local_origin_success_rate.value = 0
    cluster.outlier_detection.CopyFrom(out)
    cluster.common_lb_config.healthy_panic_threshold.value = float(outlier.min_health_percent)


def _apply_balance(cluster: _Cluster, balancer: LoadBalancer | None) -> None:
    if cluster.type == _Cluster.ORIGINAL_DST:
        cluster.lb_policy = _Cluster.CLUSTER_PROVIDED
        return
    if balancer and balancer.consistent_hash:
        _apply_hash(cluster, balancer.consistent_hash)
        return
    simple = (balancer.simple if balancer else None) or Balance.UNSPECIFIED
    cluster.lb_policy = _BALANCE[simple]
    if balancer and balancer.warmup:
        _apply_warmup(cluster, balancer.warmup)


def _apply_hash(cluster: _Cluster, hashing: ConsistentHash) -> None:
    if hashing.maglev is not None:
        cluster.lb_policy = _Cluster.MAGLEV
        if hashing.maglev.table_size is not None:
            cluster.maglev_lb_config.table_size.value = hashing.maglev.table_size
        return
    cluster.lb_policy = _Cluster.RING_HASH
    ring = hashing.ring_hash.minimum_ring_size if hashing.ring_hash else hashing.minimum_ring_size
    cluster.ring_hash_lb_config.minimum_ring_size.CopyFrom(
        UInt64Value(value=DEFAULT_RING if ring is None else ring)
    )


def _apply_warmup(cluster: _Cluster, warmup: Warmup) -> None:
    slow = _Cluster.SlowStartConfig()
    if warmup.duration is not None:
        slow.slow_start_window.FromTimedelta(warmup.duration)
    if warmup.aggression is not None:
        slow.aggression.default_value = warmup.aggression
        slow.aggression.runtime_key = ""
    if warmup.minimum_percent is not None:
        slow.min_weight_percent.value = warmup.minimum_percent
    if cluster.lb_policy == _Cluster.ROUND_ROBIN:
        cluster.round_robin_lb_config.slow_start_config.CopyFrom(slow)
    elif cluster.lb_policy == _Cluster.LEAST_REQUEST:
        cluster.least_request_lb_config.slow_start_config.CopyFrom(slow)
