# SPDX-License-Identifier: Apache-2.0
"""Which outbound listeners a proxy has, and what shares them."""

from __future__ import annotations

import pytest

from tests.upstream.support import sidecar, world
from upstream.generate.outbound_plan import Planned, outbound_plan, route_names
from upstream.generate.view import View, view_of
from upstream.proxy import Interception

SERVICE = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: default}
spec: {hosts: [NAME.test], addresses: [ADDRESS], ports: [{number: NUMBER, name: p, protocol: PROTOCOL}]}
"""
EGRESS = """---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec: {egress: [{port: {number: NUMBER, protocol: PROTOCOL, name: p}, BIND hosts: ['*/*']}, {hosts: ['*/*']}]}
"""


def service(name: str, number: int, protocol: str = "HTTP", address: str = "") -> str:
    text = SERVICE.replace("NAME", name).replace("NUMBER", str(number))
    return text.replace("PROTOCOL", protocol).replace("ADDRESS", address)


def egress(number: int, protocol: str, bind: str = "") -> str:
    text = EGRESS.replace("NUMBER", str(number)).replace("PROTOCOL", protocol)
    return text.replace("BIND", f"bind: '{bind}', " if bind else "")


def view(text: str, mode: Interception = Interception.REDIRECT, **metadata: str) -> View:
    return view_of(sidecar(interception=mode, metadata=metadata), world(text))


def plan(text: str, mode: Interception = Interception.REDIRECT) -> dict[str, Planned]:
    return {one.name: one for one in outbound_plan(view(text, mode))}


@pytest.mark.parametrize(
    ("text", "name", "route", "chains"),
    [
        (service("a", 80), "0.0.0.0_80", "80", 0),
        (service("a", 80, address="10.9.0.1"), "0.0.0.0_80", "80", 0),
        (service("a", 90, "TCP"), "0.0.0.0_90", "", 1),
        (service("a", 90, "TCP", "10.9.0.1"), "10.9.0.1_90", "", 1),
        (service("a", 90, "TCP", "10.9.0.0/24"), "0.0.0.0_90", "", 1),
        (service("a", 90, "''"), "0.0.0.0_90", "90", 1),
        (service("a", 90, "''", "10.9.0.1"), "10.9.0.1_90", "a.test:90", 1),
    ],
)
def test_by_protocol_and_address(text: str, name: str, route: str, chains: int) -> None:
    (one,) = plan(text).values()
    assert (one.name, one.route, len(one.chains)) == (name, route, chains)
    assert not one.real


@pytest.mark.parametrize(
    "text", [service("a", 53, "UDP"), service("a", 15001), service("a", 15090, "TCP")]
)
def test_no_listener(text: str) -> None:
    assert plan(text) == {}


def test_http_ports_are_shared_and_tcp_joins_in() -> None:
    (one,) = plan(service("a", 80) + service("b", 80) + service("c", 80, "TCP")).values()
    assert (one.route, len(one.chains), one.shared) == ("80", 1, True)


def test_of_two_that_nothing_tells_apart_the_first_stays() -> None:
    (one,) = plan(service("a", 90, "TCP") + service("b", 90, "TCP")).values()
    assert [chain.service.hostname for chain in one.chains] == ["a.test"]


def test_without_capture_on_loopback() -> None:
    (one,) = plan(service("a", 90, "TCP", "10.9.0.1"), Interception.NONE).values()
    assert (one.name, one.real) == ("127.0.0.1_90", True)


def test_a_pod_without_privileges_has_no_low_ports() -> None:
    text = service("a", 80) + service("b", 8080)
    where = view(text, Interception.NONE, UNPRIVILEGED_POD="true")
    assert [one.port for one in outbound_plan(where)] == [8080]


@pytest.mark.parametrize(
    ("text", "name", "route"),
    [
        (egress(15007, "HTTP_PROXY", "127.0.0.1"), "127.0.0.1_15007", "15007"),
        (egress(90, "HTTP"), "0.0.0.0_90", "90"),
        (egress(0, "HTTP", "unix:///x"), "unix:///x", "unix:///x"),
    ],
)
def test_listeners_that_a_sidecar_asks_for(text: str, name: str, route: str) -> None:
    assert plan(text)[name].route == route


def test_its_address_is_its_own() -> None:
    found = plan(service("a", 90) + service("b", 90, "TCP", "10.9.0.1") + egress(90, "HTTP"))
    assert set(found) == {"0.0.0.0_90"}


def test_tcp_that_leads_nowhere_is_no_listener() -> None:
    assert plan(egress(3128, "TCP")) == {}
    (one,) = [
        p for p in plan(service("a", 90, "TCP") + egress(3128, "TCP")).values() if p.port == 3128
    ]
    assert [chain.port.number for chain in one.chains] == [90]


def test_routes_that_are_referred_to() -> None:
    text = service("a", 80) + service("b", 90, "TCP") + service("c", 70, "''", "10.9.0.1")
    assert route_names(view(text)) == ["80", "c.test:70"]
