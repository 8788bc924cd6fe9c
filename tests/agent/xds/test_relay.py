# SPDX-License-Identifier: Apache-2.0
"""The relay's rules as dialogues, in both variants: what goes up, what is kept, what never reaches Envoy."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any

from agent.xds.relay import Acknowledged, Command, Refused, Relay, Route, SendUp
from wire import types
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
    RpcStatus,
)
from wire.scan import Variant
from wire.types import TypeUrl

VARIANTS = pytest.mark.parametrize(
    "variant", list(Variant), ids=lambda variant: variant.name.lower()
)


def ask(variant: Variant, type_url: str, nonce: str = "", error: str = "") -> bytes:
    detail = RpcStatus(code=13, message=error) if error else None
    if variant is Variant.SOTW:
        return DiscoveryRequest(
            type_url=type_url, response_nonce=nonce, error_detail=detail
        ).SerializeToString()
    return DeltaDiscoveryRequest(
        type_url=type_url, response_nonce=nonce, error_detail=detail
    ).SerializeToString()


def answer(variant: Variant, type_url: str, nonce: str, count: int = 1) -> bytes:
    body = Any(type_url=type_url, value=b"\x0a\x01a")
    if variant is Variant.SOTW:
        return DiscoveryResponse(
            version_info="7", type_url=type_url, nonce=nonce, resources=[body] * count
        ).SerializeToString()
    return DeltaDiscoveryResponse(
        type_url=type_url,
        nonce=nonce,
        resources=[Resource(name="a", version="7", resource=body)] * count,
    ).SerializeToString()


def types_sent(commands: list[Command], variant: Variant) -> list[str]:
    parse = DiscoveryRequest if variant is Variant.SOTW else DeltaDiscoveryRequest
    return [parse.FromString(one.message).type_url for one in commands if isinstance(one, SendUp)]


@VARIANTS
def test_requests_go_up_as_they_came(variant: Variant) -> None:
    relay = Relay(variant)
    raw = ask(variant, types.CLUSTER) + b"\xfa\x01\x03abc"  # with a field nobody knows
    assert relay.on_request(raw) == [SendUp(raw)]


@VARIANTS
def test_own_requests_follow_the_first_lds_request_once(variant: Variant) -> None:
    relay = Relay(
        variant, injected=(types.NAME_TABLE, types.PROXY_CONFIG), health=ask(variant, types.HEALTH)
    )
    assert types_sent(relay.on_request(ask(variant, types.CLUSTER)), variant) == [types.CLUSTER]
    first = relay.on_request(ask(variant, types.LISTENER))
    assert types_sent(first, variant) == [
        types.LISTENER,
        types.NAME_TABLE,
        types.PROXY_CONFIG,
        types.HEALTH,
    ]
    assert types_sent(relay.on_request(ask(variant, types.LISTENER)), variant) == [types.LISTENER]


@VARIANTS
def test_health_waits_for_the_first_lds_request(variant: Variant) -> None:
    relay = Relay(variant)
    sick = ask(variant, types.HEALTH, error="unhealthy")
    assert relay.on_health(sick) == []
    assert relay.on_request(ask(variant, types.HEALTH)) == []
    assert relay.on_request(ask(variant, types.LISTENER))[-1] == SendUp(sick)
    assert relay.on_health(ask(variant, types.HEALTH)) == [SendUp(ask(variant, types.HEALTH))]


@VARIANTS
def test_an_ack_hands_over_what_was_kept(variant: Variant) -> None:
    relay = Relay(variant)
    old, new = answer(variant, types.CLUSTER, "n1"), answer(variant, types.CLUSTER, "n2")
    relay.on_forwarded(types.CLUSTER, old)
    relay.on_forwarded(types.CLUSTER, new)
    ack = ask(variant, types.CLUSTER, "n2")
    assert relay.on_request(ack) == [SendUp(ack), Acknowledged(types.CLUSTER, (new,))]
    late = ask(variant, types.CLUSTER, "n1")
    assert relay.on_request(late) == [SendUp(late)]


@VARIANTS
def test_a_nack_drops_it(variant: Variant) -> None:
    relay = Relay(variant)
    relay.on_forwarded(types.CLUSTER, answer(variant, types.CLUSTER, "n1"))
    nack = ask(variant, types.CLUSTER, "n1", error="bad")
    assert relay.on_request(nack) == [SendUp(nack), Refused(types.CLUSTER, "n1", "bad")]
    ack = ask(variant, types.CLUSTER, "n1")
    assert relay.on_request(ack) == [SendUp(ack)]


@VARIANTS
def test_an_ack_of_another_type_is_another_matter(variant: Variant) -> None:
    relay = Relay(variant)
    relay.on_forwarded(types.CLUSTER, answer(variant, types.CLUSTER, "n1"))
    ack = ask(variant, types.LISTENER, "n1")
    assert relay.on_request(ack) == [SendUp(ack)]


ROUTES = {
    types.CLUSTER: Route.KEEP,
    types.EXTENSION_CONFIG: Route.KEEP,
    types.SECRET: Route.FORWARD,
    types.WORKLOAD: Route.FORWARD,
    types.NAME_TABLE: Route.LOCAL,
    types.PROXY_CONFIG: Route.DROP,
    types.HEALTH: Route.DROP,
    "type.googleapis.com/acme.Thing": Route.DROP,
}


@VARIANTS
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("type_url", ROUTES)
def test_where_responses_go(variant: Variant, count: int, type_url: TypeUrl) -> None:
    relay = Relay(variant, injected=(types.NAME_TABLE,))
    assert relay.route(answer(variant, type_url, "n", count), whole=True) == (
        ROUTES[type_url],
        type_url,
    )


@VARIANTS
def test_without_a_store_nothing_is_kept(variant: Variant) -> None:
    relay = Relay(variant, keep=False)
    assert relay.route(answer(variant, types.CLUSTER, "n"), whole=True) == (
        Route.FORWARD,
        types.CLUSTER,
    )


@VARIANTS
def test_too_few_bytes_are_waited_for(variant: Variant) -> None:
    relay = Relay(variant)
    raw = answer(variant, types.CLUSTER, "n")
    assert relay.route(raw[:10], whole=False) is None
    assert relay.route(b"", whole=True) == (Route.DROP, "")
    assert relay.route(b"\xff" * 20, whole=False) == (
        Route.FORWARD,
        "",
    )  # Envoy says what is wrong with it


@VARIANTS
def test_local_answers(variant: Variant) -> None:
    relay = Relay(variant)
    message = answer(variant, types.NAME_TABLE, "n5")
    [good] = relay.on_local(message, None)
    [bad] = relay.on_local(message, "no such table")
    assert isinstance(good, SendUp)
    assert isinstance(bad, SendUp)
    parse = DiscoveryRequest if variant is Variant.SOTW else DeltaDiscoveryRequest
    ack, nack = parse.FromString(good.message), parse.FromString(bad.message)
    assert (ack.type_url, ack.response_nonce, ack.HasField("error_detail")) == (
        types.NAME_TABLE,
        "n5",
        False,
    )
    assert (nack.error_detail.code, nack.error_detail.message) == (13, "no such table")
    if isinstance(ack, DiscoveryRequest) and isinstance(nack, DiscoveryRequest):
        assert ack.version_info == nack.version_info == "7"
