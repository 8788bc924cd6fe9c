# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from bootstrap.inputs import BootstrapInputs, EnvoyPorts, Sockets, Switches, bootstrap_inputs
from mesh.node import NodeOptions, assemble
from mesh.proxyconfig import merge
from tests.support.bootstrap import inputs_for


def test_what_goes_in_comes_out() -> None:
    inputs = inputs_for(
        metadata={"LABELS": {"app": "reviews"}, "ENVOY_STATUS_PORT": 15021, "PILOT_SAN": ["a"]},
        annotations={"sidecar.istio.io/extraStatTags": "a,b"},
        instance_ips=("10.0.0.1", "fd00::1"),
        ports=EnvoyPorts(status=1, secure_metrics=2, status_proxy_protocol=True),
        sockets=Sockets(xds="/x/XDS"),
        switches=Switches(dual_stack=True, compliance_policy="fips-140-2"),
    )
    assert BootstrapInputs.from_json(inputs.to_json()) == inputs


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"nod_id": "x"}, "unknown field nod_id"),
        ({"ports": {"admin": 1}}, "ports: unknown field admin"),
        ({"switches": []}, "switches: not a JSON object"),
    ],
)
def test_a_strange_field_is_named(change: dict[str, object], reason: str) -> None:
    data = json.loads(inputs_for().to_json()) | change
    with pytest.raises((ValueError, TypeError), match=reason):
        BootstrapInputs.from_json(json.dumps(data))


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ValueError, match="cluster: missing"):
        BootstrapInputs.from_json('{"node_id": "a"}')
    with pytest.raises(TypeError, match="not a JSON object"):
        BootstrapInputs.from_json("[]")


def test_inputs_follow_the_settings() -> None:
    config = merge(environment="configPath: ./run/proxy\nproxyAdminPort: 15500\n")
    node = assemble(
        id="sidecar~10.0.0.1~a.ns~ns.svc.cluster.local",
        env={"POD_NAMESPACE": "ns", "ISTIO_METAJSON_LABELS": '{"istio-locality": "r.z.s"}'},
        config=config,
        options=NodeOptions(),
        pod_annotations={"sidecar.istio.io/extraStatTags": "t"},
    )
    inputs = bootstrap_inputs(
        node=node,
        config=config,
        instance_ips=["10.0.0.1", "10.0.0.2", "10.0.0.1"],
        workload_socket_file="other",
    )
    assert inputs.output == "./run/proxy/envoy-rev.json"
    assert inputs.sockets.xds == "./run/proxy/XDS"
    assert inputs.sockets.workload == "./var/run/secrets/workload-spiffe-uds/other"
    assert inputs.instance_ips == ("10.0.0.1", "10.0.0.2")
    assert (inputs.region, inputs.zone, inputs.sub_zone) == ("r", "z", "s")
    assert inputs.cluster == "istio-proxy.ns"
    assert inputs.annotations == {"sidecar.istio.io/extraStatTags": "t"}
    assert inputs.proxy_config["proxyAdminPort"] == 15500
