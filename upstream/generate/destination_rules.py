# SPDX-License-Identifier: Apache-2.0
"""Which DestinationRule holds for a service as one proxy sees it, and the policy of a port or subset. Pure.

Source: spec/upstream.md 6.4, 7.1, 21.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from upstream.config.destination_rule import DestinationRule, PortPolicy, Subset, TrafficPolicy
from upstream.config.objects import Kind, Object
from upstream.hosts import full_host, most_specific
from upstream.proxy import Proxy
from upstream.registry import Service, ServicePort, exported
from upstream.world import World

PARTS = ("load_balancer", "connection_pool", "outlier_detection", "tls")
NOTHING = TrafficPolicy()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """One DestinationRule, or several of the same host and reach as one."""

    name: str
    namespace: str
    host: str
    export_to: frozenset[str]
    selector: Mapping[str, str] | None
    policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]

    @property
    def config_path(self) -> str:
        """How resources name their origin."""
        kind = "networking.istio.io/v1/namespaces"
        return f"/apis/{kind}/{self.namespace}/destination-rule/{self.name}"

    def subset(self, name: str) -> Subset | None:
        return next((one for one in self.subsets if one.name == name), None)

    def policy_for(self, port: ServicePort, subset: Subset | None = None) -> TrafficPolicy:
        """What holds for a port: port level replaces, a subset overrides part by part."""
        merged = _over(NOTHING, self.policy, port.number)
        return _over(merged, subset.traffic_policy if subset else None, port.number)


def _over(base: TrafficPolicy, top: TrafficPolicy | None, port: int) -> TrafficPolicy:
    if top is None:
        return base
    given: dict[str, Any] = {part: getattr(top, part) for part in PARTS if getattr(top, part)}
    merged = replace(base, port_level_settings=(), **given)
    for level in top.port_level_settings:
        if level.port and level.port.number == port:
            return _at_port(level)
    return merged


def _at_port(level: PortPolicy) -> TrafficPolicy:
    """A port's settings inherit nothing."""
    return TrafficPolicy(**{part: getattr(level, part) for part in PARTS})


def rule_for(proxy: Proxy, service: Service, world: World) -> Rule | None:
    """The rule for outbound traffic of ``proxy`` to ``service``."""
    rules = _rules_for(proxy.namespace, service.hostname, service.namespace, world)
    for rule in rules:
        here = rule.namespace == proxy.namespace
        if here and rule.selector and rule.selector.items() <= proxy.labels.items():
            return rule
    return next((rule for rule in rules if not rule.selector), None)


def inbound_rule_for(proxy: Proxy, service: Service, world: World) -> Rule | None:
    """As ``rule_for`` for traffic that comes in: selectors are not looked at."""
    rules = _rules_for(proxy.namespace, service.hostname, service.namespace, world)
    return next((rule for rule in rules if not rule.selector), None)


def _rules_for(namespace: str, host: str, owner: str, world: World) -> tuple[Rule, ...]:
    key = ("rules", namespace, host, owner)
    return world.memo(key, lambda: _find(namespace, host, owner, world))


def _find(namespace: str, host: str, owner: str, world: World) -> tuple[Rule, ...]:
    """First hit wins: the proxy's namespace, the service's, the root's; never a mixture."""
    root = world.mesh.root_namespace
    by_space = _merged(world)
    local = by_space.get(namespace, ())
    if namespace == root:
        local = tuple(rule for rule in local if rule.export_to == frozenset({"."}))
    candidates = (
        local,
        tuple(r for r in by_space.get(owner, ()) if exported(r.export_to, owner, namespace)),
        tuple(r for r in by_space.get(root, ()) if exported(r.export_to, root, namespace)),
    )
    for rules in candidates:
        best = most_specific(host, {rule.host for rule in rules})
        if best is not None:
            return tuple(rule for rule in rules if rule.host == best)
    return ()


def _merged(world: World) -> dict[str, tuple[Rule, ...]]:
    return world.memo("destination rules", lambda: _merge(world.objects(Kind.DESTINATION_RULE)))


def _merge(objects: Iterable[Object[DestinationRule]]) -> dict[str, tuple[Rule, ...]]:
    """Rules of one namespace with the same host, reach and selector become one."""
    by_space: dict[str, list[Rule]] = {}
    for one in objects:
        rule = _rule(one)
        group = by_space.setdefault(one.namespace, [])
        for index, known in enumerate(group):
            if _same_reach(known, rule):
                group[index] = _joined(known, rule)
                break
        else:
            group.append(rule)
    return {space: tuple(group) for space, group in by_space.items()}


def _rule(one: Object[DestinationRule]) -> Rule:
    selector = one.spec.workload_selector
    return Rule(
        name=one.name,
        namespace=one.namespace,
        host=full_host(one.spec.host, one.namespace),
        export_to=frozenset(one.spec.export_to),
        selector=selector.match_labels if selector else None,
        policy=one.spec.traffic_policy,
        subsets=one.spec.subsets,
    )


def _same_reach(one: Rule, other: Rule) -> bool:
    return (one.host, one.export_to, one.selector) == (other.host, other.export_to, other.selector)


def _joined(first: Rule, later: Rule) -> Rule:
    names = {subset.name for subset in first.subsets}
    more = tuple(subset for subset in later.subsets if subset.name not in names)
    return replace(first, policy=first.policy or later.policy, subsets=first.subsets + more)
