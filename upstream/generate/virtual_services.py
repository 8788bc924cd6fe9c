# SPDX-License-Identifier: Apache-2.0
"""VirtualServices ready for use: names completed, delegates merged, visibility applied. Pure.

Source: spec/upstream.md 7.4, 21.2; istio pilot/pkg/model/virtualservice.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from upstream.config.objects import Kind, Object
from upstream.config.shared import StringMatch
from upstream.config.virtual_service import (
    MESH,
    Destination,
    HttpMatch,
    HttpRoute,
    L4Destination,
    TcpRoute,
    TlsRoute,
    VirtualService,
)
from upstream.hosts import full_host
from upstream.registry import exported
from upstream.world import World


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routing:
    """The routing rules of one VirtualService."""

    name: str
    namespace: str
    hosts: tuple[str, ...]
    gateways: frozenset[str]
    http: tuple[HttpRoute, ...]
    tcp: tuple[TcpRoute, ...]
    tls: tuple[TlsRoute, ...]
    destinations: frozenset[str]

    @property
    def config_path(self) -> str:
        """How resources name their origin."""
        kind = "networking.istio.io/v1/namespaces"
        return f"/apis/{kind}/{self.namespace}/virtual-service/{self.name}"


def mesh_routings(world: World, namespace: str) -> tuple[Routing, ...]:
    """What applies to sidecars of ``namespace``, in Istio's order."""
    return world.memo(("routings", namespace), lambda: tuple(_visible(world, namespace)))


def _visible(world: World, namespace: str) -> Iterator[Routing]:
    objects: tuple[Object[VirtualService], ...] = world.objects(Kind.VIRTUAL_SERVICE)
    for one in objects:
        gateways = frozenset(_gateway(name, one.namespace) for name in one.spec.gateways)
        if not one.spec.hosts or (gateways and MESH not in gateways):
            continue
        if exported(frozenset(one.spec.export_to), one.namespace, namespace):
            yield world.memo(("routing", one.key), partial(_routing, one, world))


def _gateway(name: str, namespace: str) -> str:
    return name if name == MESH or "/" in name else f"{namespace}/{name}"


def _routing(one: Object[VirtualService], world: World) -> Routing:
    spec, space = one.spec, one.namespace
    http = tuple(_complete(route, owner) for route, owner in _delegated(spec.http, space, world))
    tcp = tuple(
        replace(route, route=tuple(_l4(to, space) for to in route.route)) for route in spec.tcp
    )
    tls = tuple(
        replace(route, route=tuple(_l4(to, space) for to in route.route)) for route in spec.tls
    )
    reached = {to.destination.host for route in http for to in route.route}
    reached |= {mirror.destination.host for route in http for mirror in route.mirrors}
    reached |= {route.mirror.host for route in http if route.mirror}
    reached |= {to.destination.host for l4 in tcp for to in l4.route}
    reached |= {to.destination.host for l4 in tls for to in l4.route}
    return Routing(
        name=one.name,
        namespace=space,
        hosts=tuple(full_host(host, space) for host in spec.hosts),
        gateways=frozenset(_gateway(name, space) for name in spec.gateways) or frozenset({MESH}),
        http=http,
        tcp=tcp,
        tls=tls,
        destinations=frozenset(reached),
    )


def _l4(to: L4Destination, space: str) -> L4Destination:
    return replace(to, destination=_full(to.destination, space))


def _full(destination: Destination, space: str) -> Destination:
    return replace(destination, host=full_host(destination.host, space))


def _complete(route: HttpRoute, space: str) -> HttpRoute:
    return replace(
        route,
        route=tuple(replace(to, destination=_full(to.destination, space)) for to in route.route),
        mirror=_full(route.mirror, space) if route.mirror else None,
        mirrors=tuple(replace(m, destination=_full(m.destination, space)) for m in route.mirrors),
        match=tuple(
            replace(match, gateways=tuple(_gateway(name, space) for name in match.gateways))
            for match in route.match
        ),
    )


def _delegated(
    routes: tuple[HttpRoute, ...], space: str, world: World
) -> Iterator[tuple[HttpRoute, str]]:
    """Routes with the namespace their short names are of; a delegate that cannot be found gives none."""
    for route in routes:
        if route.delegate is None:
            yield route, space
            continue
        owner = route.delegate.namespace or space
        target = _delegate(route.delegate.name, owner, space, world)
        for inner in target.http if target else ():
            merged = _merge(route, inner)
            if merged is not None:
                yield merged, owner


def _delegate(name: str, owner: str, space: str, world: World) -> VirtualService | None:
    for one in world.objects(Kind.VIRTUAL_SERVICE):
        if (one.name, one.namespace) == (name, owner) and not one.spec.hosts:
            spec: VirtualService = one.spec
            seen = exported(frozenset(spec.export_to), owner, space)
            return spec if seen else None
    return None


def _merge(root: HttpRoute, inner: HttpRoute) -> HttpRoute | None:
    """The delegate's route under the root's conditions; what only the root says is taken from it."""
    matches = _merge_matches(root.match, inner.match)
    if matches is None or inner.delegate:
        return None
    name = "-".join(part for part in (root.name, inner.name) if part)
    taken = {
        field: getattr(root, field)
        for field in (
            "rewrite",
            "timeout",
            "retries",
            "fault",
            "mirror",
            "mirror_percentage",
            "cors_policy",
            "headers",
            "mirrors",
            "mirror_percent",
        )
        if not getattr(inner, field)
    }
    return replace(inner, name=name, match=matches, **taken)


def _merge_matches(
    roots: tuple[HttpMatch, ...], inners: tuple[HttpMatch, ...]
) -> tuple[HttpMatch, ...] | None:
    if not roots:
        return inners
    if not inners:
        return roots
    merged = [_merge_match(root, inner) for root in roots for inner in inners]
    possible = tuple(match for match in merged if match is not None)
    return possible or None


def _merge_match(root: HttpMatch, inner: HttpMatch) -> HttpMatch | None:
    conflict = any(
        getattr(root, name) is not None
        and getattr(inner, name) is not None
        and not _within(getattr(inner, name), getattr(root, name))
        for name in ("uri", "scheme", "method", "authority")
    )
    conflict |= bool(root.port and inner.port and root.port != inner.port)
    conflict |= _clash(root.headers, inner.headers) or _clash(root.query_params, inner.query_params)
    if conflict:
        return None
    return replace(
        inner,
        name="-".join(part for part in (root.name, inner.name) if part),
        uri=inner.uri or root.uri,
        scheme=inner.scheme or root.scheme,
        method=inner.method or root.method,
        authority=inner.authority or root.authority,
        headers={**root.headers, **inner.headers},
        without_headers={**root.without_headers, **inner.without_headers},
        query_params={**root.query_params, **inner.query_params},
        port=inner.port or root.port,
        ignore_uri_case=root.ignore_uri_case or inner.ignore_uri_case,
        source_labels={**root.source_labels, **inner.source_labels},
        source_namespace=inner.source_namespace or root.source_namespace,
        gateways=inner.gateways or root.gateways,
    )


def _clash(one: Mapping[str, StringMatch], other: Mapping[str, StringMatch]) -> bool:
    return any(one[name] != other[name] for name in one.keys() & other.keys())


def _within(inner: StringMatch, root: StringMatch) -> bool:
    """Whether the delegate's condition narrows the root's; regular expressions are not compared."""
    if root == inner:
        return True
    if root.prefix is not None:
        text = inner.prefix if inner.prefix is not None else inner.exact
        return text is not None and text.startswith(root.prefix)
    return False
