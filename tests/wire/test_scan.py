# SPDX-License-Identifier: Apache-2.0
"""The walk of envelopes agrees with protobuf's own parser, on whole messages and on first bytes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from google.protobuf.any_pb2 import Any
from hypothesis import given
from hypothesis import strategies as st

from wire.proto.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse, Resource
from wire.scan import (
    NeedMore,
    Variant,
    any_type,
    carries_nonce,
    entries,
    envelope,
    peek_type,
    peek_version,
)

names = st.text(max_size=20).filter(
    lambda text: not any(0xD800 <= ord(char) < 0xE000 for char in text)
)
TYPE = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


def named(name: str, filling: bytes) -> Any:
    raw = name.encode()
    value = (
        (b"\x0a" + bytes([len(raw)]) + raw if raw else b"")
        + b"\x7a"
        + bytes([len(filling)])
        + filling
    )
    return Any(type_url=TYPE, value=value)


resources = st.lists(st.tuples(names, names, st.binary(max_size=100)), max_size=5)


@given(names, names, resources)
def test_sotw_agrees_with_protobuf(
    version: str, nonce: str, given_resources: list[tuple[str, str, bytes]]
) -> None:
    message = DiscoveryResponse(version_info=version, type_url=TYPE, nonce=nonce)
    message.resources.extend(named(name, filling) for name, _, filling in given_resources)
    raw = message.SerializeToString()
    assert peek_type(raw, Variant.SOTW) == TYPE
    assert peek_version(raw) == version
    assert envelope(raw, Variant.SOTW) == (TYPE, version, nonce, ())
    found = list(entries(raw, Variant.SOTW))
    assert [(one.name, one.version) for one in found] == [
        (name, version) for name, _, _ in given_resources
    ]
    assert [bytes(one.any) for one in found] == [
        one.SerializeToString() for one in message.resources
    ]
    assert all(any_type(one.any) == TYPE for one in found)
    assert carries_nonce(raw, nonce) is bool(nonce)


@given(names, names, resources, st.lists(names, max_size=3))
def test_delta_agrees_with_protobuf(
    version: str, nonce: str, given_resources: list[tuple[str, str, bytes]], removed: list[str]
) -> None:
    message = DeltaDiscoveryResponse(
        system_version_info=version, type_url=TYPE, nonce=nonce, removed_resources=removed
    )
    message.resources.extend(
        Resource(name=name, version=v, resource=named(name, filling))
        for name, v, filling in given_resources
    )
    raw = message.SerializeToString()
    assert peek_type(raw, Variant.DELTA) == TYPE
    assert envelope(raw, Variant.DELTA) == (TYPE, version, nonce, tuple(removed))
    found = list(entries(raw, Variant.DELTA))
    assert [(one.name, one.version, bytes(one.any)) for one in found] == [
        (one.name, one.version, one.resource.SerializeToString()) for one in message.resources
    ]


@given(resources.filter(bool), st.data())
def test_first_bytes_are_enough_and_fewer_are_asked_for(
    given_resources: list[tuple[str, str, bytes]], data: st.DataObject
) -> None:
    message = DiscoveryResponse(version_info="v" * 30, nonce="n")
    message.resources.extend(named(name, filling) for name, _, filling in given_resources)
    raw = message.SerializeToString()
    size = data.draw(st.integers(0, len(raw)))
    try:
        assert peek_type(raw[:size], Variant.SOTW) == TYPE
    except NeedMore:
        assert size < 2 + 30 + 5 + 4 + len(TYPE)


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error_and_nothing_else(raw: bytes) -> None:
    for variant in Variant:
        with suppress(ValueError):
            envelope(raw, variant)
            list(entries(raw, variant))
        with suppress(ValueError, NeedMore):
            peek_type(raw, variant)


def test_a_nonce_inside_a_resource_is_not_the_envelopes_far_away() -> None:
    inner = b"\x2a\x02n1" + b"x" * 100_000
    message = DiscoveryResponse(resources=[Any(type_url=TYPE, value=inner)], nonce="n2")
    raw = message.SerializeToString()
    assert carries_nonce(raw, "n2")
    assert not carries_nonce(raw, "n1")


def test_truncated_message_is_refused() -> None:
    raw = DiscoveryResponse(type_url=TYPE, nonce="n").SerializeToString()
    with pytest.raises(ValueError, match=r"beyond its message|inside a field"):
        envelope(raw[:-1], Variant.SOTW)


@pytest.mark.parametrize("head", [b"", b"\x0a", b"\x0a\x05abc", b"\x12\x01a", b"\x08\x01"])
def test_a_version_that_does_not_stand_there_is_none(head: bytes) -> None:
    assert peek_version(head) == ""


def test_groups_are_stepped_over() -> None:
    group = b"\x0b\x13\x12\x01x\x18\x05\x14\x0c"  # field 1, with field 2 inside it
    raw = group + DiscoveryResponse(type_url=TYPE, nonce="n").SerializeToString()
    assert peek_type(raw, Variant.SOTW) == TYPE
    assert envelope(raw, Variant.SOTW) == (TYPE, "", "n", ())
    assert list(entries(raw, Variant.SOTW)) == []
    for wrong in (b"\x0b", b"\x0b\x14", b"\x0c", b"\x0b\x12\x05"):
        with pytest.raises(ValueError, match=r"group|inside a field|wire type"):
            envelope(wrong, Variant.SOTW)


def test_what_stands_twice_counts_as_protobuf_counts_it() -> None:
    first = Resource(name="a", resource=Any(type_url="x", value=b"\x0a\x01n")).SerializeToString()
    second = Resource(name="b", resource=Any(type_url=TYPE)).SerializeToString()
    both = bytes([0x12, len(first + second)]) + first + second
    (found,) = entries(both, Variant.DELTA)
    (wanted,) = DeltaDiscoveryResponse.FromString(both).resources
    assert found.name == wanted.name == "b"
    assert any_type(found.any) == wanted.resource.type_url == TYPE
    assert Any.FromString(bytes(found.any)) == wanted.resource
