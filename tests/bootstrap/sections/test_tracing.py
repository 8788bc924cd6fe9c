# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import BootstrapFailed
from tests.support.bootstrap import authored, inputs_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def document(tracing: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return dict(json.loads(authored(inputs_for(proxy_config={"tracing": tracing}, **fields))))


@pytest.mark.parametrize(
    ("kind", "cluster", "http2"),
    [
        ("zipkin", "zipkin", False),
        ("lightstep", "lightstep", True),
        ("datadog", "datadog_agent", False),
    ],
)
def test_each_tracer_has_its_cluster(kind: str, cluster: str, http2: bool) -> None:
    data = document({kind: {"address": "collector:1"}})
    found = data["static_resources"]["clusters"][-1]
    assert found["name"] == cluster
    assert found["type"] == "STRICT_DNS"
    assert ("typed_extension_protocol_options" in found) == http2
    assert data["tracing"]["http"]["name"] == f"envoy.tracers.{kind}"


def test_alpn_is_for_http2_collectors_only() -> None:
    tls = {"mode": "SIMPLE"}
    for kind, expected in (("zipkin", None), ("lightstep", ["h2"])):
        data = document({kind: {"address": "collector:1"}, "tlsSettings": tls})
        cluster = data["static_resources"]["clusters"][-1]
        context = cluster["transport_socket"]["typed_config"]["common_tls_context"]
        assert context.get("alpn_protocols") == expected


def test_datadog_carries_the_nodes_cluster() -> None:
    data = document({"datadog": {"address": "d:1"}}, cluster="reviews.shop")
    assert data["tracing"]["http"]["typed_config"]["service_name"] == "reviews.shop"


def test_stackdriver_needs_a_project() -> None:
    with pytest.raises(BootstrapFailed, match="gcp_project"):
        document({"stackdriver": {}})
    data = document({"stackdriver": {}}, metadata={"PLATFORM_METADATA": {"gcp_project": "p"}})
    assert "tracing" not in data
