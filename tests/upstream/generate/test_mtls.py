# SPDX-License-Identifier: Apache-2.0
"""Which mode holds where, and the sockets of both ends."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from google.protobuf import json_format

from tests.upstream.support import world
from upstream.generate import mtls

POLICY = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: NAME, namespace: SPACE}
spec: SPEC
"""
APP = "selector: {matchLabels: {app: a}}"


def policy(space: str, spec: str, name: str = "p") -> str:
    return POLICY.replace("SPACE", space).replace("SPEC", f"{{{spec}}}").replace("NAME", name)


ROOT_STRICT = policy("istio-system", "mtls: {mode: STRICT}")


@pytest.mark.parametrize(
    ("policies", "mode"),
    [
        ("", "PERMISSIVE"),
        (ROOT_STRICT, "STRICT"),
        (ROOT_STRICT + policy("demo", "mtls: {mode: DISABLE}"), "DISABLE"),
        (ROOT_STRICT + policy("demo", "mtls: {mode: UNSET}"), "STRICT"),
        (ROOT_STRICT + policy("demo", "{}".strip("{}")), "STRICT"),
        (ROOT_STRICT + policy("other", "mtls: {mode: DISABLE}"), "STRICT"),
        (policy("demo", f"{APP}, mtls: {{mode: STRICT}}"), "PERMISSIVE"),
        (
            policy("demo", "mtls: {mode: STRICT}", "a")
            + policy("demo", "mtls: {mode: DISABLE}", "b"),
            "STRICT",
        ),
    ],
)
def test_namespace(policies: str, mode: str) -> None:
    assert mtls.namespace_mode("demo", world(policies)) == mode


PORTS = f"{APP}, mtls: {{mode: STRICT}}, portLevelMtls: {{80: {{mode: DISABLE}}, 90: {{}}}}"


@pytest.mark.parametrize(
    ("labels", "port", "mode"),
    [
        ({"app": "a"}, 80, "DISABLE"),
        ({"app": "a"}, 90, "STRICT"),
        ({"app": "a"}, 1, "STRICT"),
        ({"app": "b"}, 80, "PERMISSIVE"),
    ],
)
def test_workload(labels: dict[str, str], port: int, mode: str) -> None:
    assert mtls.workload_mode("demo", labels, port, world(policy("demo", PORTS))) == mode


def context(socket: TransportSocket, kind: Any) -> dict[str, Any]:
    made = kind()
    assert socket.name == "envoy.transport_sockets.tls"
    assert socket.typed_config.Unpack(made)
    found: dict[str, Any] = json_format.MessageToDict(made)
    return found


def secrets(common: dict[str, Any]) -> list[str]:
    combined = common["combinedValidationContext"]
    own = common["tlsCertificateSdsSecretConfigs"]
    both = [*own, combined["validationContextSdsSecretConfig"]]
    for one in both:
        source = one["sdsConfig"]["apiConfigSource"]["grpcServices"]
        assert source == [{"envoyGrpc": {"clusterName": "sds-grpc"}}]
        assert one["sdsConfig"]["initialFetchTimeout"] == "0s"
    return [one["name"] for one in both]


def names(common: dict[str, Any]) -> Any:
    return common["combinedValidationContext"]["defaultValidationContext"]["matchSubjectAltNames"]


def test_the_client_checks_who_answers() -> None:
    made = mtls.upstream_socket(sni="s", peers=["spiffe://a", "spiffe://b"], alpn=["istio"])
    found = context(made, UpstreamTlsContext)
    common = found["commonTlsContext"]
    assert (found["sni"], common["alpnProtocols"]) == ("s", ["istio"])
    assert secrets(common) == ["default", "ROOTCA"]
    assert names(common) == [{"exact": "spiffe://a"}, {"exact": "spiffe://b"}]


def test_the_server_wants_a_certificate_of_its_trust_domains() -> None:
    where = world(mesh="{trustDomain: td, trustDomainAliases: [old]}")
    found = context(mtls.downstream_socket(where, ["h2"]), DownstreamTlsContext)
    common = found["commonTlsContext"]
    assert found["requireClientCertificate"]
    assert secrets(common) == ["default", "ROOTCA"]
    assert names(common) == [{"prefix": "spiffe://td/"}, {"prefix": "spiffe://old/"}]
    assert common["tlsParams"]["tlsMinimumProtocolVersion"] == "TLSv1_2"
    assert common["tlsParams"]["cipherSuites"] == list(mtls.CIPHERS)


def test_no_security_is_said_too() -> None:
    assert mtls.raw_socket().name == "envoy.transport_sockets.raw_buffer"
