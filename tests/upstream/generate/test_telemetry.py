# SPDX-License-Identifier: Apache-2.0
"""Filters that only Istio's Envoy has: their names and the types that they travel as."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from udpa.type.v1.typed_struct_pb2 import TypedStruct

from upstream.generate import telemetry


def inside(made: Any) -> tuple[str, dict[str, Any]]:
    found = TypedStruct()
    assert made.typed_config.Unpack(found)
    return found.type_url.rpartition("/")[2], json_format.MessageToDict(found.value)


@pytest.mark.parametrize("made", [telemetry.upstream_exchange(), telemetry.network_exchange()])
def test_exchange_on_tcp(made: Any) -> None:
    kind, values = inside(made)
    assert (made.name, kind) == (
        "istio.metadata_exchange",
        "envoy.tcp.metadataexchange.config.MetadataExchange",
    )
    assert values == {"protocol": "istio-peer-exchange", "enable_discovery": True}


@pytest.mark.parametrize(("inbound", "side"), [(True, "downstream"), (False, "upstream")])
def test_exchange_in_headers(side: str, *, inbound: bool) -> None:
    kind, values = inside(telemetry.http_exchange(inbound=inbound))
    assert kind == "io.istio.http.peer_metadata.Config"
    assert values == {
        f"{side}_discovery": [{"istio_headers": {}}, {"workload_discovery": {}}],
        f"{side}_propagation": [{"istio_headers": {}}],
    }


def test_alpn_by_the_clients_version() -> None:
    made = telemetry.alpn()
    kind, values = inside(made)
    assert (made.name, kind.rpartition(".")[2]) == ("istio.alpn", "FilterConfig")
    offered = {one["upstream_protocol"]: one["alpn_override"] for one in values["alpn_override"]}
    assert offered == {
        "HTTP10": ["istio-http/1.0", "istio", "http/1.0"],
        "HTTP11": ["istio-http/1.1", "istio", "http/1.1"],
        "HTTP2": ["istio-h2", "istio", "h2"],
    }
