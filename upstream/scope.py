# SPDX-License-Identifier: Apache-2.0
"""Which kinds of configuration can change which type of resource. Pure table. Source: spec/upstream.md 3.7.

Fewer kinds are listed than the peer ignores: what is not listed is generated again and compared, which
costs time but cannot lose an update.
"""

from __future__ import annotations

from collections.abc import Iterable

from upstream.queue import PushRequest
from upstream.watch import CDS, EDS, LDS, NDS, RDS

_MOVED = frozenset({"Endpoints"})
_POLICY = frozenset({"AuthorizationPolicy", "RequestAuthentication"})
_OBSERVED = frozenset({"Telemetry", "WasmPlugin", "TrafficExtension"})

IGNORES = {
    CDS: _POLICY | _OBSERVED | _MOVED | {"WorkloadGroup"},
    EDS: _POLICY | _OBSERVED | {"WorkloadGroup", "VirtualService", "Gateway"},
    LDS: _MOVED | {"WorkloadGroup"},
    RDS: _POLICY | _OBSERVED | _MOVED | {"WorkloadGroup", "PeerAuthentication"},
    NDS: _MOVED,
}


def concerns(type_url: str, wish: PushRequest, addresses: Iterable[str] = ()) -> bool:
    """Whether this push may change resources of this type for the proxy at these addresses."""
    if wish.forced or wish.changed is None or not wish.addresses.isdisjoint(addresses):
        return True
    ignored = IGNORES.get(type_url, frozenset())
    return any(key.kind not in ignored for key in wish.changed)
