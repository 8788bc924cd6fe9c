# SPDX-License-Identifier: Apache-2.0
"""Services and endpoints of ServiceEntries and WorkloadEntries."""

from __future__ import annotations

import pytest

from tests.upstream.support import world
from upstream.registry import Discovery, Endpoint, Registry, Service, exported

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: demo, creationTimestamp: "CREATED"}
spec:
  hosts: [HOSTS]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 90, name: tcp, protocol: TCP}]
  MORE
"""
WORKLOAD = """---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: SPACE, labels: {app: a, from: meta}}
spec: {address: 10.0.0.9, labels: {from: spec}, serviceAccount: sa, weight: 3, ports: {http: 1234}}
"""


def entry(hosts: str, more: str = "", name: str = "e", created: str = "") -> str:
    text = ENTRY.replace("HOSTS", hosts).replace("MORE", more).replace("NAME", name)
    return text.replace("CREATED", created)


def services(*texts: str) -> tuple[Service, ...]:
    return Registry.of(world("\n---\n".join(texts))).services


def members(service: Service, number: int) -> list[tuple[str, int]]:
    port = service.port(number)
    assert port is not None
    return [(one.address, one.port) for one in service.endpoints_of(port)]


def test_a_service_for_each_host_and_address() -> None:
    found = services(entry("a.test, b.test", "addresses: [10.1.0.1, 10.2.0.0/16, 10.3.0.1/32]"))
    assert [(one.hostname, one.address) for one in found] == [
        ("a.test", "10.1.0.1"),
        ("a.test", "10.2.0.0/16"),
        ("a.test", "10.3.0.1"),
        ("b.test", "10.1.0.1"),
        ("b.test", "10.2.0.0/16"),
        ("b.test", "10.3.0.1"),
    ]
    assert [one.virtual_ip for one in found[:3]] == ["10.1.0.1", "", "10.3.0.1"]


def test_without_an_address_it_has_none() -> None:
    (service,) = services(entry("a.test"))
    assert (service.has_address, service.virtual_ip) == (False, "")
    assert service.external


def test_the_oldest_first_then_by_host() -> None:
    found = services(
        entry("b.test", name="x", created="2024-01-01T00:00:00Z"),
        entry("c.test", name="y", created="2020-01-01T00:00:00Z"),
        entry("a.test", name="z", created="2024-01-01T00:00:00Z"),
    )
    assert [one.hostname for one in found] == ["c.test", "a.test", "b.test"]


@pytest.mark.parametrize(
    ("resolution", "discovery"),
    [
        ("NONE", Discovery.PASSTHROUGH),
        ("STATIC", Discovery.EDS),
        ("DNS", Discovery.STRICT_DNS),
        ("DNS_ROUND_ROBIN", Discovery.LOGICAL_DNS),
    ],
)
def test_discovery(resolution: str, discovery: Discovery) -> None:
    (service,) = services(entry("a.test", f"resolution: {resolution}"))
    assert service.discovery is discovery


def test_ports_of_endpoints() -> None:
    inline = "resolution: STATIC\n  endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2, ports: {http: 99}}]"
    (service,) = services(entry("a.test", inline))
    assert members(service, 80) == [("10.0.0.1", 8080), ("10.0.0.2", 99)]
    assert members(service, 90) == [("10.0.0.1", 90), ("10.0.0.2", 90)]
    assert service.port(81) is None


@pytest.mark.parametrize(("host", "found"), [("a.test", [("a.test", 8080)]), ("*.a.test", [])])
def test_a_name_stands_for_itself(host: str, found: list[tuple[str, int]]) -> None:
    more = "resolution: DNS" if host == "a.test" else "resolution: NONE"
    (service,) = services(entry(f"'{host}'", more))
    assert members(service, 80) == found


@pytest.mark.parametrize(("space", "count"), [("demo", 1), ("other", 0)])
def test_selected_workloads(space: str, count: int) -> None:
    select = "resolution: STATIC\n  workloadSelector: {labels: {app: a}}"
    (service,) = services(entry("a.test", select) + WORKLOAD.replace("SPACE", space))
    port = service.port(80)
    assert port is not None
    found = list(service.endpoints_of(port))
    assert len(found) == count
    for one in found:
        assert (one.address, one.port, one.weight, one.workload) == ("10.0.0.9", 1234, 3, "w")
        assert one.labels == {"app": "a", "from": "spec"}
        assert one.service_account == "spiffe://cluster.local/ns/demo/sa/sa"


@pytest.mark.parametrize(
    ("labels", "account", "mode"),
    [
        ({}, "", "disabled"),
        ({}, "spiffe://td/ns/a/sa/b", "istio"),
        ({"security.istio.io/tlsMode": "istio"}, "", "istio"),
        ({"security.istio.io/tlsMode": "disabled"}, "spiffe://td/ns/a/sa/b", "disabled"),
    ],
)
def test_tls_mode(labels: dict[str, str], account: str, mode: str) -> None:
    one = Endpoint(
        address="a", port=1, port_name="p", namespace="n", labels=labels, service_account=account
    )
    assert one.tls_mode == mode


def test_who_serves_an_address_and_who_may_answer() -> None:
    inline = (
        "resolution: STATIC\n  subjectAltNames: [spiffe://td/x]\n"
        "  endpoints: [{address: 10.0.0.1, serviceAccount: b}, {address: 10.0.0.2, serviceAccount: a}]"
    )
    registry = Registry.of(world(entry("a.test", inline)))
    found = registry.targets(("10.9.9.9", "10.0.0.1"))
    assert [(one.port.number, one.target_port) for one in found] == [(80, 8080), (90, 90)]
    assert registry.service_accounts("a.test", 80) == (
        "spiffe://cluster.local/ns/demo/sa/a",
        "spiffe://cluster.local/ns/demo/sa/b",
        "spiffe://td/x",
    )
    assert registry.service_accounts("a.test", 81) == ()
    assert registry.service_accounts("b.test", 80) == ()


@pytest.mark.parametrize(
    ("spaces", "own", "other"),
    [
        ([], True, True),
        (["*"], True, True),
        (["."], True, False),
        (["~"], False, False),
        (["other"], False, True),
        ([".", "other"], True, True),
    ],
)
def test_visibility(spaces: list[str], *, own: bool, other: bool) -> None:
    assert exported(frozenset(spaces), "demo", "demo") is own
    assert exported(frozenset(spaces), "demo", "other") is other


def test_built_once_for_a_world() -> None:
    where = world(entry("a.test"))
    assert Registry.of(where) is Registry.of(where)
