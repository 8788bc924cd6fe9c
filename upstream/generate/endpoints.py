# SPDX-License-Identifier: Apache-2.0
"""EDS: the endpoints of outbound clusters. Pure. Source: spec/upstream.md 7.2."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TypeAlias

from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import UInt32Value

from upstream.config.destination_rule import Subset
from upstream.config.problems import is_ip
from upstream.config.security import MtlsMode
from upstream.config.shared import TlsMode
from upstream.generate.addresses import address
from upstream.generate.destination_rules import NOTHING, Rule, rule_for
from upstream.generate.discovery import discovery_of
from upstream.generate.eds_names import eds_names
from upstream.generate.locality import prefer
from upstream.generate.metadata import istio_metadata
from upstream.generate.mtls import workload_mode
from upstream.generate.names import UNIX, split_outbound
from upstream.generate.resource import Generated, resource
from upstream.generate.view import View
from upstream.proxy import Locality
from upstream.registry import TLS_MODE_ISTIO, Discovery, Endpoint, Service, ServicePort

MATCH = "envoy.transport_socket_match"
_Assignment: TypeAlias = endpoint_pb2.ClusterLoadAssignment


def endpoints(view: View, names: frozenset[str] | None) -> list[Generated]:
    """Assignments of the named clusters, or of all EDS clusters of the proxy."""
    key = ("assignments", names, view.group, view.proxy.locality)
    return list(view.world.memo(key, lambda: _assignments(view, names)))


def _assignments(view: View, names: frozenset[str] | None) -> list[Generated]:
    wanted = eds_names(view) if names is None else sorted(names)
    return [_assignment(view, name) for name in wanted]


def _assignment(view: View, name: str) -> Generated:
    found = _lookup(view, name)
    if found is None:
        return resource(name, _Assignment(cluster_name=name))
    service, port, rule, subset = found
    key = ("endpoints", name, service, rule, view.proxy.locality, view.proxy.cluster_id)

    def make() -> Generated:
        groups = localities(view, service, port, rule, subset)
        return resource(name, _Assignment(cluster_name=name, endpoints=groups))

    return view.world.memo(key, make)


def _lookup(
    view: View, name: str
) -> tuple[Service, ServicePort, Rule | None, Subset | None] | None:
    parts = split_outbound(name)
    if parts is None:
        return None
    number, subset_name, host = parts
    service = view.scope.by_host.get(host)
    port = service.port(number) if service else None
    if service is None or port is None:
        return None
    rule = rule_for(view.proxy, service, view.world)
    subset = rule.subset(subset_name) if rule else None
    if subset_name and subset is None:
        return None
    policy = rule.policy_for(port, subset) if rule else NOTHING
    if discovery_of(view, service, policy) is not Discovery.EDS:
        return None
    return service, port, rule, subset


def localities(
    view: View, service: Service, port: ServicePort, rule: Rule | None, subset: Subset | None
) -> list[endpoint_components_pb2.LocalityLbEndpoints]:
    """Endpoints of a port, by locality, with what the proxy prefers."""
    policy = rule.policy_for(port, subset) if rule else NOTHING
    explicit = policy.tls.mode if policy.tls else None
    by_locality: dict[str, list[endpoint_components_pb2.LbEndpoint]] = defaultdict(list)
    for one in _chosen(view, service, port, subset):
        secured = _secured(view, one, explicit)
        by_locality[one.locality].append(_lb_endpoint(view, one, secured=secured))
    groups = [_group(name, by_locality[name]) for name in sorted(by_locality)]
    prefer(groups, policy, view.world.mesh, view.proxy.locality)
    return groups


def _chosen(
    view: View, service: Service, port: ServicePort, subset: Subset | None
) -> Iterator[Endpoint]:
    labels = subset.labels if subset else {}
    seen: set[tuple[str, int]] = set()
    for same in view.registry.by_host.get(service.hostname, ()):
        if same.namespace != service.namespace:
            continue
        for one in same.endpoints_of(port):
            if not labels.items() <= one.labels.items() or (one.address, one.port) in seen:
                continue
            numeric = one.address.startswith(UNIX) or is_ip(one.address)
            if numeric or service.discovery is not Discovery.EDS:
                seen.add((one.address, one.port))
                yield one


def _secured(view: View, one: Endpoint, explicit: TlsMode | None) -> bool:
    """Whether mutual TLS is spoken to the endpoint."""
    if explicit is not None:
        return explicit is TlsMode.ISTIO_MUTUAL and one.tls_mode == TLS_MODE_ISTIO
    if one.tls_mode != TLS_MODE_ISTIO:
        return False
    mode = workload_mode(one.namespace, one.labels, one.port, view.world)
    return mode is not MtlsMode.DISABLE


def _group(
    name: str, members: list[endpoint_components_pb2.LbEndpoint]
) -> endpoint_components_pb2.LocalityLbEndpoints:
    there = Locality.parse(name)
    weight = sum(member.load_balancing_weight.value for member in members)
    return endpoint_components_pb2.LocalityLbEndpoints(
        locality=base_pb2.Locality(region=there.region, zone=there.zone, sub_zone=there.subzone),
        lb_endpoints=members,
        load_balancing_weight=UInt32Value(value=weight),
    )


def _lb_endpoint(view: View, one: Endpoint, *, secured: bool) -> endpoint_components_pb2.LbEndpoint:
    metadata = base_pb2.Metadata()
    if one.workload:
        metadata = istio_metadata({"workload": _workload(one, view.proxy.cluster_id)})
    if secured:
        match = Struct()
        match["tlsMode"] = TLS_MODE_ISTIO
        metadata.filter_metadata[MATCH].CopyFrom(match)
    return endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=address(one.address, one.port)),
        load_balancing_weight=UInt32Value(value=one.weight or 1),
        metadata=metadata if metadata.filter_metadata else None,
    )


def _workload(one: Endpoint, cluster: str) -> str:
    """Who the endpoint is, for the telemetry of the other side."""
    labels = one.labels
    canonical = (
        labels.get("service.istio.io/canonical-name")
        or labels.get("app.kubernetes.io/name")
        or labels.get("app")
        or one.workload
    )
    revision = (
        labels.get("service.istio.io/canonical-revision")
        or labels.get("app.kubernetes.io/version")
        or labels.get("version")
        or ""
    )
    shown = "" if revision == "latest" else revision
    return f"{one.workload};{one.namespace};{canonical};{shown};{cluster}"
