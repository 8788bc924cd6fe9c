# SPDX-License-Identifier: Apache-2.0
"""What differs between two worlds, as pushes need to know it. Pure. Source: spec/upstream.md 3.1, 3.2.

An edit that only moves endpoints is a kind of its own, as it concerns one type of resource, and is by far the most
frequent one. It stays an edit of the service where clusters are made of endpoints (DNS), where it changes whom clients
must expect (identities, TLS modes), and where the first endpoint comes or the last one goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from upstream.config import Key, Kind, Object
from upstream.config.service_entry import Resolution, ServiceEntry, WorkloadEntry
from upstream.world import World

ENDPOINTS = "Endpoints"
"""The kind of a key that names a host whose endpoints moved."""


@dataclass(frozen=True, slots=True)
class Change:
    """Keys of what came, went or differs, and addresses of workloads that serve something else now."""

    keys: frozenset[Key]
    addresses: frozenset[str] = frozenset()


def change(before: World, after: World) -> Change:
    """From ``before`` to ``after``."""
    keys: set[Key] = set()
    addresses: set[str] = set()
    old, new = before.by_key(), after.by_key()
    for key in after.changed_since(before):
        moved = _moved(key, old, new)
        if moved is None:
            keys.add(key)
            continue
        was, now = moved
        keys |= {Key(ENDPOINTS, key.namespace, host) for host in now.hosts}
        addresses |= {one.address for one in (*was.endpoints, *now.endpoints)}
    return Change(frozenset(keys), frozenset(addresses))


def _moved(
    key: Key, old: Mapping[Key, Object[Any]], new: Mapping[Key, Object[Any]]
) -> tuple[ServiceEntry, ServiceEntry] | None:
    """The specifications, where nothing but endpoints differs between them."""
    if key.kind != Kind.SERVICE_ENTRY or key not in old or key not in new:
        return None
    was, now = old[key], new[key]
    if replace(was, spec=None) != replace(now, spec=None):
        return None
    same = replace(was.spec, endpoints=()) == replace(now.spec, endpoints=())
    alike = _nature(was.spec.endpoints) == _nature(now.spec.endpoints)
    static = now.spec.resolution is Resolution.STATIC
    return (was.spec, now.spec) if same and alike and static else None


def _nature(endpoints: tuple[WorkloadEntry, ...]) -> set[tuple[str, str | None]]:
    """What of endpoints shows in clusters: identities and TLS modes; nothing where there are none."""
    label = "security.istio.io/tlsMode"
    return {(one.service_account, one.labels.get(label)) for one in endpoints}
