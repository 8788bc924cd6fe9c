# SPDX-License-Identifier: Apache-2.0
"""Outbound listeners as messages: what is sniffed, what is the default, where captured traffic arrives."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import listeners, plain
from tests.upstream.support import sidecar, world
from upstream.proxy import Interception

SERVICE = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: default}
spec: {hosts: [NAME.test], ports: [{number: 90, name: p, protocol: PROTOCOL}], addresses: [ADDRESS]}
"""
REGISTRY_ONLY = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"


def service(protocol: str, address: str = "", name: str = "a") -> str:
    text = SERVICE.replace("PROTOCOL", protocol).replace("ADDRESS", address)
    return text.replace("NAME", name)


def listener(
    text: str, name: str, mode: Interception = Interception.REDIRECT, mesh: str | None = None
) -> dict[str, Any]:
    return plain(listeners(sidecar(interception=mode), world(text, mesh))[name])


def inspectors(made: dict[str, Any]) -> list[str]:
    return [one["name"].rpartition(".")[2] for one in made.get("listenerFilters", [])]


def filters(chain: dict[str, Any]) -> list[str]:
    return [one["name"].rpartition(".")[2] for one in chain["filters"]]


@pytest.mark.parametrize(
    ("text", "name", "looks", "kinds", "default"),
    [
        (service("HTTP"), "0.0.0.0_90", ["http_inspector"], ["http_connection_manager"], True),
        (service("TCP"), "0.0.0.0_90", [], ["tcp_proxy"], False),
        (service("TCP", "10.9.0.1"), "10.9.0.1_90", [], ["tcp_proxy"], False),
        (service("TCP", "10.9.0.0/24"), "0.0.0.0_90", [], ["tcp_proxy"], True),
        (service("TLS"), "0.0.0.0_90", ["tls_inspector"], ["tcp_proxy"], True),
        (
            service("''", "10.9.0.1"),
            "10.9.0.1_90",
            ["http_inspector"],
            ["http_connection_manager"],
            True,
        ),
        (
            service("HTTP") + service("TLS", name="b"),
            "0.0.0.0_90",
            ["tls_inspector", "http_inspector"],
            ["http_connection_manager", "tcp_proxy"],
            True,
        ),
    ],
)
def test_chains(text: str, name: str, looks: list[str], kinds: list[str], *, default: bool) -> None:
    made = listener(text, name)
    assert inspectors(made) == looks
    assert [filters(chain)[-1] for chain in made["filterChains"]] == kinds
    assert ("defaultFilterChain" in made) is default
    assert (made["bindToPort"], made["trafficDirection"]) == (False, "OUTBOUND")


def test_http_is_told_from_the_rest() -> None:
    made = listener(service("HTTP"), "0.0.0.0_90")
    (chain,) = made["filterChains"]
    assert chain["filterChainMatch"] == {
        "transportProtocol": "raw_buffer",
        "applicationProtocols": ["http/1.1", "h2c"],
    }
    assert made["defaultFilterChain"]["name"] == "PassthroughFilterChain"
    rds = chain["filters"][0]["typedConfig"]["rds"]
    assert (rds["routeConfigName"], rds["configSource"]["initialFetchTimeout"]) == ("90", "0s")


@pytest.mark.parametrize(
    ("mesh", "cluster"), [(None, "PassthroughCluster"), (REGISTRY_ONLY, "BlackHoleCluster")]
)
def test_traffic_for_nobody(mesh: str | None, cluster: str) -> None:
    rest = listener(service("HTTP"), "0.0.0.0_90", mesh=mesh)["defaultFilterChain"]
    assert rest["filters"][0]["typedConfig"]["cluster"] == cluster
    virtual = listener("", "virtualOutbound", mesh=mesh)
    hole, other = virtual["filterChains"]
    assert hole["filterChainMatch"] == {"destinationPort": 15001}
    assert hole["filters"][0]["typedConfig"]["cluster"] == "BlackHoleCluster"
    assert other["filters"][0]["typedConfig"]["cluster"] == cluster
    assert virtual["useOriginalDst"]


def test_without_capture_it_really_listens_and_sniffs_nothing() -> None:
    made = listener(service("HTTP"), "127.0.0.1_90", Interception.NONE)
    assert "bindToPort" not in made
    assert inspectors(made) == []
    assert "filterChainMatch" not in made["filterChains"][0]


def test_transparent_where_addresses_are_not_ours() -> None:
    assert listener("", "virtualOutbound", Interception.TPROXY)["transparent"]
