# SPDX-License-Identifier: Apache-2.0
"""Automatic mutual TLS, and what a rule says instead."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import clusters, plain
from tests.upstream.support import sidecar, world

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  location: LOCATION
  resolution: STATIC
  subjectAltNames: [spiffe://td/other]
  endpoints: [{address: 10.1.0.1, serviceAccount: a}]
  ports: [{number: 80, name: http, protocol: PROTOCOL}]
"""
RULE = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default}
spec:
  host: a.test
  trafficPolicy: {tls: TLS}
  subsets: [{name: v1, labels: {version: v1}}]
"""
PEER = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: DISABLE}}
"""
ACCOUNTS = [{"exact": "spiffe://cluster.local/ns/default/sa/a"}, {"exact": "spiffe://td/other"}]


def cluster(
    tls: str = "",
    *,
    protocol: str = "HTTP",
    location: str = "MESH_INTERNAL",
    more: str = "",
    mesh: str | None = None,
    istio: bool = False,
    subset: str = "",
) -> dict[str, Any]:
    text = SERVICE.replace("PROTOCOL", protocol).replace("LOCATION", location)
    text += RULE.replace("TLS", tls) if tls else ""
    where = world(text + more, mesh, istio_filters=istio)
    return plain(clusters(sidecar(), where)[f"outbound|80|{subset}|a.test"])


def context(socket: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = socket["typedConfig"]
    return found


def verified(tls: dict[str, Any]) -> tuple[str, list[dict[str, str]]]:
    """The name of the root, and who may answer."""
    combined = tls["commonTlsContext"]["combinedValidationContext"]
    root = combined["validationContextSdsSecretConfig"]["name"]
    return root, combined["defaultValidationContext"].get("matchSubjectAltNames", [])


def test_automatic_by_what_the_endpoint_says_of_itself() -> None:
    made = cluster()
    secure, raw = made["transportSocketMatches"]
    assert (secure["match"], raw["match"]) == ({"tlsMode": "istio"}, {})
    assert raw["transportSocket"]["name"] == "envoy.transport_sockets.raw_buffer"
    tls = context(secure["transportSocket"])
    assert tls["sni"] == "outbound_.80_._.a.test"
    assert verified(tls) == ("ROOTCA", ACCOUNTS)
    assert tls["commonTlsContext"]["tlsCertificateSdsSecretConfigs"][0]["name"] == "default"
    assert "transportSocket" not in made


@pytest.mark.parametrize(
    ("more", "mesh", "location"),
    [
        ("", None, "MESH_EXTERNAL"),
        ("", "enableAutoMtls: false", "MESH_INTERNAL"),
        (PEER, None, "MESH_INTERNAL"),
    ],
    ids=["external", "switched off", "servers do not"],
)
def test_not_automatic(more: str, mesh: str | None, location: str) -> None:
    made = cluster(more=more, mesh=mesh, location=location)
    assert not {"transportSocket", "transportSocketMatches"} & made.keys()


@pytest.mark.parametrize(
    ("protocol", "istio", "expected"),
    [
        ("HTTP", False, ["istio"]),
        ("HTTP2", False, ["istio", "h2"]),
        ("TCP", True, ["istio-peer-exchange", "istio"]),
        ("GRPC", True, ["istio-peer-exchange", "istio", "h2"]),
    ],
)
def test_alpn(protocol: str, expected: list[str], *, istio: bool) -> None:
    made = cluster(protocol=protocol, istio=istio)["transportSocketMatches"][0]
    assert context(made["transportSocket"])["commonTlsContext"]["alpnProtocols"] == expected


def test_asked_for_mutual_tls_is_for_every_endpoint() -> None:
    made = cluster("{mode: ISTIO_MUTUAL}", subset="v1")
    assert "transportSocketMatches" not in made
    tls = context(made["transportSocket"])
    assert tls["sni"] == "outbound_.80_.v1_.a.test"
    assert verified(tls) == ("ROOTCA", ACCOUNTS)


def test_the_rules_names_go_over_what_is_known() -> None:
    made = cluster("{mode: ISTIO_MUTUAL, sni: other.test, subjectAltNames: [x]}")
    tls = context(made["transportSocket"])
    assert (tls["sni"], verified(tls)[1]) == ("other.test", [{"exact": "x"}])


def test_disabled_is_plain_text() -> None:
    made = cluster("{mode: DISABLE}")
    assert not {"transportSocket", "transportSocketMatches"} & made.keys()


@pytest.mark.parametrize(
    ("tls", "root", "names"),
    [
        ("{mode: SIMPLE}", "file-root:system", ACCOUNTS),
        ("{mode: SIMPLE, caCertificates: /ca.pem}", "file-root:/ca.pem", ACCOUNTS),
        ("{mode: SIMPLE, subjectAltNames: [x]}", "file-root:system", [{"exact": "x"}]),
    ],
)
def test_plain_tls_verifies_by_files(tls: str, root: str, names: list[dict[str, str]]) -> None:
    made = cluster(tls)
    assert verified(context(made["transportSocket"])) == (root, names)
    assert made["metadata"]["filterMetadata"]["istio"]["alpn_override"] == "false"


def test_mutual_with_files_of_its_own() -> None:
    tls = "{mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem, sni: s}"
    made = context(cluster(tls)["transportSocket"])
    (secret,) = made["commonTlsContext"]["tlsCertificateSdsSecretConfigs"]
    assert (secret["name"], made["sni"]) == ("file-cert:/c.pem~/k.pem", "s")
    assert "initialFetchTimeout" not in secret["sdsConfig"]


def test_an_unverified_upstream_was_asked_for() -> None:
    common = context(cluster("{mode: SIMPLE, insecureSkipVerify: true}")["transportSocket"])
    assert common["commonTlsContext"]["validationContext"] == {}
    assert "combinedValidationContext" not in common["commonTlsContext"]


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ("{mode: SIMPLE}", {"autoSni": True, "autoSanValidation": True}),
        ("{mode: SIMPLE, subjectAltNames: [x]}", {"autoSni": True}),
        ("{mode: SIMPLE, insecureSkipVerify: true}", {"autoSni": True}),
        ("{mode: SIMPLE, sni: s}", None),
    ],
)
def test_without_a_name_the_requests_own_is_asked_for(
    tls: str, expected: dict[str, bool] | None
) -> None:
    found = cluster(tls).get("typedExtensionProtocolOptions", {})
    made: dict[str, Any] = next(iter(found.values()), {})
    assert made.get("upstreamHttpProtocolOptions") == expected


def test_http2_is_offered_to_a_plain_tls_server() -> None:
    made = context(cluster("{mode: SIMPLE}", protocol="HTTP2")["transportSocket"])
    assert made["commonTlsContext"]["alpnProtocols"] == ["h2"]


THROUGH = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: t, namespace: default}
spec: {host: a.test, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}
"""


@pytest.mark.parametrize(
    ("endpoints", "secured"),
    [
        ("[{address: 10.1.0.1, serviceAccount: a}]", True),
        ("[{address: 10.1.0.1, serviceAccount: a}, {address: 10.1.0.2}]", False),
        ("[]", False),
    ],
)
def test_to_an_original_destination_only_if_all_of_them_speak_it(
    endpoints: str, *, secured: bool
) -> None:
    text = SERVICE.replace("PROTOCOL", "HTTP").replace("LOCATION", "MESH_INTERNAL")
    text = text.replace("[{address: 10.1.0.1, serviceAccount: a}]", endpoints)
    made = plain(clusters(sidecar(), world(text + THROUGH))["outbound|80||a.test"])
    assert made["type"] == "ORIGINAL_DST"
    assert ("transportSocket" in made) is secured
