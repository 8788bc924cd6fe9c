# SPDX-License-Identifier: Apache-2.0
"""Where connections to a port that is not HTTP go: its own cluster, or where a VirtualService sends them. Pure.

Source: spec/upstream.md 7.3, 7.4; istio pilot/pkg/networking/core/tls.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_network

from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from upstream.config.virtual_service import MESH, L4Destination, L4Match, TlsMatch
from upstream.generate.chains import TCP_PROXY, Filter
from upstream.generate.destination_rules import rule_for
from upstream.generate.names import outbound_cluster
from upstream.generate.resource import packed
from upstream.generate.route_action import destination_cluster
from upstream.generate.view import View
from upstream.generate.virtual_services import Routing
from upstream.hosts import subset_of
from upstream.registry import Service, ServicePort


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TcpChain:
    """Connections that go the same way: what tells them apart, and where they go."""

    service: Service
    port: ServicePort
    networks: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()
    routing: Routing | None = None
    """The VirtualService that sends them, if one does."""
    destinations: tuple[L4Destination, ...] = ()

    @property
    def unmatched(self) -> bool:
        """Whether it takes whatever comes."""
        return not (self.networks or self.server_names)

    @property
    def matches(self) -> frozenset[tuple[str, str]]:
        """Each network with each name: no two chains of a listener may share one, or Envoy refuses them all."""
        networks = [str(ip_network(one, strict=False)) for one in self.networks] or [""]
        return frozenset((one, name) for one in networks for name in self.server_names or ("",))

    def without(self, taken: AbstractSet[tuple[str, str]]) -> Iterator[TcpChain]:
        """What is left of it where others came first; in several chains where the networks differ in names."""
        left: dict[tuple[str, ...], list[str]] = {}
        for network in self.networks or ("",):
            alone = replace(self, networks=(network,) if network else ())
            free = {name for _, name in alone.matches - taken}
            names = tuple(name for name in self.server_names or ("",) if name in free)
            if names:
                left.setdefault(names, []).append(network)
        for names, networks in left.items():
            yield replace(
                self,
                networks=tuple(one for one in networks if one),
                server_names=tuple(name for name in names if name),
            )


def tcp_chains(view: View, service: Service, port: ServicePort) -> list[TcpChain]:
    """In order; a service's own chain is the last unless a VirtualService leaves nothing to it."""
    routings = [
        routing
        for listener in view.scope.egress
        for routing in listener.routings
        if any(subset_of(service.hostname, host) for host in routing.hosts)
    ]
    if port.protocol.tls:
        made = [chain for one in routings for chain in _tls(view, one, service, port)]
        return made or [_own(service, port)]
    made = [chain for one in routings[:1] for chain in _tcp(view, one, service, port)]
    if any(chain.unmatched for chain in made):
        return made
    return [*made, _own(service, port)]


def _networks(service: Service) -> tuple[str, ...]:
    """The service's address where that is a network, whose listener others share."""
    return (service.address,) if service.has_address and not service.virtual_ip else ()


def _own(service: Service, port: ServicePort) -> TcpChain:
    if networks := _networks(service):
        return TcpChain(service=service, port=port, networks=networks)
    if port.protocol.tls and not service.virtual_ip:
        return TcpChain(service=service, port=port, server_names=(service.hostname,))
    return TcpChain(service=service, port=port)


def _tls(view: View, routing: Routing, service: Service, port: ServicePort) -> Iterator[TcpChain]:
    for route in routing.tls:
        for match in route.match:
            if _holds(match, view, port):
                yield TcpChain(
                    service=service,
                    port=port,
                    server_names=match.sni_hosts,
                    networks=match.destination_subnets or _networks(service),
                    routing=routing,
                    destinations=route.route,
                )


def _tcp(view: View, routing: Routing, service: Service, port: ServicePort) -> Iterator[TcpChain]:
    for route in routing.tcp:
        for match in route.match or (L4Match(),):
            if _holds(match, view, port):
                yield TcpChain(
                    service=service,
                    port=port,
                    networks=match.destination_subnets,
                    routing=routing,
                    destinations=route.route,
                )
                if not match.destination_subnets:
                    return


def _holds(match: L4Match | TlsMatch, view: View, port: ServicePort) -> bool:
    if match.port and match.port != port.number:
        return False
    if match.gateways and MESH not in match.gateways:
        return False
    if match.source_namespace and match.source_namespace != view.proxy.namespace:
        return False
    return match.source_labels.items() <= view.proxy.labels.items()


def tcp_filter(view: View, chain: TcpChain) -> Filter:
    """The filter that hands the bytes of a chain on."""
    port = chain.port.number
    live = [to for to in chain.destinations if to.weight] or list(chain.destinations[:1])
    proxy = tcp_proxy_pb2.TcpProxy()
    if len(live) > 1 and chain.routing:
        proxy.stat_prefix = f"{chain.routing.name}.{chain.routing.namespace}"
        for to in live:
            name = destination_cluster(to.destination, view, port)
            proxy.weighted_clusters.clusters.add(name=name, weight=to.weight)
    elif live:
        proxy.cluster = destination_cluster(live[0].destination, view, port)
        proxy.stat_prefix = proxy.cluster
    else:
        proxy.cluster = outbound_cluster(port, "", chain.service.hostname)
        proxy.stat_prefix = proxy.cluster
    idle = _idle(view, chain.service, chain.port)
    if idle is not None:
        proxy.idle_timeout.FromTimedelta(idle)
    return Filter(name=TCP_PROXY, typed_config=packed(proxy))


def _idle(view: View, service: Service, port: ServicePort) -> timedelta | None:
    rule = rule_for(view.proxy, service, view.world)
    pool = rule.policy_for(port).connection_pool if rule else None
    return pool.tcp.idle_timeout if pool and pool.tcp else None
