# SPDX-License-Identifier: Apache-2.0
"""From a type URL to the subject that makes it. Pure. Source: spec/upstream.md 2.2, 2.3."""

from __future__ import annotations

from collections.abc import Callable

from upstream.generate.clusters import clusters
from upstream.generate.endpoints import endpoints
from upstream.generate.listeners import listeners
from upstream.generate.name_table import name_table
from upstream.generate.resource import Generated
from upstream.generate.routes import routes
from upstream.generate.view import View, view_of
from upstream.proxy import Proxy
from upstream.world import World
from wire.types import CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, ROUTE

Names = frozenset[str] | None

_SUBJECTS: dict[str, Callable[[View, Names], list[Generated]]] = {
    CLUSTER: lambda view, _: clusters(view),
    ENDPOINT: endpoints,
    LISTENER: lambda view, _: listeners(view),
    ROUTE: routes,
    NAME_TABLE: lambda view, _: name_table(view),
}

TYPES = tuple(_SUBJECTS)
"""What is generated at all, in the order in which a push sends it."""


def generate(type_url: str, proxy: Proxy, world: World, names: Names) -> list[Generated]:
    """All resources of the type that ``proxy`` should have.

    ``names`` limits and completes non-wildcard types: each asked name gets an answer, an empty one where nothing
    is known. None means everything the proxy would ask for. Clusters and listeners are always the full set.
    An unknown type gives nothing.
    """
    subject = _SUBJECTS.get(type_url)
    return subject(view_of(proxy, world), names) if subject else []
