# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap.inputs import EnvoyPorts, Switches
from tests.support.bootstrap import authored, inputs_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def listeners(**fields: Any) -> dict[str, Any]:
    data = json.loads(authored(inputs_for(**fields)))
    return {listener["name"]: listener for listener in data["static_resources"]["listeners"]}


def routes(listener: dict[str, Any]) -> dict[str, str]:
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return {
        route["match"]["prefix"]: route["route"]["cluster"]
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]
    }


def test_ports_are_the_operators() -> None:
    found = listeners(ports=EnvoyPorts(status=1, prometheus=2))
    assert list(found) == ["0.0.0.0_2", "0.0.0.0_1"]
    assert routes(found["0.0.0.0_2"]) == {"/stats/prometheus": "prometheus_stats"}
    assert routes(found["0.0.0.0_1"]) == {"/healthz/ready": "agent"}
    assert all(each["ignore_global_conn_limit"] for each in found.values())


def test_metrics_on_loopback_only() -> None:
    config = {"proxyMetadata": {"METRICS_LOCALHOST_ACCESS_ONLY": "true"}}
    assert list(listeners(proxy_config=config)) == ["127.0.0.1_15090", "0.0.0.0_15021"]
    config = {"proxyMetadata": {"METRICS_LOCALHOST_ACCESS_ONLY": "1"}}
    assert list(listeners(proxy_config=config)) == ["0.0.0.0_15090", "0.0.0.0_15021"]


def test_dual_stack_binds_both() -> None:
    found = listeners(instance_ips=("10.0.0.1", "fd00::1"), switches=Switches(dual_stack=True))
    for listener in found.values():
        other = listener["additional_addresses"][0]["address"]["socket_address"]
        assert other["address"] == "::"


def test_proxy_protocol_is_optional_for_the_caller() -> None:
    found = listeners(ports=EnvoyPorts(status_proxy_protocol=True))["0.0.0.0_15021"]
    config = found["listener_filters"][0]["typed_config"]
    assert config["allow_requests_without_proxy_protocol"] is True


def test_secure_metrics_demand_a_mesh_certificate() -> None:
    found = listeners(ports=EnvoyPorts(secure_metrics=15091, secure_merged_metrics=15092))
    assert list(found)[1:3] == ["0.0.0.0_15091", "0.0.0.0_15092"]
    assert routes(found["0.0.0.0_15092"]) == {"/stats/prometheus": "agent", "/metrics": "agent"}
    chain = found["0.0.0.0_15091"]["filter_chains"][0]
    assert chain["filter_chain_match"] == {"transport_protocol": "tls"}
    assert chain["transport_socket"]["typed_config"]["require_client_certificate"] is True
