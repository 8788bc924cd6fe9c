# SPDX-License-Identifier: Apache-2.0
"""Answers from the store: to wildcard and named subscriptions, in both variants, each once."""

from __future__ import annotations

from agent.xds.kept import Stored
from agent.xds.offline import Offline, can_serve
from tests.support.fakeads import resource
from wire import types
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from wire.scan import Variant
from wire.types import TypeUrl


def shelf_of(type_url: TypeUrl, **versions: str) -> dict[str, Stored]:
    return {
        name: Stored(name, version, resource(type_url, name).SerializeToString())
        for name, version in versions.items()
    }


SHELF = {
    types.CLUSTER: shelf_of(types.CLUSTER, a="1", b="2"),
    types.ENDPOINT: shelf_of(types.ENDPOINT, a="1", b="1"),
    types.LISTENER: shelf_of(types.LISTENER, l="1"),
}


def delta_names(offline: Offline, request: DeltaDiscoveryRequest) -> list[list[str]]:
    answers = offline.on_request(request.SerializeToString())
    return [[r.name for r in DeltaDiscoveryResponse.FromString(raw).resources] for raw in answers]


def test_delta_wildcard_once() -> None:
    offline = Offline(Variant.DELTA, SHELF)
    request = DeltaDiscoveryRequest(type_url=types.CLUSTER)
    assert delta_names(offline, request) == [["a", "b"]]
    assert (
        delta_names(
            offline, DeltaDiscoveryRequest(type_url=types.CLUSTER, response_nonce="store-1")
        )
        == []
    )


def test_delta_sends_only_what_envoy_does_not_have() -> None:
    offline = Offline(Variant.DELTA, SHELF)
    request = DeltaDiscoveryRequest(
        type_url=types.CLUSTER, initial_resource_versions={"a": "1", "b": "1"}
    )
    assert delta_names(offline, request) == [["b"]]


def test_delta_wildcard_answers_even_if_envoy_has_all() -> None:
    offline = Offline(Variant.DELTA, SHELF)
    request = DeltaDiscoveryRequest(
        type_url=types.CLUSTER, initial_resource_versions={"a": "1", "b": "2"}
    )
    assert delta_names(offline, request) == [[]]


def test_delta_names_as_they_come() -> None:
    offline = Offline(Variant.DELTA, SHELF)
    first = DeltaDiscoveryRequest(
        type_url=types.ENDPOINT, resource_names_subscribe=["a", "unknown"]
    )
    assert delta_names(offline, first) == [["a"]]
    more = DeltaDiscoveryRequest(type_url=types.ENDPOINT, resource_names_subscribe=["b"])
    assert delta_names(offline, more) == [["b"]]
    again = DeltaDiscoveryRequest(type_url=types.ENDPOINT, resource_names_unsubscribe=["b"])
    assert delta_names(offline, again) == []
    assert delta_names(offline, more) == [["b"]]


def sotw_names(offline: Offline, request: DiscoveryRequest) -> list[int]:
    answers = offline.on_request(request.SerializeToString())
    return [len(DiscoveryResponse.FromString(raw).resources) for raw in answers]


def test_sotw_wildcard_then_ack_is_silent() -> None:
    offline = Offline(Variant.SOTW, SHELF)
    assert sotw_names(offline, DiscoveryRequest(type_url=types.CLUSTER)) == [2]
    assert (
        sotw_names(offline, DiscoveryRequest(type_url=types.CLUSTER, response_nonce="store-1"))
        == []
    )


def test_sotw_new_names_get_the_whole_list() -> None:
    offline = Offline(Variant.SOTW, SHELF)
    assert sotw_names(offline, DiscoveryRequest(type_url=types.ENDPOINT, resource_names=["a"])) == [
        1
    ]
    request = DiscoveryRequest(
        type_url=types.ENDPOINT, resource_names=["a", "b"], response_nonce="store-1"
    )
    assert sotw_names(offline, request) == [2]
    assert sotw_names(offline, request) == []


def test_unknown_type_is_silent_in_sotw_names() -> None:
    offline = Offline(Variant.SOTW, SHELF)
    assert sotw_names(offline, DiscoveryRequest(type_url=types.ROUTE, resource_names=["80"])) == []


def test_a_store_without_listeners_cannot_serve() -> None:
    assert can_serve(SHELF)
    assert not can_serve({types.CLUSTER: SHELF[types.CLUSTER]})
    assert not can_serve({})
