# SPDX-License-Identifier: Apache-2.0
"""The routes of one VirtualService, or of a service without one. Pure. Source: spec/upstream.md 7.4."""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_pb2

from upstream.config.virtual_service import HttpMatch, HttpRoute
from upstream.generate.metadata import config_metadata
from upstream.generate.names import outbound_cluster, split_outbound
from upstream.generate.resource import packed
from upstream.generate.route_action import forward, hashing, plain_action, redirect, respond
from upstream.generate.route_filters import CORS, FAULT, cors, fault
from upstream.generate.route_match import applies, catches_all, route_match
from upstream.generate.view import View
from upstream.generate.virtual_services import Routing
from upstream.registry import Service, ServicePort


def routes_of(routing: Routing, view: View, port: int) -> list[route_pb2.Route]:
    """In order; nothing follows a route that catches all."""
    made: list[route_pb2.Route] = []
    for rule in routing.http:
        for match in rule.match or (None,):
            if not applies(match, view, port):
                continue
            route = _route(routing, rule, match, view, port)
            made.append(route)
            if catches_all(route.match):
                return made
    return made


def default_route(service: Service, port: ServicePort, view: View) -> route_pb2.Route:
    """Everything to the service itself."""
    hashed = hashing(view, service, port, "")
    cluster = outbound_cluster(port.number, "", service.hostname)
    return route_pb2.Route(
        name="default",
        match=route_pb2.RouteMatch(prefix="/"),
        decorator=route_pb2.Decorator(operation=f"{service.hostname}:{port.number}/*"),
        route=plain_action(view, cluster, hashed),
    )


def _route(
    routing: Routing, rule: HttpRoute, match: HttpMatch | None, view: View, port: int
) -> route_pb2.Route:
    out = route_pb2.Route(
        name=f"{rule.name}.{match.name}" if match and match.name else rule.name,
        match=route_match(match),
        metadata=config_metadata(routing.config_path),
    )
    if rule.redirect:
        redirect(out, rule, rule.redirect, port)
    elif rule.direct_response:
        respond(out, rule, rule.direct_response)
    else:
        forward(out, rule, view, port)
    out.decorator.operation = _operation(out, routing.name, port)
    if rule.fault:
        out.typed_per_filter_config[FAULT].CopyFrom(packed(fault(rule.fault)))
    if rule.cors_policy:
        out.typed_per_filter_config[CORS].CopyFrom(packed(cors(rule.cors_policy)))
    return out


def _operation(route: route_pb2.Route, name: str, port: int) -> str:
    """What traces call it: the destination where there is one, else the VirtualService."""
    match = route.match
    path = match.path or match.safe_regex.regex or f"{match.prefix}*"
    parts = split_outbound(route.route.cluster)
    if parts:
        return f"{parts[2]}:{parts[0]}{path}"
    return f"{name}:{port}{path}"
