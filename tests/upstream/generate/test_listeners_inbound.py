# SPDX-License-Identifier: Apache-2.0
"""Inbound filter chains by mode and protocol."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import listeners, plain
from tests.upstream.support import sidecar, world
from upstream.proxy import Interception

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  resolution: STATIC
  ports: [{number: 80, name: p, protocol: PROTOCOL, targetPort: 8080}]
  endpoints: [{address: 10.0.0.1}]
"""
PEER = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: p, namespace: default}
spec: {mtls: {mode: MODE}}
"""
SIDECAR = """---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec:
  ingress: [{port: {number: 9080, protocol: HTTP, name: h}, bind: 127.0.0.11, captureMode: NONE, defaultEndpoint: '127.0.0.1:1'}]
"""
MTLS_HTTP = ["istio-http/1.0", "istio-http/1.1", "istio-h2"]
MTLS_ALL = ["istio", "istio-peer-exchange", *MTLS_HTTP]
MTLS_TCP = ["istio-peer-exchange", "istio"]
PLAIN_HTTP = ["http/1.1", "h2c"]
HTTP, TCP = "http_connection_manager", "tcp_proxy"


def virtual(protocol: str, mode: str, interception: Interception = Interception.REDIRECT) -> Any:
    text = SERVICE.replace("PROTOCOL", protocol) + PEER.replace("MODE", mode)
    return plain(listeners(sidecar(interception=interception), world(text))["virtualInbound"])


def rows(chains: list[dict[str, Any]]) -> list[tuple[str, list[str], bool, str]]:
    """Transport, ALPN, whether TLS ends here, what speaks."""
    return [
        (
            one["filterChainMatch"].get("transportProtocol", ""),
            one["filterChainMatch"].get("applicationProtocols", []),
            "transportSocket" in one,
            one["filters"][-1]["name"].rpartition(".")[2],
        )
        for one in chains
    ]


MATRIX = {
    ("STRICT", "HTTP"): [("tls", [], True, HTTP)],
    ("STRICT", "TCP"): [("tls", [], True, TCP)],
    ("STRICT", "''"): [("tls", MTLS_HTTP, True, HTTP), ("tls", [], True, TCP)],
    ("PERMISSIVE", "HTTP"): [("tls", MTLS_ALL, True, HTTP), ("raw_buffer", [], False, HTTP)],
    ("PERMISSIVE", "TCP"): [
        ("tls", MTLS_ALL, True, TCP),
        ("tls", [], False, TCP),
        ("raw_buffer", [], False, TCP),
    ],
    ("PERMISSIVE", "''"): [
        ("tls", MTLS_HTTP, True, HTTP),
        ("raw_buffer", PLAIN_HTTP, False, HTTP),
        ("tls", MTLS_TCP, True, TCP),
        ("raw_buffer", [], False, TCP),
        ("tls", [], False, TCP),
    ],
    ("DISABLE", "HTTP"): [("raw_buffer", [], False, HTTP)],
    ("DISABLE", "TCP"): [("raw_buffer", [], False, TCP)],
    ("DISABLE", "''"): [("raw_buffer", PLAIN_HTTP, False, HTTP), ("raw_buffer", [], False, TCP)],
}


@pytest.mark.parametrize(("mode", "protocol"), list(MATRIX))
def test_the_matrix(mode: str, protocol: str) -> None:
    chains = virtual(protocol, mode)["filterChains"]
    mine = [one for one in chains if one["filterChainMatch"].get("destinationPort") == 8080]
    assert rows(mine) == MATRIX[mode, protocol]
    assert {one["name"] for one in mine} == {"0.0.0.0_8080"}


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE", "DISABLE"])
def test_ports_that_no_service_has_pass_as_if_detected(mode: str) -> None:
    hole, *chains = virtual("HTTP", mode)["filterChains"]
    rest = [one for one in chains if "destinationPort" not in one["filterChainMatch"]]
    assert (hole["name"], hole["filterChainMatch"]) == (
        "virtualInbound-blackhole",
        {"destinationPort": 15006},
    )
    assert rows(rest) == MATRIX[mode, "''"]
    assert {one["name"] for one in rest} == {"virtualInbound", "virtualInbound-catchall-http"}


@pytest.mark.parametrize(
    ("mode", "interception", "looks"),
    [
        ("PERMISSIVE", Interception.REDIRECT, ["original_dst", "tls_inspector", "http_inspector"]),
        ("STRICT", Interception.REDIRECT, ["original_dst", "tls_inspector"]),
        ("DISABLE", Interception.REDIRECT, ["original_dst", "http_inspector"]),
        (
            "STRICT",
            Interception.TPROXY,
            ["original_dst", "original_src", "tls_inspector"],
        ),
    ],
)
def test_who_looks_at_the_first_bytes(
    mode: str, interception: Interception, looks: list[str]
) -> None:
    made = virtual("HTTP", mode, interception)
    assert [one["name"].rpartition(".")[2] for one in made["listenerFilters"]] == looks


def test_the_workload_learns_who_calls() -> None:
    chains = virtual("HTTP", "STRICT")["filterChains"]
    manager = chains[-1]["filters"][-1]["typedConfig"]
    assert manager["forwardClientCertDetails"] == "APPEND_FORWARD"
    assert manager["setCurrentClientCertDetails"] == {"subject": True, "dns": True, "uri": True}
    assert manager["serverName"] == "istio-envoy"
    config = manager["routeConfig"]
    assert config["name"] == "inbound|8080||"
    (host,) = config["virtualHosts"]
    assert (host["name"], host["domains"]) == ("inbound|http|80", ["*"])
    action = host["routes"][0]["route"]
    assert (action["cluster"], action["timeout"]) == ("inbound|8080||", "0s")
    assert action["retryPolicy"] == {"retryOn": "reset-before-request", "numRetries": 2}


def test_a_grpc_call_is_not_sent_again() -> None:
    manager = virtual("GRPC", "STRICT")["filterChains"][-1]["filters"][-1]["typedConfig"]
    assert "retryPolicy" not in manager["routeConfig"]["virtualHosts"][0]["routes"][0]["route"]


def test_a_sidecars_ingress_without_capture_is_a_listener() -> None:
    proxy = sidecar(interception=Interception.NONE)
    made = plain(
        listeners(proxy, world(SIDECAR + PEER.replace("MODE", "STRICT")))["127.0.0.11_9080"]
    )
    assert made["address"]["socketAddress"] == {"address": "127.0.0.11", "portValue": 9080}
    assert rows(made["filterChains"]) == [("tls", [], True, HTTP)]
    assert made["trafficDirection"] == "INBOUND"
