# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bootstrap.inputs import BootstrapInputs, EnvoyPorts, Switches
from mesh.errors import BootstrapFailed
from tests.support.bootstrap import authored, inputs_for, parsed, validate

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def document(**fields: Any) -> dict[str, Any]:
    return dict(json.loads(authored(inputs_for(**fields))))


def warnings_of(**fields: Any) -> tuple[str, ...]:
    from bootstrap.author import author

    return author(inputs_for(**fields)).warnings


def cluster_names(data: dict[str, Any]) -> list[str]:
    return [cluster["name"] for cluster in data["static_resources"]["clusters"]]


def test_a_plain_sidecar() -> None:
    data = document()
    assert cluster_names(data) == ["prometheus_stats", "agent", "sds-grpc", "xds-grpc"]
    names = [listener["name"] for listener in data["static_resources"]["listeners"]]
    assert names == ["0.0.0.0_15090", "0.0.0.0_15021"]
    assert data["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC"
    assert "tracing" not in data
    assert "stats_sinks" not in data
    assert "cluster_manager" not in data


def test_names_are_envoys_own_also_those_with_digits() -> None:
    config = {"statusPort": 1, "proxyAdminPort": 2, "tracing": {"zipkin": {"address": "z:9411"}}}
    text = authored(inputs_for(proxy_config=config))
    assert '"trace_id_128bit": true' in text
    parsed(text)  # protobuf's own parser refuses unknown names


def test_everything_at_once_is_what_protobuf_understands() -> None:
    parsed(authored(everything()))


def everything() -> BootstrapInputs:
    return inputs_for(
        metadata={
            "METADATA_DISCOVERY": "true",
            "ENABLE_SELF_DISCOVERY": "true",
            "EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true",
            "file-credential": "true",
            "LOAD_STATS_CONFIG_JSON": '{"api_type": "GRPC", "transport_api_version": "V3"}',
        },
        proxy_config={
            "proxyAdminPort": 15000,
            "statusPort": 15020,
            "statsdUdpAddress": "10.0.0.9:9125",
            "tracing": {
                "datadog": {"address": "$(HOST_IP):8126"},
                "tlsSettings": {"mode": "ISTIO_MUTUAL", "subjectAltNames": ["spiffe://a/b"]},
            },
            "envoyMetricsService": {
                "address": "metrics:15000",
                "tlsSettings": {"mode": "ISTIO_MUTUAL"},
                "tcpKeepalive": {"probes": 3, "time": "10s", "interval": "1.5s"},
            },
            "envoyAccessLogService": {"address": "[fd00::9]:15000"},
        },
        host_ip="192.0.2.7",
        instance_ips=("10.0.0.1", "fd00::1"),
        outlier_log_path="/dev/stdout",
        ports=EnvoyPorts(
            secure_metrics=15091, secure_merged_metrics=15092, status_proxy_protocol=True
        ),
        switches=Switches(dual_stack=True, log_as_json=True, strip_fragment=False),
    )


@pytest.mark.envoy
def test_envoy_accepts_everything_at_once(tmp_path: Path) -> None:
    validate(authored(everything()), tmp_path)


@pytest.mark.envoy
def test_envoy_accepts_ipv6_alone(tmp_path: Path) -> None:
    validate(authored(inputs_for(instance_ips=("fd00::1",))), tmp_path)


def test_state_of_the_world_on_request() -> None:
    data = document(switches=Switches(delta_xds=False))
    assert data["dynamic_resources"]["ads_config"]["api_type"] == "GRPC"


def test_a_waypoint_always_discovers_over_delta() -> None:
    data = document(node_id="waypoint~10.0.0.1~w.ns~d", switches=Switches(delta_xds=False))
    assert data["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC"
    assert data["bootstrap_extensions"][0]["name"] == "metadata_discovery"


def test_metadata_discovery_is_dropped_without_delta() -> None:
    fields = {
        "metadata": {"METADATA_DISCOVERY": "true"},
        "switches": Switches(delta_xds=False),
    }
    assert [each["name"] for each in document(**fields)["bootstrap_extensions"]] == [
        "envoy.bootstrap.internal_listener"
    ]
    assert any("metadata discovery" in warning for warning in warnings_of(**fields))


def test_the_lightstep_token_has_a_file_of_its_own() -> None:
    from bootstrap.author import author

    tracing = {"lightstep": {"address": "l:443", "accessToken": "t0k3n"}}
    inputs = inputs_for(proxy_config={"tracing": tracing}, output="/c/envoy-rev.json")
    files = author(inputs).files
    assert list(files) == ["/c/lightstep_access_token.txt", "/c/envoy-rev.json"]
    assert files["/c/lightstep_access_token.txt"] == "t0k3n"
    config = json.loads(files["/c/envoy-rev.json"])["tracing"]["http"]["typed_config"]
    assert config["access_token_file"] == "/c/lightstep_access_token.txt"


def test_self_discovery_adds_the_local_cluster() -> None:
    data = document(metadata={"ENABLE_SELF_DISCOVERY": "true"})
    assert cluster_names(data)[-1] == "local_cluster"
    assert data["cluster_manager"]["local_cluster_name"] == "local_cluster"


def test_a_bad_address_names_its_field() -> None:
    config = {"tracing": {"zipkin": {"address": "nowhere"}}}
    with pytest.raises(BootstrapFailed, match=r"tracing\.zipkin\.address"):
        authored(inputs_for(proxy_config=config))
