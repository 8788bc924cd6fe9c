# SPDX-License-Identifier: Apache-2.0
"""Upstream's golden bootstraps, compared as messages after the suite's own normalisation."""

from __future__ import annotations

import copy
import json
import os.path
from pathlib import Path
from typing import Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf import json_format

from bootstrap.inputs import BootstrapInputs, EnvoyPorts, Switches, bootstrap_inputs
from mesh.node import Node, NodeOptions, Platform, assemble
from mesh.proxyconfig import ProxyConfig
from tests.conformance.runner import Case, cases
from tests.support.bootstrap import authored, parsed, stats_lists, validate

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STATS_ANNOTATIONS = ("Prefixes", "Suffixes", "Regexps")


@cases("bootstrap/cases")
def test_golden(case: Case) -> None:
    expect = case.data["expect"]
    text = authored(inputs_of(case))
    document = json.loads(text)
    assert stats_lists(document) == {
        kind: expect["stats_matcher"][f"inclusion_{kind}"]
        for kind in ("prefixes", "suffixes", "regexps")
    }
    wanted = normalised(case.data["golden"], case)
    got = normalised(document, case)
    assert as_dict(got) == as_dict(wanted)
    assert got == wanted
    assert not expect["lightstep_token_file_written"]


@pytest.mark.envoy
@cases("bootstrap/cases")
def test_envoy_accepts(case: Case, tmp_path: Path) -> None:
    validate(authored(inputs_of(case)), tmp_path)


def inputs_of(case: Case) -> BootstrapInputs:
    """The case through the product's own path: environment to node to inputs."""
    given = case.data["inputs"]
    config = ProxyConfig.from_raw(case.data["proxy_config_effective"])
    return bootstrap_inputs(
        node=node_of(given, config),
        config=config,
        instance_ips=given["instance_ips"],
        envoy_ports=EnvoyPorts(
            status=given["envoy_status_port"],
            prometheus=given["envoy_prometheus_port"],
            secure_metrics=given["secure_metrics_port"],
            secure_merged_metrics=given["secure_merged_metrics_port"],
        ),
        switches=Switches(compliance_policy=given["compliance_policy"]),
        workload_socket_file=given["workload_identity_socket_file"],
        outlier_log_path=given["outlier_log_path"],
    )


def node_of(given: dict[str, Any], config: ProxyConfig) -> Node:
    return assemble(
        id=given["node_id"],
        env=given["env"],
        config=config,
        options=NodeOptions(
            version=given["istio_version"],
            instance_ips=given["instance_ips"],
            sts_port=given["sts_port"],
            envoy_status_port=given["envoy_status_port"],
            envoy_prometheus_port=given["envoy_prometheus_port"],
            envoy_secure_metrics_port=given["secure_metrics_port"],
            envoy_secure_merged_metrics_port=given["secure_merged_metrics_port"],
            workload_identity_socket_file=given["workload_identity_socket_file"],
            outlier_log_path=given["outlier_log_path"],
            pilot_san=given["pilot_san"],
        ),
        pod_annotations=given.get("pod_annotations_file"),
        platform=Platform(is_kubernetes=given["platform"]["is_kubernetes"]),
    )


def normalised(document: dict[str, Any], case: Case) -> bootstrap_pb2.Bootstrap:
    """What the suite's README says to remove or replace on both sides."""
    data = copy.deepcopy(document)
    data["stats_config"].pop("stats_matcher", None)
    metadata = data["node"]["metadata"]
    for kind in STATS_ANNOTATIONS:
        metadata.pop(f"sidecar.istio.io/statsInclusion{kind}", None)
    config = metadata["PROXY_CONFIG"]
    config["customConfigFile"] = os.path.basename(config.get("customConfigFile", ""))
    config["configPath"] = "/tmp"
    if not case.data["expect"]["locality_checked"]:
        data["node"]["locality"] = {}
    for cluster in data["static_resources"]["clusters"]:
        shorten_pipes(cluster)
    return parsed(json.dumps(data))


def shorten_pipes(cluster: dict[str, Any]) -> None:
    for group in cluster.get("load_assignment", {}).get("endpoints", []):
        for endpoint in group["lb_endpoints"]:
            pipe = endpoint["endpoint"]["address"].get("pipe")
            if pipe and pipe["path"].endswith("/XDS"):
                pipe["path"] = "/tmp/XDS"


def as_dict(message: bootstrap_pb2.Bootstrap) -> dict[str, Any]:
    """For a readable difference; the messages themselves are compared, too."""
    return dict(json_format.MessageToDict(message, preserving_proto_field_name=True))
