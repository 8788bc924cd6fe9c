# SPDX-License-Identifier: Apache-2.0
"""Both kinds of request as one value."""

from __future__ import annotations

import pytest

from upstream import asks
from upstream.watch import CDS, HEALTH, RDS, Answer, Reply, Watches
from wire.proto.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
    Node,
    RpcStatus,
)


def test_sotw() -> None:
    message = DiscoveryRequest(type_url=RDS, resource_names=["80"], response_nonce="n")
    ask = asks.sotw(message.SerializeToString())
    assert ask == asks.SotwAsk(type_url=RDS, names=("80",), reply=Reply("n"), node=None)
    assert ask.apply(Watches()) == Answer()


def test_delta() -> None:
    message = DeltaDiscoveryRequest(
        type_url=RDS,
        node=Node(id="x"),
        resource_names_subscribe=["80"],
        resource_names_unsubscribe=["90"],
        initial_resource_versions={"70": "1"},
    )
    ask = asks.delta(message.SerializeToString())
    watches = Watches()
    assert ask.apply(watches) == Answer()
    watch = watches.get(RDS)
    assert watch is not None
    assert watch.names == {"70", "80"}
    assert ask.node is not None
    assert not ask.is_health


@pytest.mark.parametrize(
    ("detail", "reply"),
    [
        (RpcStatus(code=13, message="bad"), Reply("n", "bad", 13)),
        (RpcStatus(), Reply("n", "", 2)),
    ],
)
def test_refusal(detail: RpcStatus, reply: Reply) -> None:
    for decode, message in (
        (asks.sotw, DiscoveryRequest(type_url=CDS, response_nonce="n", error_detail=detail)),
        (asks.delta, DeltaDiscoveryRequest(type_url=CDS, response_nonce="n", error_detail=detail)),
    ):
        ask = decode(message.SerializeToString())
        assert ask.reply == reply
        assert ask.reply.refused


def test_health() -> None:
    assert asks.delta(DeltaDiscoveryRequest(type_url=HEALTH).SerializeToString()).is_health


@pytest.mark.parametrize("decode", [asks.sotw, asks.delta])
def test_garbage(decode: asks.Decode) -> None:
    with pytest.raises(asks.BadRequest):
        decode(b"\xff\xff")
