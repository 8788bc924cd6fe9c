# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
import yaml

from ctl.demo import topology
from ctl.demo.topology import Workload


@pytest.fixture
def workload() -> Workload:
    return Workload(
        name="reviews-v1",
        account="reviews",
        version="v1",
        address="127.0.0.12",
        app_port=1001,
        inbound_port=9080,
        outbound_port=15007,
        admin_port=15000,
        status_port=15020,
        envoy_status_port=15021,
        prometheus_port=15090,
    )


def test_sidecar_has_one_listener_in_and_one_out(workload: Workload) -> None:
    spec = yaml.safe_load(topology.sidecar_yaml(workload))["spec"]
    assert spec["workloadSelector"]["labels"] == workload.labels
    (ingress,) = spec["ingress"]
    assert (ingress["bind"], ingress["port"]["number"], ingress["captureMode"]) == (
        "127.0.0.12",
        9080,
        "NONE",
    )
    assert ingress["defaultEndpoint"] == "127.0.0.1:1001"
    (egress,) = spec["egress"]
    assert (egress["port"]["protocol"], egress["port"]["number"]) == ("HTTP_PROXY", 15007)


def test_service_names_its_endpoints_and_subsets(workload: Workload) -> None:
    entry, rule = yaml.safe_load_all(topology.service_yaml([workload]))
    (endpoint,) = entry["spec"]["endpoints"]
    assert (endpoint["address"], endpoint["ports"], endpoint["serviceAccount"]) == (
        "127.0.0.12",
        {"http": 9080},
        "reviews",
    )
    assert entry["spec"]["ports"][0]["number"] == topology.SERVICE_PORT
    assert [subset["name"] for subset in rule["spec"]["subsets"]] == ["v1", "v2"]


def test_canary_weights() -> None:
    (http,) = yaml.safe_load(topology.canary_yaml(90, 10))["spec"]["http"]
    assert [route["weight"] for route in http["route"]] == [90, 10]


def test_policies_name_the_client() -> None:
    peers, policy = yaml.safe_load_all(topology.security_yaml())
    assert peers["spec"]["mtls"]["mode"] == "STRICT"
    (rule,) = policy["spec"]["rules"]
    assert rule["from"][0]["source"]["principals"] == ["cluster.local/ns/demo/sa/client"]


def test_environment_is_what_a_pod_would_have(workload: Workload) -> None:
    env = topology.agent_environment(
        workload,
        discovery="127.0.0.1:15012",
        envoy="/bin/envoy",
        drain="3s",
        ttl="24s",
        state="/s",
        identity="/i",
    )
    assert json.loads(env["PROXY_CONFIG"])["discoveryAddress"] == "127.0.0.1:15012"
    assert json.loads(env["ISTIO_METAJSON_LABELS"]) == {"app": "reviews", "version": "v1"}
    assert env["ISTIO_META_INTERCEPTION_MODE"] == "NONE"
    assert workload.spiffe == "spiffe://cluster.local/ns/demo/sa/reviews"
