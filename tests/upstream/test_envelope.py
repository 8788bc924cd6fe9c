# SPDX-License-Identifier: Apache-2.0
"""Responses put together by hand, read by protobuf."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from hypothesis import given
from hypothesis import strategies as st

from upstream.envelope import Label, Piece, delta, sotw, varint
from wire.proto.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse

LABEL = Label("type.googleapis.com/x", "2026/1", "2026/1abc")
PIECES = st.lists(
    st.builds(
        lambda name, value: Piece(name, AnyMessage(type_url="x", value=value).SerializeToString()),
        st.text(max_size=200),
        st.binary(max_size=20_000),
    ),
    max_size=5,
)


@given(PIECES)
def test_sotw(pieces: list[Piece]) -> None:
    read = DiscoveryResponse.FromString(sotw(LABEL, pieces))
    assert (read.type_url, read.version_info, read.nonce) == LABEL
    assert [one.SerializeToString() for one in read.resources] == [p.any_bytes for p in pieces]


@given(PIECES, st.lists(st.text()))
def test_delta(pieces: list[Piece], removed: list[str]) -> None:
    read = DeltaDiscoveryResponse.FromString(delta(LABEL, pieces, removed))
    assert (read.type_url, read.system_version_info, read.nonce) == LABEL
    assert list(read.removed_resources) == removed
    assert [(one.name, one.resource.SerializeToString()) for one in read.resources] == pieces
    assert all(one.version == "" for one in read.resources)


def test_varint() -> None:
    assert [varint(n) for n in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\x01", b"\xac\x02"]
