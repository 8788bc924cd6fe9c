# SPDX-License-Identifier: Apache-2.0
"""What one stream of Envoy and its stream upstream owe each other. Pure: messages in, commands out.

Answers to spec/agent.md 4.4, 4.5, 4.8 and 4.9; both protocol variants with one set of rules.

Requests go up in order and unchanged. Behind the first LDS request of a stream go our own: name
table, ProxyConfig, and the last word on the application's health. Responses go down unchanged,
except those of types that the agent asked for itself. A response is *kept* until Envoy's answer:
an ACK hands it to the store, a NACK or a newer response of the type drops it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from mmap import mmap
from typing import Final, NamedTuple

from wire import types
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    RpcStatus,
)
from wire.scan import NeedMore, Variant, carries_nonce, peek_type
from wire.types import TypeUrl

INTERNAL: Final = 13
"""gRPC code of the peer's NACKs for types that it handles itself."""
KEPT_PER_TYPE: Final = 4
"""Responses of one type that may wait for Envoy's answer and still reach the store."""
PEEK_LIMIT: Final = 64 * 1024
"""A message that has not named its type by then is no Discovery response."""

STORED: Final = frozenset(
    {types.CLUSTER, types.ENDPOINT, types.LISTENER, types.ROUTE, types.EXTENSION_CONFIG}
)
"""DESIGN 4.3: what Envoy needs to serve traffic. Never secrets."""

Body = bytes | bytearray | mmap


class Route(Enum):
    """What to do with a response."""

    FORWARD = auto()
    KEEP = auto()
    """Forward, and keep a copy until Envoy answers."""
    LOCAL = auto()
    """For the agent itself: collect it, then ``on_local``."""
    DROP = auto()
    """Not for Envoy (spec/agent.md 4.5)."""


class SendUp(NamedTuple):
    """Send this message to the control plane."""

    message: bytes


class Acknowledged(NamedTuple):
    """Envoy took these responses of one variant, oldest first: the store may have them."""

    type_url: TypeUrl
    messages: tuple[Body, ...]


class Refused(NamedTuple):
    """Envoy refused a version; it keeps what it had."""

    type_url: TypeUrl
    nonce: str
    why: str


Command = SendUp | Acknowledged | Refused


@dataclass(slots=True)
class Subscription:
    """What Envoy asks for of one type, as far as a relay has to know it."""

    names: set[str] = field(default_factory=set)
    wildcard: bool = True
    versions: dict[str, str] = field(default_factory=dict)
    """Delta: what Envoy said it has (initial_resource_versions)."""
    version: str = ""
    """SotW: the version that Envoy has."""
    waiting: bool = True
    """A request that no response has followed yet."""


class Request(NamedTuple):
    """A request of Envoy, in the words that both variants share."""

    type_url: TypeUrl
    nonce: str
    error: str | None
    subscribe: tuple[str, ...]
    unsubscribe: tuple[str, ...]
    versions: Mapping[str, str]
    version: str


def parse_request(raw: bytes, variant: Variant) -> Request:
    """Raises ``google.protobuf.message.DecodeError`` for what is no request."""
    if variant is Variant.SOTW:
        sotw = DiscoveryRequest.FromString(raw)
        return Request(
            TypeUrl(sotw.type_url),
            sotw.response_nonce,
            sotw.error_detail.message if sotw.HasField("error_detail") else None,
            tuple(sotw.resource_names),
            (),
            {},
            sotw.version_info,
        )
    delta = DeltaDiscoveryRequest.FromString(raw)
    return Request(
        TypeUrl(delta.type_url),
        delta.response_nonce,
        delta.error_detail.message if delta.HasField("error_detail") else None,
        tuple(delta.resource_names_subscribe),
        tuple(delta.resource_names_unsubscribe),
        dict(delta.initial_resource_versions),
        "",
    )


def health_request(variant: Variant, fault: str | None, code: int) -> bytes:
    """The application's health as a request: an error in it means unhealthy (4.8)."""
    detail = None if fault is None else RpcStatus(code=code, message=fault)
    if variant is Variant.SOTW:
        return DiscoveryRequest(type_url=types.HEALTH, error_detail=detail).SerializeToString()
    return DeltaDiscoveryRequest(type_url=types.HEALTH, error_detail=detail).SerializeToString()


class Relay:
    """One stream of Envoy. ``injected`` are the types that the agent asks for itself."""

    def __init__(
        self,
        variant: Variant,
        *,
        injected: tuple[TypeUrl, ...] = (),
        keep: bool = True,
        health: bytes = b"",
    ) -> None:
        self.variant = variant
        self.subscriptions: dict[TypeUrl, Subscription] = {}
        self.listeners_asked = False
        """The first LDS request is through: our own requests may follow."""
        self._injected = injected
        self._keep = keep
        self._health = health
        self._kept: dict[TypeUrl, deque[Body]] = {}

    # ---- requests ----

    def on_request(self, raw: bytes) -> list[Command]:
        """Envoy said something."""
        request = parse_request(raw, self.variant)
        if request.type_url == types.HEALTH and not self.listeners_asked:
            return []  # a workload that the control plane does not know yet (4.4)
        self._note(request)
        commands: list[Command] = [SendUp(raw), *self._judge(request)]
        if request.type_url == types.LISTENER and not self.listeners_asked:
            self.listeners_asked = True
            commands += [SendUp(self._ask(type_url)) for type_url in self._injected]
            if self._health:
                commands.append(SendUp(self._health))
        return commands

    def on_health(self, raw: bytes) -> list[Command]:
        """The application's health changed; it is told again on each new stream."""
        self._health = raw
        return [SendUp(raw)] if self.listeners_asked else []

    def _note(self, request: Request) -> None:
        known = self.subscriptions.get(request.type_url)
        if known is None:
            known = self.subscriptions[request.type_url] = Subscription(
                wildcard=not request.subscribe, versions=dict(request.versions)
            )
        if self.variant is Variant.SOTW:
            changed = set(request.subscribe) != known.names
            known.names = set(request.subscribe)
            known.wildcard = known.wildcard and not request.subscribe
            known.version = request.version
            known.waiting = known.waiting or changed
            return
        known.wildcard = known.wildcard or "*" in request.subscribe
        fresh = set(request.subscribe) - known.names - {"*"}
        known.names |= fresh
        known.names -= set(request.unsubscribe)
        known.waiting = known.waiting or bool(fresh)

    def _judge(self, request: Request) -> list[Command]:
        """Is it Envoy's answer to a response that we kept?"""
        if not request.nonce:
            return []
        if request.error is not None:
            self._take_kept(request)
            return [Refused(request.type_url, request.nonce, request.error)]
        taken = self._take_kept(request)
        return [Acknowledged(request.type_url, taken)] if taken else []

    def _take_kept(self, request: Request) -> tuple[Body, ...]:
        """The response with this nonce; those before it were overtaken, or were never answered."""
        kept = self._kept.get(request.type_url, deque())
        for position, message in enumerate(kept):
            if carries_nonce(message, request.nonce):
                for _ in range(position + 1):
                    kept.popleft()
                return (message,)
        return ()

    def _ask(self, type_url: TypeUrl) -> bytes:
        if self.variant is Variant.SOTW:
            return DiscoveryRequest(type_url=type_url).SerializeToString()
        return DeltaDiscoveryRequest(type_url=type_url).SerializeToString()

    # ---- responses ----

    def route(self, head: bytes | memoryview, *, whole: bool) -> tuple[Route, TypeUrl] | None:
        """What to do with a response that begins so, and its type; None: more bytes are needed."""
        try:
            type_url = peek_type(head, self.variant)
        except NeedMore:
            nameless = whole or len(head) > PEEK_LIMIT
            return (Route.DROP, TypeUrl("")) if nameless else None
        except ValueError:
            return Route.FORWARD, TypeUrl(
                ""
            )  # not for us to judge: Envoy refuses it in its own words
        return self._route_of(type_url), type_url

    def _route_of(self, type_url: TypeUrl) -> Route:
        if type_url in self._injected:
            return Route.LOCAL
        if not type_url.startswith(types.ENVOY_PREFIX) and type_url != types.WORKLOAD:
            return Route.DROP
        return Route.KEEP if self._keep and type_url in STORED else Route.FORWARD

    def on_forwarded(self, type_url: TypeUrl, message: Body) -> None:
        """A response of a kept type is on its way to Envoy."""
        kept = self._kept.setdefault(type_url, deque(maxlen=KEPT_PER_TYPE))
        kept.append(message)

    def bodies(self, message: bytes) -> list[bytes]:
        """The resources of a whole response, each as its own message."""
        if self.variant is Variant.SOTW:
            return [each.value for each in DiscoveryResponse.FromString(message).resources]
        found = DeltaDiscoveryResponse.FromString(message).resources
        return [each.resource.value for each in found]

    def on_local(self, message: bytes, error: str | None) -> list[Command]:
        """A response for the agent was handled; ``error`` says why it could not be used."""
        detail = None if error is None else RpcStatus(code=INTERNAL, message=error)
        if self.variant is Variant.SOTW:
            sotw = DiscoveryResponse.FromString(message)
            answer = DiscoveryRequest(
                version_info=sotw.version_info,
                type_url=sotw.type_url,
                response_nonce=sotw.nonce,
                error_detail=detail,
            )
            return [SendUp(answer.SerializeToString())]
        delta = DeltaDiscoveryResponse.FromString(message)
        reply = DeltaDiscoveryRequest(
            type_url=delta.type_url, response_nonce=delta.nonce, error_detail=detail
        )
        return [SendUp(reply.SerializeToString())]
