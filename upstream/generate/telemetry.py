# SPDX-License-Identifier: Apache-2.0
"""Istio's own filters, which a stock Envoy lacks: metadata exchange, ALPN, statistics. Pure.

They exist only under the profile ``istio``. Their types are not in xds-protos, so they travel as TypedStruct, or as
an Any of a type URL that only Istio's Envoy knows. Source: spec/upstream.md 7.1, 7.3, 17.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envoy.config.cluster.v3 import filter_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import Struct
from udpa.type.v1 import typed_struct_pb2

from upstream.generate.resource import packed

EXCHANGE = "istio.metadata_exchange"
_TCP_EXCHANGE = "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange"
_ALPN = "type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig"
_PEER_METADATA = "type.googleapis.com/io.istio.http.peer_metadata.Config"


def _typed(type_url: str, values: Mapping[str, Any]) -> AnyMessage:
    struct = Struct()
    struct.update(values)
    return packed(typed_struct_pb2.TypedStruct(type_url=type_url, value=struct))


def _exchange() -> AnyMessage:
    return _typed(_TCP_EXCHANGE, {"protocol": "istio-peer-exchange", "enable_discovery": True})


def upstream_exchange() -> filter_pb2.Filter:
    """Tells the server who calls, on plain TCP."""
    return filter_pb2.Filter(name=EXCHANGE, typed_config=_exchange())


def network_exchange() -> listener_components_pb2.Filter:
    """The other end of ``upstream_exchange``."""
    return listener_components_pb2.Filter(name=EXCHANGE, typed_config=_exchange())


def http_exchange(*, inbound: bool) -> hcm_pb2.HttpFilter:
    """Peer metadata in HTTP headers."""
    methods: list[dict[str, Any]] = [{"istio_headers": {}}, {"workload_discovery": {}}]
    side = "downstream" if inbound else "upstream"
    values = {f"{side}_discovery": methods, f"{side}_propagation": [{"istio_headers": {}}]}
    return hcm_pb2.HttpFilter(name=EXCHANGE, typed_config=_typed(_PEER_METADATA, values))


def alpn() -> hcm_pb2.HttpFilter:
    """Offers, by the client's HTTP version, the protocols that tell an Istio proxy it is one of us."""
    versions = {
        "HTTP10": ("istio-http/1.0", "istio", "http/1.0"),
        "HTTP11": ("istio-http/1.1", "istio", "http/1.1"),
        "HTTP2": ("istio-h2", "istio", "h2"),
    }
    overrides = [
        {"upstream_protocol": version, "alpn_override": list(names)}
        for version, names in versions.items()
    ]
    config = _typed(_ALPN, {"alpn_override": overrides})
    return hcm_pb2.HttpFilter(name="istio.alpn", typed_config=config)
