# SPDX-License-Identifier: Apache-2.0
"""Everything the control plane knows at one moment: an immutable set of objects and the mesh config. Pure.

A change makes a new World. What is derived from a world (registry, indexes, serialized resources) is kept in its
``memo`` and dies with it; each entry is a function of the world alone, so sharing it among proxies changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Self, TypeVar, cast

from upstream.config import Key, Kind, MeshConfig, Object

T = TypeVar("T")


class World:
    """Objects by source, the mesh config, and whether proxies have Istio's own filters."""

    __slots__ = ("_by_kind", "_memo", "istio_filters", "mesh", "sources")

    def __init__(
        self,
        sources: Mapping[str, Iterable[Object[Any]]] | None = None,
        *,
        mesh: MeshConfig | None = None,
        istio_filters: bool = False,
    ) -> None:
        self.sources = {name: tuple(objects) for name, objects in (sources or {}).items()}
        self.mesh = mesh or MeshConfig()
        self.istio_filters = istio_filters
        self._by_kind = _by_kind(self.sources)
        self._memo: dict[Hashable, object] = {}

    def replace(self, source: str, objects: Iterable[Object[Any]]) -> Self:
        """The world in which ``source`` holds exactly ``objects``; none removes it."""
        return self.apply({source: objects})

    def apply(self, changes: Mapping[str, Iterable[Object[Any]]]) -> Self:
        """As ``replace`` for several sources at once."""
        merged = {**self.sources, **{name: tuple(objects) for name, objects in changes.items()}}
        kept = {name: objects for name, objects in merged.items() if objects}
        return type(self)(kept, mesh=self.mesh, istio_filters=self.istio_filters)

    def with_mesh(self, mesh: MeshConfig) -> Self:
        """The same objects under another mesh config."""
        return type(self)(self.sources, mesh=mesh, istio_filters=self.istio_filters)

    def objects(self, kind: Kind) -> tuple[Object[Any], ...]:
        """All objects of a kind in Istio's order: oldest first, then name, then namespace."""
        return self._by_kind.get(kind, ())

    def changed_since(self, before: World) -> frozenset[Key]:
        """Keys of objects that came, went or differ."""
        old, new = before.by_key(), self.by_key()
        return frozenset(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))

    def by_key(self) -> Mapping[Key, Object[Any]]:
        """Every object; where two sources hold the same key, the one that counts."""
        return self.memo(
            "by key", lambda: {one.key: one for group in self._by_kind.values() for one in group}
        )

    def memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """``make()``, once for this world and ``key``."""
        if key not in self._memo:
            self._memo[key] = make()
        return cast("T", self._memo[key])


def _by_kind(sources: Mapping[str, tuple[Object[Any], ...]]) -> dict[Kind, tuple[Object[Any], ...]]:
    """Two objects of one key: the first source by name wins."""
    unique: dict[Key, Object[Any]] = {}
    for name in sorted(sources):
        for one in sources[name]:
            unique.setdefault(one.key, one)
    ordered = sorted(unique.values(), key=lambda one: one.order)
    return {kind: tuple(one for one in ordered if one.kind is kind) for kind in Kind}
