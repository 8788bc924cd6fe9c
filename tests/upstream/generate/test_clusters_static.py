# SPDX-License-Identifier: Apache-2.0
"""The clusters that need no configuration at all."""

from __future__ import annotations

from tests.upstream.generate.made import clusters, plain
from tests.upstream.support import sidecar, world
from upstream.proxy import ProxyType

LIMITS = dict.fromkeys(
    ["maxConnections", "maxPendingRequests", "maxRequests", "maxRetries"], 4294967295
)


def test_a_router_has_no_passthrough() -> None:
    assert set(clusters(sidecar(kind=ProxyType.ROUTER), world())) == {"BlackHoleCluster"}
    assert set(clusters(sidecar(), world())) == {
        "BlackHoleCluster",
        "PassthroughCluster",
        "InboundPassthroughCluster",
    }


def test_the_black_hole_has_no_endpoints() -> None:
    made = plain(clusters(sidecar(), world(mesh="connectTimeout: 3s"))["BlackHoleCluster"])
    assert made == {
        "name": "BlackHoleCluster",
        "altStatName": "BlackHoleCluster;",
        "type": "STATIC",
        "connectTimeout": "3s",
    }


def test_passthrough_goes_where_the_client_meant_to_and_speaks_its_protocol() -> None:
    made = plain(clusters(sidecar(), world())["PassthroughCluster"])
    (options,) = made.pop("typedExtensionProtocolOptions").values()
    assert options.pop("@type").endswith(".HttpProtocolOptions")
    assert options == {
        "commonHttpProtocolOptions": {"idleTimeout": "300s"},
        "useDownstreamProtocolConfig": {"httpProtocolOptions": {}, "http2ProtocolOptions": {}},
    }
    assert made == {
        "name": "PassthroughCluster",
        "altStatName": "PassthroughCluster;",
        "type": "ORIGINAL_DST",
        "connectTimeout": "10s",
        "lbPolicy": "CLUSTER_PROVIDED",
        "circuitBreakers": {"thresholds": [LIMITS]},
    }


def test_only_istios_envoy_exchanges_metadata() -> None:
    stock = clusters(sidecar(), world())["PassthroughCluster"]
    istio = clusters(sidecar(), world(istio_filters=True))["PassthroughCluster"]
    assert [one.name for one in stock.filters] == []
    assert [one.name for one in istio.filters] == ["istio.metadata_exchange"]
