# SPDX-License-Identifier: Apache-2.0
"""Route configurations: virtual hosts, who takes over whom, and what happens to the rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import hosts, plain, routes, unpack
from tests.upstream.support import sidecar, world
from upstream.generate import generate
from upstream.proxy import Interception
from wire.types import ROUTE

SERVICE = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: default}
spec: {hosts: [NAME.test], ports: [{number: NUMBER, name: p, protocol: PROTOCOL}], addresses: [ADDRESS]}
"""
ROUTING = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME, namespace: default}
spec: {hosts: [HOSTS], http: [{name: NAME, route: [{destination: {host: a.test}}]}]}
"""
SIDECAR = """---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec: {SPEC}
"""
PROXY = "egress: [{port: {number: 15007, protocol: HTTP_PROXY, name: p}, hosts: ['*/*']}]"


def service(name: str, number: int = 80, protocol: str = "HTTP", address: str = "") -> str:
    text = SERVICE.replace("NAME", name).replace("NUMBER", str(number))
    return text.replace("PROTOCOL", protocol).replace("ADDRESS", address)


def routing(name: str, names: str) -> str:
    return ROUTING.replace("NAME", name).replace("HOSTS", names)


def sidecar_of(spec: str) -> str:
    return SIDECAR.replace("SPEC", spec)


def served(text: str, name: str = "80") -> dict[str, str]:
    """Virtual host to the name of its first route."""
    found = hosts(sidecar(), world(text), name)
    return {host: one["routes"][0].get("name", "") for host, one in found.items()}


def test_a_host_for_each_service_and_the_rest_last() -> None:
    text = service("b") + service("a") + service("c", 81) + service("d", 80, "TCP")
    assert list(served(text)) == ["a.test:80", "b.test:80", "allow_any"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (routing("v", "a.test"), {"a.test:80": "v", "b.test:80": "default"}),
        (routing("v", "'*.test'"), {"a.test:80": "v", "b.test:80": "v"}),
        (
            routing("v", "'*.test'") + routing("w", "b.test"),
            {"a.test:80": "v", "b.test:80": "w"},
        ),
        (
            routing("w", "a.test") + routing("v", "a.test"),
            {"a.test:80": "v", "b.test:80": "default"},
        ),
        (
            routing("v", "new.test"),
            {"a.test:80": "default", "b.test:80": "default", "new.test:80": "v"},
        ),
    ],
)
def test_who_takes_over(rules: str, expected: dict[str, str]) -> None:
    found = served(service("a") + service("b") + rules)
    assert {host: name for host, name in found.items() if host != "allow_any"} == expected


def test_hosts_that_nobody_registered_are_on_port_80_only() -> None:
    text = service("a", 90) + routing("v", "new.test")
    assert list(served(text, "90")) == ["a.test:90", "allow_any"]


def test_a_detected_port_of_its_own_address_means_one_service() -> None:
    text = service("a", 90, "''", "10.9.0.1")
    (one,) = hosts(sidecar(), world(text), "a.test:90").values()
    assert one["domains"] == ["*"]


def fallback(spec: str) -> dict[str, Any]:
    *_, last = hosts(sidecar(), world(service("a") + sidecar_of(spec)), "80").values()
    return last


def test_the_rest_is_let_through_refused_or_sent_to_a_proxy() -> None:
    through = fallback("egress: [{hosts: ['*/*']}]")
    assert through["routes"][0]["route"]["cluster"] == "PassthroughCluster"
    refused = fallback("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
    assert (refused["name"], refused["domains"]) == ("block_all", ["*"])
    assert refused["routes"][0]["directResponse"] == {"status": 502}
    proxy = "egressProxy: {host: p.test, port: {number: 8}}"
    sent = fallback(f"outboundTrafficPolicy: {{mode: ALLOW_ANY, {proxy}}}")
    assert sent["routes"][0]["route"]["cluster"] == "outbound|8||p.test"


def test_behind_an_explicit_proxy_every_port_is_reached() -> None:
    text = service("a", 80) + service("b", 9080) + sidecar_of(PROXY)
    proxy, where = sidecar(interception=Interception.NONE), world(text)
    made = plain(routes(proxy, where)["15007"])
    found = {one["name"]: one["domains"] for one in made["virtualHosts"]}
    assert "ignorePortInHostMatching" not in made
    assert {"a.test", "a.test:80"} <= set(found["a.test:80"])
    assert "b.test:9080" in found["b.test:9080"]
    assert "b.test" not in found["b.test:9080"]


def test_a_name_belongs_to_one_host() -> None:
    text = service("a") + routing("v", "a.test, new.test") + routing("w", "new.test")
    found = hosts(sidecar(), world(text), "80")
    every = [name for one in found.values() for name in one["domains"]]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("name", ["nosuch", "unix:///nosuch"])
def test_unknown_names_are_answered_empty(name: str) -> None:
    (made,) = generate(ROUTE, sidecar(), world(service("a")), frozenset({name}))
    assert plain(
        unpack(made, type(next(iter(routes(sidecar(), world(service("a"))).values()))))
    ) == {"name": name}
