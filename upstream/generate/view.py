# SPDX-License-Identifier: Apache-2.0
"""All that a subject looks at: one proxy, the world, and what the proxy sees of it. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from upstream.generate.scope import Scope, scope_of
from upstream.proxy import Interception, Proxy, ProxyType
from upstream.registry import Registry, Target
from upstream.world import World


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Inputs of every subject."""

    proxy: Proxy
    world: World
    scope: Scope
    registry: Registry

    @property
    def router(self) -> bool:
        return self.proxy.type is not ProxyType.SIDECAR

    @property
    def captured(self) -> bool:
        """Whether the kernel leads traffic to the proxy."""
        return self.proxy.interception is not Interception.NONE

    @property
    def group(self) -> Hashable:
        """All that outbound listeners and routes may depend on: proxies that agree in it share them."""
        proxy = self.proxy
        return (
            self.scope,
            proxy.type,
            proxy.domain,
            proxy.interception,
            proxy.cluster_id,
            proxy.mesh_id,
            frozenset(proxy.labels.items()),
            str(proxy.metadata.get("UNPRIVILEGED_POD", "")),
        )

    @property
    def targets(self) -> tuple[Target, ...]:
        """The service ports that this workload serves."""
        return self.registry.targets(self.proxy.ips)


def view_of(proxy: Proxy, world: World) -> View:
    """The view of ``proxy``."""
    return View(proxy=proxy, world=world, scope=scope_of(proxy, world), registry=Registry.of(world))
