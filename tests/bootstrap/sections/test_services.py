# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import BootstrapFailed
from tests.support.bootstrap import authored, inputs_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def document(**config: Any) -> dict[str, Any]:
    return dict(json.loads(authored(inputs_for(proxy_config=config))))


def sinks(data: dict[str, Any]) -> list[str]:
    return [sink["name"] for sink in data.get("stats_sinks", [])]


def test_metrics_service_has_cluster_and_sink() -> None:
    data = document(envoyMetricsService={"address": "m:1"}, statsdUdpAddress="10.0.0.1:8125")
    assert data["static_resources"]["clusters"][-1]["name"] == "envoy_metrics_service"
    assert sinks(data) == ["envoy.stat_sinks.metrics_service", "envoy.stat_sinks.statsd"]


def test_the_deprecated_address_is_used() -> None:
    data = document(envoyMetricsServiceAddress="old:2")
    cluster = data["static_resources"]["clusters"][-1]
    assert "old" in json.dumps(cluster)
    assert sinks(data) == ["envoy.stat_sinks.metrics_service"]


def test_access_log_service_has_a_cluster_but_no_sink() -> None:
    keepalive = {"probes": 3, "time": "10s"}
    data = document(envoyAccessLogService={"address": "a:1", "tcpKeepalive": keepalive})
    cluster = data["static_resources"]["clusters"][-1]
    assert cluster["name"] == "envoy_accesslog_service"
    assert cluster["upstream_connection_options"]["tcp_keepalive"] == {
        "keepalive_probes": 3,
        "keepalive_time": 10,
    }
    assert sinks(data) == []


def test_a_service_without_address_is_none() -> None:
    data = document(envoyAccessLogService={}, envoyMetricsService={})
    assert data["static_resources"]["clusters"][-1]["name"] == "xds-grpc"


def test_a_bad_address_names_its_field() -> None:
    with pytest.raises(BootstrapFailed, match=r"envoyAccessLogService\.address"):
        document(envoyAccessLogService={"address": "nowhere"})
