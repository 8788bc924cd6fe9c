# SPDX-License-Identifier: Apache-2.0
"""What istiod refuses in a VirtualService though every field has the right type. Pure.

Source: istio pkg/config/validation ValidateVirtualService; spec/upstream.md 7.4, 8.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from upstream.config.check_http_route import http_route_problems
from upstream.config.problems import (
    Problem,
    export_problems,
    host_problems,
    is_ip,
    is_network,
    port_problems,
)
from upstream.config.virtual_service import (
    MESH,
    HttpMatch,
    L4Destination,
    L4Match,
    TlsMatch,
    VirtualService,
)
from upstream.hosts import overlap, subset_of

CLAIMS = "@request.auth.claims"


def check_virtual_service(spec: VirtualService) -> Iterator[Problem]:
    """What is wrong with routing rules."""
    if not (spec.http or spec.tcp or spec.tls):
        yield Problem("", "has no http, tcp or tls routes", "give at least one")
    if spec.hosts:
        yield from _hosts(spec)
    else:
        yield from _delegate(spec)
    for i, gateway in enumerate(spec.gateways):
        yield from gateway_problems(f"gateways[{i}]", gateway)
    for i, route in enumerate(spec.http):
        yield from http_route_problems(f"http[{i}]", route, delegate=not spec.hosts)
        for j, match in enumerate(route.match):
            yield from _claims(f"http[{i}].match[{j}]", match, spec)
    yield from _tcp(spec)
    yield from _tls(spec)
    yield from export_problems(spec.export_to)


def _hosts(spec: VirtualService) -> Iterator[Problem]:
    in_mesh = not spec.gateways or MESH in spec.gateways
    for i, host in enumerate(spec.hosts):
        path = f"hosts[{i}]"
        if host == "*" and in_mesh:
            hint = "name the hosts, or the gateways that it is for"
            yield Problem(path, "'*' alone is too wide for all sidecars", hint)
        elif not is_ip(host):
            yield from host_problems(path, host)
        for other in spec.hosts[:i]:
            if overlap(host.lower(), other.lower()):
                yield Problem(path, f"{host!r} and {other!r} are both for the same names")


def _delegate(spec: VirtualService) -> Iterator[Problem]:
    """Without hosts it is a part of another VirtualService."""
    if spec.gateways:
        yield Problem("gateways", "is not for a delegate, which has no hosts")
    if spec.tcp or spec.tls:
        yield Problem("tcp" if spec.tcp else "tls", "is not for a delegate, which has no hosts")


def gateway_problems(path: str, name: str) -> Iterator[Problem]:
    """Faults of a gateway's name."""
    if name == MESH:
        return
    parts = name.split("/")
    if len(parts) > 2:
        yield Problem(path, f"{name!r} is neither a name nor namespace/name")
        return
    for part in parts:
        yield from host_problems(path, part, wildcard=False)


def _claims(path: str, match: HttpMatch, spec: VirtualService) -> Iterator[Problem]:
    gateways = [one for one in (match.gateways or spec.gateways) if one != MESH]
    for group in (match.headers, match.without_headers):
        for name in group:
            if name.startswith(CLAIMS) and not gateways:
                yield Problem(f"{path}.headers[{name}]", "claims are only looked at by gateways")


def _tcp(spec: VirtualService) -> Iterator[Problem]:
    for i, route in enumerate(spec.tcp):
        path = f"tcp[{i}]"
        for j, match in enumerate(route.match):
            yield from _l4_match(f"{path}.match[{j}]", match)
        yield from _destinations(f"{path}.route", route.route)


def _tls(spec: VirtualService) -> Iterator[Problem]:
    for i, route in enumerate(spec.tls):
        path = f"tls[{i}]"
        if not route.match:
            yield Problem(f"{path}.match", "missing: it says which server names are meant")
        for j, match in enumerate(route.match):
            yield from _server_names(f"{path}.match[{j}].sniHosts", match.sni_hosts, spec.hosts)
            yield from _l4_match(f"{path}.match[{j}]", match)
        yield from _destinations(f"{path}.route", route.route)


def _server_names(path: str, names: Sequence[str], hosts: Sequence[str]) -> Iterator[Problem]:
    if not names:
        yield Problem(path, "missing")
    for i, name in enumerate(names):
        if is_ip(name):  # peer: against RFC 6066, but let through
            continue
        yield from host_problems(f"{path}[{i}]", name)
        if not any(subset_of(name.lower(), host.lower()) for host in hosts):
            yield Problem(f"{path}[{i}]", f"{name!r} is not one of the hosts")


def _l4_match(path: str, match: L4Match | TlsMatch) -> Iterator[Problem]:
    for i, network in enumerate(match.destination_subnets):
        if not is_network(network):
            yield Problem(f"{path}.destinationSubnets[{i}]", f"{network!r} is not a network")
    if match.port:
        yield from port_problems(f"{path}.port", match.port)
    for i, gateway in enumerate(match.gateways):
        yield from gateway_problems(f"{path}.gateways[{i}]", gateway)


def _destinations(path: str, targets: Sequence[L4Destination]) -> Iterator[Problem]:
    if not targets:
        yield Problem(path, "missing")
    for i, to in enumerate(targets):
        where = f"{path}[{i}]"
        yield from host_problems(f"{where}.destination.host", to.destination.host, wildcard=False)
        if to.weight < 0:
            yield Problem(f"{where}.weight", f"{to.weight} is negative")
        if to.destination.port:
            yield from port_problems(f"{where}.destination.port.number", to.destination.port.number)
    if len(targets) > 1 and not sum(to.weight for to in targets):
        yield Problem(path, "weights add up to 0", "give at least one a weight")
