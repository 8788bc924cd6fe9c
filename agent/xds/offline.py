# SPDX-License-Identifier: Apache-2.0
"""Answers Envoy from the store while there is no control plane. Pure: requests in, responses out.

One stream of Envoy, either variant. A wildcard subscription gets all that the store has of the type;
names get what is known of them. In the state-of-the-world variant an answer follows only what it has
not followed yet; in delta, resources go out whose version Envoy does not have. An answer that Envoy
refuses is not repeated. Versions are the control plane's own, so that a control plane that returns
can tell what Envoy has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.any_pb2 import Any

from agent.xds.kept import Shelf, Stored
from agent.xds.relay import Subscription, parse_request
from wire import types
from wire.proto.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse, Resource
from wire.scan import Variant
from wire.types import TypeUrl

NONCE_PREFIX: Final = "store-"


class Offline:
    """See the module docstring. ``shelf`` is what the store had when the stream began."""

    def __init__(self, variant: Variant, shelf: Shelf) -> None:
        self._variant = variant
        self._shelf = shelf
        self._asked: dict[TypeUrl, Subscription] = {}
        self._sent = 0

    def on_request(self, raw: bytes) -> list[bytes]:
        """The answers to one request of Envoy."""
        request = parse_request(raw, self._variant)
        known = self._asked.get(request.type_url)
        first = known is None
        if known is None:
            known = Subscription(
                wildcard=not request.subscribe or "*" in request.subscribe,
                versions=dict(request.versions),
                version=request.version,
            )
            self._asked[request.type_url] = known
        fresh = set(request.subscribe) - known.names
        known.names |= fresh
        known.names -= set(request.unsubscribe)
        if self._variant is Variant.SOTW:
            return self._sotw(request.type_url, known, changed=first or bool(fresh))
        return self._delta(request.type_url, known, fresh, first=first)

    def _sotw(self, type_url: TypeUrl, known: Subscription, *, changed: bool) -> list[bytes]:
        found = self._find(type_url, None if known.wildcard else known.names)
        if not changed or (not found and not known.wildcard):
            return []
        version = max((one.version for one in found), default="")
        response = DiscoveryResponse(version_info=version, type_url=type_url, nonce=self._nonce())
        response.resources.extend(Any.FromString(one.any) for one in found)
        return [response.SerializeToString()]

    def _delta(
        self, type_url: TypeUrl, known: Subscription, fresh: set[str], *, first: bool
    ) -> list[bytes]:
        if not first and not fresh:
            return []
        wanted = None if first and known.wildcard else fresh
        found = [
            one
            for one in self._find(type_url, wanted)
            if known.versions.get(one.name) != one.version or not one.version
        ]
        if not found and not (first and known.wildcard):
            return []
        response = DeltaDiscoveryResponse(type_url=type_url, nonce=self._nonce())
        response.resources.extend(
            Resource(name=one.name, version=one.version, resource=Any.FromString(one.any))
            for one in found
        )
        return [response.SerializeToString()]

    def _find(self, type_url: TypeUrl, names: Iterable[str] | None) -> list[Stored]:
        shelf = self._shelf.get(type_url, {})
        if names is None:
            return list(shelf.values())
        return [shelf[name] for name in sorted(names) if name in shelf]

    def _nonce(self) -> str:
        self._sent += 1
        return f"{NONCE_PREFIX}{self._sent}"


def can_serve(shelf: Shelf) -> bool:
    """True where Envoy would come up with what the store has."""
    return bool(shelf.get(types.CLUSTER)) and bool(shelf.get(types.LISTENER))
