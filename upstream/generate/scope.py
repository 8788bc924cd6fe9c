# SPDX-License-Identifier: Apache-2.0
"""What one namespace, or one Sidecar, sees of the mesh: services, routing rules, egress listeners. Pure.

Shared by all proxies that have the same Sidecar in effect. Source: spec/upstream.md 6.4, 21.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from upstream.config.objects import Kind, Object
from upstream.config.shared import Port
from upstream.config.sidecar import CaptureMode, Egress, OutboundPolicy, Sidecar
from upstream.generate.virtual_services import Routing, mesh_routings
from upstream.hosts import overlap, subset_of
from upstream.proxy import Proxy
from upstream.registry import Registry, Service
from upstream.world import World


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EgressListener:
    """A listener that the Sidecar asks for, or with no port the catch-all."""

    port: Port | None
    bind: str
    capture: CaptureMode
    services: tuple[Service, ...]
    routings: tuple[Routing, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scope:
    """The part of a world that matters to a proxy."""

    namespace: str
    sidecar: Object[Sidecar] | None
    services: tuple[Service, ...]
    egress: tuple[EgressListener, ...]
    outbound: OutboundPolicy
    by_host: Mapping[str, Service]

    def listener_for(self, port: int) -> EgressListener | None:
        """The egress listener that serves routes of ``port``: its own, else the catch-all."""
        for listener in self.egress:
            if listener.port and listener.port.number == port:
                return listener
        return next((one for one in self.egress if one.port is None), None)


def scope_of(proxy: Proxy, world: World) -> Scope:
    """The scope of ``proxy``, built once for all that share it."""
    chosen = _sidecar_of(proxy, world)
    key = ("scope", proxy.namespace, chosen.key if chosen else None)
    return world.memo(key, lambda: _scope(proxy.namespace, chosen, world))


def _sidecar_of(proxy: Proxy, world: World) -> Object[Sidecar] | None:
    """Selected in the namespace, else the namespace's own, else the root namespace's."""
    everything: tuple[Object[Sidecar], ...] = world.objects(Kind.SIDECAR)
    local = [one for one in everything if one.namespace == proxy.namespace]
    for one in local:
        selector = one.spec.workload_selector
        if selector and selector.labels and selector.labels.items() <= proxy.labels.items():
            return one
    root = [one for one in everything if one.namespace == world.mesh.root_namespace]
    return next((one for one in (*local, *root) if not _selects(one.spec)), None)


def _selects(spec: Sidecar) -> bool:
    return bool(spec.workload_selector and spec.workload_selector.labels)


def _scope(namespace: str, chosen: Object[Sidecar] | None, world: World) -> Scope:
    everything = Egress(hosts=("*/*",))
    wanted = (chosen.spec.egress if chosen else ()) or (everything,)
    registry = Registry.of(world)
    visible = [one for one in registry.services if one.visible_to(namespace)]
    routings = mesh_routings(world, namespace)
    egress = tuple(_listener(entry, namespace, visible, routings) for entry in wanted)
    services = dict.fromkeys(service for listener in egress for service in listener.services)
    services |= dict.fromkeys(_destinations(egress, services, visible, namespace))
    policy = chosen.spec.outbound_traffic_policy if chosen else None
    ordered = tuple(one for one in registry.services if one in services)
    return Scope(
        namespace=namespace,
        sidecar=chosen,
        services=ordered,
        egress=egress,
        outbound=policy or world.mesh.outbound_traffic_policy,
        by_host={one.hostname: one for one in reversed(ordered)},
    )


def _listener(
    entry: Egress, namespace: str, visible: list[Service], routings: tuple[Routing, ...]
) -> EgressListener:
    patterns = [_pattern(host, namespace) for host in entry.hosts]
    matching = [one for one in visible if _imported(one.namespace, one.hostname, patterns)]
    return EgressListener(
        port=entry.port,
        bind=entry.bind,
        capture=entry.capture_mode,
        services=tuple(_one_namespace(matching, patterns, namespace)),
        routings=tuple(one for one in routings if _routing_imported(one, patterns)),
    )


def _pattern(host: str, namespace: str) -> tuple[str, str]:
    space, _, name = host.partition("/")
    return (namespace if space == "." else space, name)


def _imported(space: str, host: str, patterns: list[tuple[str, str]]) -> bool:
    return any(
        wanted in ("*", space) and (name == "*" or subset_of(host, name))
        for wanted, name in patterns
    )


def _routing_imported(routing: Routing, patterns: list[tuple[str, str]]) -> bool:
    return any(
        wanted in ("*", routing.namespace)
        and (name == "*" or any(overlap(h, name) for h in routing.hosts))
        for wanted, name in patterns
    )


def _one_namespace(
    services: list[Service], patterns: list[tuple[str, str]], namespace: str
) -> Iterator[Service]:
    """Of a host that several namespaces define: the one listed exactly, one's own, the first by name."""
    spaces: dict[str, str] = {}
    exact = {(space, name) for space, name in patterns}

    def rank(service: Service) -> tuple[bool, bool, str]:
        listed = (service.namespace, service.hostname) in exact
        return (not listed, service.namespace != namespace, service.namespace)

    for service in sorted(services, key=rank):
        spaces.setdefault(service.hostname, service.namespace)
    return (one for one in services if spaces[one.hostname] == one.namespace)


def _destinations(
    egress: Iterable[EgressListener],
    known: dict[Service, None],
    visible: list[Service],
    namespace: str,
) -> Iterator[Service]:
    """Services that imported routes lead to are imported with them."""
    hosts = {one.hostname for one in known}
    wanted = {
        host
        for listener in egress
        for routing in listener.routings
        for host in routing.destinations
    } - hosts
    found = [one for one in visible if one.hostname in wanted]
    yield from _one_namespace(found, [], namespace)
