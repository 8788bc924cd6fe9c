# SPDX-License-Identifier: Apache-2.0
"""CDS: clusters for every visible service port and subset, the fixed ones, and the workload's own. Pure.

Source: spec/upstream.md 5, 7.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import config_source_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.network.dns_resolver.cares.v3 import cares_dns_resolver_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from upstream.config.destination_rule import Subset
from upstream.generate.cluster_policy import apply_policy, http_options_of, set_http_options
from upstream.generate.cluster_tls import apply_tls
from upstream.generate.clusters_inbound import inbound_clusters, inbound_passthrough
from upstream.generate.clusters_static import black_hole, passthrough
from upstream.generate.destination_rules import NOTHING, Rule, rule_for
from upstream.generate.discovery import discovery_of
from upstream.generate.endpoints import localities
from upstream.generate.metadata import cluster_metadata
from upstream.generate.names import outbound_cluster, stat
from upstream.generate.resource import Generated, packed, resource
from upstream.generate.telemetry import upstream_exchange
from upstream.generate.view import View
from upstream.registry import Discovery, Service, ServicePort

TYPES = {
    Discovery.EDS: cluster_pb2.Cluster.EDS,
    Discovery.STRICT_DNS: cluster_pb2.Cluster.STRICT_DNS,
    Discovery.LOGICAL_DNS: cluster_pb2.Cluster.LOGICAL_DNS,
    Discovery.PASSTHROUGH: cluster_pb2.Cluster.ORIGINAL_DST,
}
_DNS = (Discovery.STRICT_DNS, Discovery.LOGICAL_DNS)


def clusters(view: View) -> list[Generated]:
    """Every cluster of the proxy; of a name that comes twice the first counts."""
    unique: dict[str, Generated] = {}
    for made in _all(view):
        unique.setdefault(made.name, made)
    return list(unique.values())


def _all(view: View) -> Iterator[Generated]:
    for service in view.scope.services:
        yield from _of_service(view, service)
    fixed = view.world.memo(("fixed", view.group, ":" in view.proxy.ip), lambda: _fixed(view))
    yield fixed[0]
    if view.router:
        return
    yield fixed[1]
    yield from inbound_clusters(view)
    yield fixed[2]


def _fixed(view: View) -> tuple[Generated, Generated, Generated]:
    """Those that no configuration changes."""
    return black_hole(view), passthrough(view), inbound_passthrough(view)


def _of_service(view: View, service: Service) -> tuple[Generated, ...]:
    """Shared by all proxies for which the same rule holds; localities decide where they play a part."""
    rule = rule_for(view.proxy, service, view.world)
    inline = service.discovery in _DNS  # its clusters hold endpoints, as this proxy sees them
    located = (view.proxy.locality, view.proxy.cluster_id) if inline else None
    key = ("clusters", service, rule, view.router, located)
    return view.world.memo(key, lambda: tuple(_build_service(view, service, rule)))


def _build_service(view: View, service: Service, rule: Rule | None) -> Iterator[Generated]:
    for port in service.ports:
        if port.protocol == "UDP":
            continue
        for subset in (None, *(rule.subsets if rule else ())):
            cluster = _outbound(view, service, port, rule, subset)
            if cluster is not None:
                yield resource(cluster.name, cluster)


def _outbound(
    view: View, service: Service, port: ServicePort, rule: Rule | None, subset: Subset | None
) -> cluster_pb2.Cluster | None:
    policy = rule.policy_for(port, subset) if rule else NOTHING
    subset_name = subset.name if subset else ""
    name = outbound_cluster(port.number, subset_name, service.hostname)
    discovery = discovery_of(view, service, policy)
    cluster = cluster_pb2.Cluster(
        name=name,
        alt_stat_name=stat(name),
        type=TYPES[discovery],
        common_lb_config=cluster_pb2.Cluster.CommonLbConfig(
            healthy_panic_threshold=percent_pb2.Percent()
        ),
        metadata=cluster_metadata([service], rule, subset_name, external=service.external),
    )
    cluster.connect_timeout.FromTimedelta(view.world.mesh.connect_timeout)
    if discovery is Discovery.EDS:
        cluster.eds_cluster_config.CopyFrom(_eds(name))
    elif discovery in _DNS:
        located = localities(view, service, port, rule, subset)
        if discovery is Discovery.LOGICAL_DNS:
            located = _first(located)
        if not located:
            return None
        cluster.load_assignment.CopyFrom(
            endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=located)
        )
        _set_dns(cluster)
    options = http_options_of(port, policy)
    apply_policy(cluster, options, policy, view)
    apply_tls(cluster, options, policy, view, service, port, subset_name)
    set_http_options(cluster, options)
    if view.world.istio_filters:
        cluster.filters.append(upstream_exchange())
    return cluster


def _first(
    located: Sequence[endpoint_components_pb2.LocalityLbEndpoints],
) -> list[endpoint_components_pb2.LocalityLbEndpoints]:
    """The first endpoint alone, if there is one: Envoy refuses a LOGICAL_DNS cluster of any other number."""
    for group in located:
        if group.lb_endpoints:  # what a locality's distribution leaves out is an empty group
            del group.lb_endpoints[1:]
            return [group]
    return []


def _eds(name: str) -> cluster_pb2.Cluster.EdsClusterConfig:
    source = config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        initial_fetch_timeout=Duration(),
        resource_api_version=config_source_pb2.V3,
    )
    return cluster_pb2.Cluster.EdsClusterConfig(eds_config=source, service_name=name)


def _set_dns(cluster: cluster_pb2.Cluster) -> None:
    cluster.dns_lookup_family = cluster_pb2.Cluster.V4_ONLY
    cluster.dns_refresh_rate.FromSeconds(60)
    cluster.respect_dns_ttl = True
    cluster.dns_jitter.FromMilliseconds(100)
    resolver = cares_dns_resolver_pb2.CaresDnsResolverConfig(udp_max_queries=UInt32Value(value=100))
    cluster.typed_dns_resolver_config.name = "envoy.network.dns_resolver.cares"
    cluster.typed_dns_resolver_config.typed_config.CopyFrom(packed(resolver))
