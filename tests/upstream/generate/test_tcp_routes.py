# SPDX-License-Identifier: Apache-2.0
"""Where connections go that are not HTTP, and what tells them apart."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from tests.upstream.generate.made import plain
from tests.upstream.support import sidecar, world
from upstream.generate.tcp_routes import TcpChain, tcp_chains, tcp_filter
from upstream.generate.view import View, view_of

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec: {hosts: ['HOST'], addresses: [ADDRESSES], ports: [{number: 9, name: p, protocol: PROTOCOL}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: default}
spec: {host: a.test, trafficPolicy: {connectionPool: {tcp: {idleTimeout: 5s}}}}
"""
ROUTE = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: ['HOST'], KIND: [RULES]}
"""
TO = "route: [{destination: {host: b.test}}]"


def view(protocol: str = "TCP", addresses: str = "", rules: str = "", host: str = "a.test") -> View:
    text = SERVICE.replace("PROTOCOL", protocol).replace("ADDRESSES", addresses)
    if rules:
        kind = "tls" if protocol == "TLS" else "tcp"
        text += ROUTE.replace("KIND", kind).replace("RULES", rules)
    return view_of(sidecar(labels={"app": "a"}), world(text.replace("HOST", host)))


def chains(where: View) -> list[TcpChain]:
    (service,) = where.scope.services
    return tcp_chains(where, service, service.ports[0])


@pytest.mark.parametrize(
    ("protocol", "addresses", "networks", "names"),
    [
        ("TCP", "", (), ()),
        ("TCP", "10.9.0.1", (), ()),
        ("TCP", "10.9.0.0/24", ("10.9.0.0/24",), ()),
        ("TLS", "", (), ("a.test",)),
        ("TLS", "10.9.0.1", (), ()),
        ("TLS", "10.9.0.0/24", ("10.9.0.0/24",), ()),
    ],
)
def test_a_services_own(
    protocol: str, addresses: str, networks: tuple[str, ...], names: tuple[str, ...]
) -> None:
    (one,) = chains(view(protocol, addresses))
    assert (one.networks, one.server_names) == (networks, names)
    assert one.unmatched is not bool(networks or names)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (f"{{{TO}}}", [()]),
        (f"{{match: [{{destinationSubnets: [10.0.0.0/8]}}], {TO}}}", [("10.0.0.0/8",), ()]),
        (f"{{match: [{{port: 10}}], {TO}}}", [()]),
        (
            f"{{match: [{{port: 9}}], {TO}}}, {{match: [{{destinationSubnets: [10.0.0.0/8]}}], {TO}}}",
            [()],
        ),
        (
            f"{{match: [{{destinationSubnets: [10.0.0.0/8]}}, {{destinationSubnets: [11.0.0.0/8]}}], {TO}}}",
            [("10.0.0.0/8",), ("11.0.0.0/8",), ()],
        ),
        (f"{{match: [{{sourceLabels: {{app: b}}}}], {TO}}}", [()]),
        (f"{{match: [{{sourceNamespace: other}}], {TO}}}", [()]),
        (f"{{match: [{{gateways: [g]}}], {TO}}}", [()]),
    ],
)
def test_tcp_rules(rules: str, expected: list[tuple[str, ...]]) -> None:
    assert [one.networks for one in chains(view(rules=rules))] == expected


def test_a_rule_for_everything_leaves_the_service_nothing() -> None:
    (one,) = chains(view(rules=f"{{{TO}}}"))
    assert one.destinations[0].destination.host == "b.test"


@pytest.mark.parametrize(
    ("match", "addresses", "names", "networks"),
    [
        ("sniHosts: [x.test, y.test]", "", ("x.test", "y.test"), ()),
        ("sniHosts: [x.test]", "10.9.0.0/24", ("x.test",), ("10.9.0.0/24",)),
        (
            "sniHosts: [x.test], destinationSubnets: [10.8.0.0/24]",
            "",
            ("x.test",),
            ("10.8.0.0/24",),
        ),
    ],
)
def test_tls_rules(
    match: str, addresses: str, names: tuple[str, ...], networks: tuple[str, ...]
) -> None:
    rule = f"{{match: [{{{match}}}], {TO}}}"
    (one,) = chains(view("TLS", addresses, rule, host="*.test"))
    assert (one.server_names, one.networks) == (names, networks)


def chain(networks: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> TcpChain:
    (service,) = view().scope.services
    return TcpChain(service=service, port=service.ports[0], networks=networks, server_names=names)


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        (chain(names=("a",)), chain(names=("b",)), [((), ("b",))]),
        (chain(names=("a",)), chain(names=("a", "b")), [((), ("b",))]),
        (chain(names=("a",)), chain(names=("a",)), []),
        (chain(), chain(), []),
        (chain(), chain(names=("a",)), [((), ("a",))]),
        (chain(("10.0.0.1",)), chain(("10.0.0.1/32",)), []),
        (
            chain(("10.0.0.0/8",), ("a",)),
            chain(("10.0.0.0/8", "11.0.0.0/8"), ("a", "b")),
            [(("10.0.0.0/8",), ("b",)), (("11.0.0.0/8",), ("a", "b"))],
        ),
        (
            chain(("10.0.0.0/8",), ("a",)),
            chain(("11.0.0.0/8", "12.0.0.0/8"), ("a",)),
            [(("11.0.0.0/8", "12.0.0.0/8"), ("a",))],
        ),
    ],
)
def test_what_is_left_where_others_came_first(
    first: TcpChain, second: TcpChain, left: list[tuple[tuple[str, ...], tuple[str, ...]]]
) -> None:
    found = [(one.networks, one.server_names) for one in second.without(first.matches)]
    assert found == left


def proxied(where: View) -> dict[str, Any]:
    made = TcpProxy()
    (one,) = chains(where)
    assert tcp_filter(where, one).typed_config.Unpack(made)
    return plain(made)


def test_to_the_services_own_cluster() -> None:
    assert proxied(view()) == {
        "statPrefix": "outbound|9||a.test",
        "cluster": "outbound|9||a.test",
        "idleTimeout": "5s",
    }


def test_to_one_of_several() -> None:
    two = "route: [{destination: {host: b.test}, weight: 3}, {destination: {host: c.test, subset: s}, weight: 7}]"
    made = proxied(view(rules=f"{{{two}}}"))
    assert made["statPrefix"] == "v.default"
    assert made["weightedClusters"]["clusters"] == [
        {"name": "outbound|9||b.test", "weight": 3},
        {"name": "outbound|9|s|c.test", "weight": 7},
    ]
