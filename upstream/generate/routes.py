# SPDX-License-Identifier: Apache-2.0
"""RDS: one route configuration for each outbound HTTP listener. Pure. Source: spec/upstream.md 5, 7.4, 21.1.

VirtualServices take over the services that they name; the rest get a default route. Names are ``<port>``,
``<host>:<port>`` where the protocol is detected, and the path of a unix socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.config.route.v3 import route_pb2 as rds_pb2
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from upstream.config.shared import Protocol
from upstream.config.sidecar import OutboundMode
from upstream.generate.http_routes import default_route, routes_of
from upstream.generate.names import PASSTHROUGH, UNIX
from upstream.generate.outbound_plan import route_names
from upstream.generate.resource import Generated, resource
from upstream.generate.route_action import destination_cluster
from upstream.generate.scope import EgressListener
from upstream.generate.view import View
from upstream.generate.virtual_hosts import Domains, domains_of, with_port
from upstream.generate.virtual_services import Routing
from upstream.hosts import most_specific, subset_of
from upstream.registry import Service, ServicePort

EXPLICIT = 0
"""Stands for "every port": behind an explicit proxy or a unix socket the request names its port."""
HTTP_PORT = 80
_Host: TypeAlias = route_pb2.VirtualHost


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    """Routes, and whose they are: services of the registry and names beside it."""

    port: int
    services: tuple[Service, ...]
    hosts: tuple[str, ...]
    routes: tuple[route_pb2.Route, ...]


def routes(view: View, names: frozenset[str] | None) -> list[Generated]:
    """The named configurations, or all that the proxy's listeners refer to."""
    return list(view.world.memo(("routes", names, view.group), lambda: _named_or_all(view, names)))


def _named_or_all(view: View, names: frozenset[str] | None) -> list[Generated]:
    wanted = route_names(view) if names is None else sorted(names)
    return [_configuration(view, name) for name in wanted]


def _configuration(view: View, name: str) -> Generated:
    host, _, number = name.rpartition(":")
    if name.startswith(UNIX):
        listener, port, host = _unix_listener(view, name), EXPLICIT, ""
    elif number.isdigit():
        port = int(number)
        listener = view.scope.listener_for(port)
    else:
        listener = None
    if listener is None:
        return resource(name, rds_pb2.RouteConfiguration(name=name))
    if listener.port and Protocol.parse(listener.port.protocol) is Protocol.HTTP_PROXY:
        port = EXPLICIT
    hosts = _virtual_hosts(view, listener, port)
    if host:
        hosts = _only(hosts, name)
    else:
        hosts.append(_fallback(view))
    configuration = rds_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=hosts,
        validate_clusters=BoolValue(value=False),
        max_direct_response_body_size_bytes=UInt32Value(value=1048576),
        ignore_port_in_host_matching=port != EXPLICIT,
    )
    return resource(name, configuration)


def _unix_listener(view: View, name: str) -> EgressListener | None:
    return next((one for one in view.scope.egress if one.bind == name), None)


def _only(hosts: list[_Host], name: str) -> list[_Host]:
    """Of a listener that only one service has: whatever the request says, it is meant."""
    found = [one for one in hosts if one.name == name]
    for one in found:
        del one.domains[:]
        one.domains.append("*")
    return found


def _virtual_hosts(view: View, listener: EgressListener, port: int) -> list[_Host]:
    services = _services(listener, port)
    answers = list(_answers(view, listener, services, port))
    known = {one.hostname for answer in answers for one in answer.services}
    known |= {f"{one.hostname}:{a.port}" for a in answers for one in a.services}
    domains, made = Domains(known), dict[str, _Host]()
    for answer in answers:
        for name, wanted, short in _named(answer, view):
            full = with_port(wanted, answer.port) if port == EXPLICIT else wanted
            mine = domains.take(full, short)
            if mine and name not in made:
                made[name] = _Host(
                    name=name,
                    domains=mine,
                    routes=answer.routes,
                    include_request_attempt_count=True,
                )
    return [made[name] for name in sorted(made)]


def _named(answer: _Answer, view: View) -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, domains and short domains of each virtual host with these routes."""
    for host in answer.hosts:
        yield f"{host}:{answer.port}", [host], []
    for service in answer.services:
        wanted, short = domains_of(service, view)
        yield f"{service.hostname}:{answer.port}", wanted, short


def _services(listener: EgressListener, port: int) -> dict[str, Service]:
    """By host, those that have the port and speak HTTP there."""
    found: dict[str, Service] = {}
    for service in listener.services:
        if any(_fits(one, port) for one in service.ports):
            found.setdefault(service.hostname, service)
    return found


def _fits(port: ServicePort, wanted: int) -> bool:
    if not (port.protocol.http or port.protocol.auto):
        return False
    return wanted in (EXPLICIT, port.number)


def _answers(
    view: View, listener: EgressListener, services: dict[str, Service], port: int
) -> Iterator[_Answer]:
    taken: set[str] = set()
    for routing in listener.routings:
        mine, other = _separate(routing, listener.routings, services)
        mine = [one for one in mine if one.hostname not in taken]
        if port != HTTP_PORT and not mine:
            continue
        taken.update(one.hostname for one in mine)
        yield from _of_routing(view, routing, mine, other, port)
    for service in services.values():
        if service.hostname in taken:
            continue
        for one in service.ports:
            if _fits(one, port):
                made = (default_route(service, one, view),)
                yield _Answer(port=one.number, services=(service,), hosts=(), routes=made)


def _of_routing(
    view: View, routing: Routing, services: list[Service], hosts: list[str], port: int
) -> Iterator[_Answer]:
    by_port: dict[int, list[Service]] = {}
    for service in services:
        for one in service.ports:
            if _fits(one, port):
                by_port.setdefault(one.number, []).append(service)
    if not by_port and port == HTTP_PORT:
        by_port[HTTP_PORT] = []  # peer: hosts outside the registry are served on port 80 only
    for number, sharing in sorted(by_port.items()):
        made = routes_of(routing, view, number)
        if made:
            yield _Answer(
                port=number, services=tuple(sharing), hosts=tuple(hosts), routes=tuple(made)
            )


def _separate(
    routing: Routing, everything: tuple[Routing, ...], services: dict[str, Service]
) -> tuple[list[Service], list[str]]:
    """Services that the VirtualService is for, and hosts of it that are no service."""
    mine: list[Service] = []
    other: list[str] = []
    for host in routing.hosts:
        if not host.startswith("*"):
            if host in services:
                mine.append(services[host])
            else:
                other.append(host)
            continue
        matching = [one for name, one in services.items() if subset_of(name, host)]
        if not matching:
            other.append(host)
        mine += [one for one in matching if _best(one.hostname, everything) is routing]
    return mine, other


def _best(host: str, everything: tuple[Routing, ...]) -> Routing | None:
    """The VirtualService whose host fits best; of equals the first."""
    best = most_specific(host, {one for routing in everything for one in routing.hosts})
    return next((routing for routing in everything if best in routing.hosts), None)


def _fallback(view: View) -> _Host:
    """Requests for no known host: let through or refused."""
    policy = view.scope.outbound
    if policy.mode is OutboundMode.REGISTRY_ONLY:
        refused = route_pb2.Route(
            name="block_all",
            match=route_pb2.RouteMatch(prefix="/"),
            direct_response=route_pb2.DirectResponseAction(status=502),
        )
        return _catch_all("block_all", refused)
    cluster = PASSTHROUGH
    if policy.egress_proxy:
        cluster = destination_cluster(policy.egress_proxy, view, 0)
    let = route_pb2.Route(name="allow_any", match=route_pb2.RouteMatch(prefix="/"))
    let.route.cluster = cluster
    let.route.timeout.SetInParent()
    let.route.max_grpc_timeout.SetInParent()
    return _catch_all("allow_any", let)


def _catch_all(name: str, route: route_pb2.Route) -> _Host:
    return _Host(name=name, domains=["*"], routes=[route], include_request_attempt_count=True)
