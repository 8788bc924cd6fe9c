# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

from mesh.errors import BadSettings
from mesh.proxyconfig import (
    CONFIG_ANNOTATION,
    DISCOVERY_ANNOTATION,
    STATUS_PORT_ANNOTATION,
    address_fault,
    merge,
)


def test_defaults() -> None:
    config = merge()
    assert config.config_path == "./etc/istio/proxy"
    assert config.discovery_address == "istiod.istio-system.svc:15012"
    assert config.discovery_host == "istiod.istio-system.svc"
    assert (config.proxy_admin_port, config.status_port) == (15000, 15020)
    assert (config.drain_duration, config.termination_drain_duration) == (45, 5)
    assert not config.plaintext
    assert config.concurrency is None
    assert config.stats_compression


def test_later_sources_win_field_by_field() -> None:
    config = merge(
        mesh_file="defaultConfig:\n  meshId: file\n  statNameLength: 7\n  concurrency: 1\n",
        environment='{"meshId": "env", "concurrency": 2}',
        annotations={CONFIG_ANNOTATION: "concurrency: 3"},
    )
    assert (config.mesh_id, config.stat_name_length, config.concurrency) == ("env", 7, 3)


def test_messages_and_lists_are_replaced_maps_of_metadata_merged() -> None:
    config = merge(
        mesh_file="defaultConfig:\n  tracing:\n    zipkin: {address: 'z:1'}\n  proxyMetadata: {A: f}\n",
        environment="tracing: {sampling: 5}\nproxyMetadata: {B: e}\n",
    )
    assert config.raw["tracing"] == {"sampling": 5}
    assert config.proxy_metadata == {"A": "f", "B": "e"}


def test_a_tracing_service_name_takes_the_place_of_the_cluster() -> None:
    config = merge(environment="tracingServiceName: CANONICAL_NAME_ONLY\n")
    assert config.tracing_service_name == "CANONICAL_NAME_ONLY"
    assert "serviceCluster" not in config.raw


def test_annotations_for_one_value_win_over_all() -> None:
    notes = {
        CONFIG_ANNOTATION: "discoveryAddress: a:1\nstatusPort: 1\n",
        DISCOVERY_ANNOTATION: "b:2",
        STATUS_PORT_ANNOTATION: "3",
    }
    config = merge(annotations=notes)
    assert (config.discovery_address, config.status_port) == ("b:2", 3)


def test_a_broken_status_port_annotation_switches_the_server_off() -> None:
    config = merge(annotations={STATUS_PORT_ANNOTATION: "many"})
    assert config.status_port == 0
    assert "many" in config.warnings[0]


@pytest.mark.parametrize(
    ("configured", "limit", "flag", "result"),
    [("", 0, 0, None), ("", 2, 0, 2), ("concurrency: 0", 2, 0, 0), ("concurrency: 1", 2, 3, 3)],
)
def test_concurrency(configured: str, limit: int, flag: int, result: int | None) -> None:
    config = merge(environment=configured, cpu_limit=limit, concurrency=flag)
    assert config.concurrency == result


def test_flags_fill_what_is_empty() -> None:
    config = merge(environment="serviceCluster: ''\n", service_cluster="mine", template_file="t")
    assert config.service_cluster == "mine"
    assert config.proxy_bootstrap_template_path == "t"
    assert (
        merge(environment="customConfigFile: c", template_file="t").proxy_bootstrap_template_path
        == ""
    )


def test_all_faults_of_all_sources_at_once() -> None:
    with pytest.raises(BadSettings) as caught:
        merge(
            mesh_file="{",
            environment="proxyAdminPort: x",
            annotations={CONFIG_ANNOTATION: "drainDuration: 500ms\ndiscoveryAddress: nowhere"},
            mesh_file_name="mesh",
        )
    names = [fault.name for fault in caught.value.faults]
    assert names == ["mesh", "PROXY_CONFIG.proxyAdminPort", "drainDuration", "discoveryAddress"]
    assert f"(from {CONFIG_ANNOTATION})" in str(caught.value.faults[-1])


def test_a_fault_names_the_source_that_won() -> None:
    with pytest.raises(BadSettings, match=f"nowhere.*from {DISCOVERY_ANNOTATION}"):
        merge(
            environment="discoveryAddress: also nowhere",
            annotations={DISCOVERY_ANNOTATION: "nowhere"},
        )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("configPath: ''", "configPath"),
        ("statusPort: 70000", "statusPort"),
        ("statusPort: 0", "statusPort"),
        ("tracing: {zipkin: {address: z}}", "tracing.zipkin.address"),
        ("statsdUdpAddress: s", "statsdUdpAddress"),
        ("envoyMetricsService: {address: m}", "envoyMetricsService.address"),
        (
            "envoyAccessLogService: {address: 'a:1', tlsSettings: {mode: MUTUAL, privateKey: k}}",
            "envoyAccessLogService.tlsSettings.clientCertificate",
        ),
        ("privateKeyProvider: {cryptomb: {}}", "privateKeyProvider.cryptomb.pollDelay"),
        (
            "connectionSettings: {globalDownstreamConnectionLimit: 0}",
            "connectionSettings.globalDownstreamConnectionLimit",
        ),
    ],
)
def test_what_the_peer_refuses_is_refused(text: str, name: str) -> None:
    with pytest.raises(BadSettings) as caught:
        merge(environment=text)
    assert [fault.name for fault in caught.value.faults] == [name]


@pytest.mark.parametrize("address", ["a:1", "[::1]:65535", "$(HOST_IP):9411", "10.0.0.1:80"])
def test_addresses_that_will_do(address: str) -> None:
    assert address_fault(address) == ""


def test_replacing_a_field_changes_view_and_raw() -> None:
    config = merge(environment="statsdUdpAddress: statsd:8125")
    resolved = config.replacing(statsdUdpAddress="10.0.0.1:8125")
    assert resolved.statsd_udp_address == resolved.raw["statsdUdpAddress"] == "10.0.0.1:8125"
    assert "statsdUdpAddress" not in config.replacing(statsdUdpAddress=None).raw


def test_json_does_not_cost_the_agent_a_yaml_parser() -> None:
    code = (
        'import sys; from mesh.proxyconfig import merge; merge(environment=\'{"meshId": "m"}\');'
        "sys.exit('yaml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
