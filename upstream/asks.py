# SPDX-License-Identifier: Apache-2.0
"""Discovery requests of both variants as one value. Pure. Source: discovery.proto; spec/upstream.md 2.6, 2.8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from mesh.errors import MeshError
from upstream.watch import HEALTH, Reply, Verdict, Watches
from wire.proto.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest, Node


class BadRequest(MeshError):
    """Bytes that are no discovery request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request: about which type, in answer to what, and what it changes."""

    type_url: str
    reply: Reply
    node: Node | None
    """None when the request carries none, as all but the first do."""

    @property
    def is_health(self) -> bool:
        """A report of the agent's about its workload: never answered."""
        return self.type_url == HEALTH

    def apply(self, watches: Watches) -> Verdict:
        """Change the watches; what that calls for."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class SotwAsk(Ask):
    """A DiscoveryRequest."""

    names: tuple[str, ...] = ()

    def apply(self, watches: Watches) -> Verdict:
        return watches.on_sotw(self.type_url, self.names, self.reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaAsk(Ask):
    """A DeltaDiscoveryRequest."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)

    def apply(self, watches: Watches) -> Verdict:
        return watches.on_delta(
            self.type_url, self.subscribe, self.unsubscribe, self.held, self.reply
        )


Decode = Callable[[bytes], Ask]


def sotw(message: bytes) -> Ask:
    """Raises BadRequest."""
    try:
        request = DiscoveryRequest.FromString(message)
    except DecodeError as error:
        raise BadRequest("not a discovery request") from error
    return SotwAsk(
        type_url=request.type_url,
        node=request.node if request.HasField("node") else None,
        reply=_reply(request),
        names=tuple(request.resource_names),
    )


def delta(message: bytes) -> Ask:
    """Raises BadRequest."""
    try:
        request = DeltaDiscoveryRequest.FromString(message)
    except DecodeError as error:
        raise BadRequest("not a delta discovery request") from error
    return DeltaAsk(
        type_url=request.type_url,
        node=request.node if request.HasField("node") else None,
        reply=_reply(request),
        subscribe=tuple(request.resource_names_subscribe),
        unsubscribe=tuple(request.resource_names_unsubscribe),
        held=dict(request.initial_resource_versions),
    )


def _reply(request: DiscoveryRequest | DeltaDiscoveryRequest) -> Reply:
    if not request.HasField("error_detail"):
        return Reply(request.response_nonce)
    # A refusal without code and text is still a refusal: 2 is gRPC's UNKNOWN.
    return Reply(
        request.response_nonce, request.error_detail.message, request.error_detail.code or 2
    )
