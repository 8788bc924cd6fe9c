# SPDX-License-Identifier: Apache-2.0
"""Where plain connections to a service go: its own cluster, or what a VirtualService's tcp routes say. Pure."""

from __future__ import annotations

from datetime import timedelta

from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from upstream.config.virtual_service import MESH, L4Destination, L4Match, TcpRoute
from upstream.generate.chains import TCP_PROXY, Filter
from upstream.generate.destination_rules import rule_for
from upstream.generate.resource import packed
from upstream.generate.route_action import destination_cluster
from upstream.generate.view import View
from upstream.hosts import subset_of
from upstream.registry import Service, ServicePort


def tcp_filter(view: View, service: Service, port: ServicePort, cluster: str) -> Filter:
    """The filter that hands bytes on."""
    routes = _routes(view, service, port)
    proxy = tcp_proxy_pb2.TcpProxy(stat_prefix=cluster)
    live = [to for to in routes if to.weight] or list(routes[:1])
    if len(live) > 1:
        for to in live:
            proxy.weighted_clusters.clusters.add(
                name=destination_cluster(to.destination, view, port.number), weight=to.weight
            )
    elif live:
        proxy.cluster = destination_cluster(live[0].destination, view, port.number)
        proxy.stat_prefix = proxy.cluster
    else:
        proxy.cluster = cluster
    idle = _idle(view, service, port)
    if idle is not None:
        proxy.idle_timeout.FromTimedelta(idle)
    return Filter(name=TCP_PROXY, typed_config=packed(proxy))


def _routes(view: View, service: Service, port: ServicePort) -> tuple[L4Destination, ...]:
    routings = [one for listener in view.scope.egress for one in listener.routings]
    for routing in routings:
        if routing.tcp and any(subset_of(service.hostname, host) for host in routing.hosts):
            for route in routing.tcp:
                if _applies(route, view, port):
                    return route.route
    return ()


def _applies(route: TcpRoute, view: View, port: ServicePort) -> bool:
    return not route.match or any(_holds(match, view, port) for match in route.match)


def _holds(match: L4Match, view: View, port: ServicePort) -> bool:
    if match.port and match.port != port.number:
        return False
    if match.gateways and MESH not in match.gateways:
        return False
    if match.source_namespace and match.source_namespace != view.proxy.namespace:
        return False
    return match.source_labels.items() <= view.proxy.labels.items()


def _idle(view: View, service: Service, port: ServicePort) -> timedelta | None:
    rule = rule_for(view.proxy, service, view.world)
    pool = rule.policy_for(port).connection_pool if rule else None
    return pool.tcp.idle_timeout if pool and pool.tcp else None
