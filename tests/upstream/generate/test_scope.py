# SPDX-License-Identifier: Apache-2.0
"""What a proxy sees of the mesh, with and without a Sidecar."""

from __future__ import annotations

import pytest

from tests.upstream.support import sidecar, world
from upstream.config.sidecar import OutboundMode
from upstream.generate.scope import Scope, scope_of

SERVICE = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: SPACE}
spec: {hosts: [HOST], exportTo: [EXPORT], ports: [{number: 80, name: http, protocol: HTTP}]}
"""
SIDECAR = """---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: NAME, namespace: SPACE}
spec: {SPEC}
"""
ROUTE = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec: {hosts: [a.test], http: [{route: [{destination: {host: c.test}}]}]}
"""


def service(host: str, space: str = "default", export: str = "'*'") -> str:
    name = host.strip("*.").replace(".", "-")
    text = SERVICE.replace("NAME", name).replace("SPACE", space)
    return text.replace("HOST", f"'{host}'").replace("EXPORT", export)


def egress(hosts: str, name: str = "s", space: str = "default", more: str = "") -> str:
    text = SIDECAR.replace("NAME", name).replace("SPACE", space)
    return text.replace("SPEC", f"{more}egress: [{{hosts: [{hosts}]}}]")


ALL = service("a.test") + service("b.test", "other") + service("c.test", "other", "'.'")


def scope(text: str, namespace: str = "default", labels: dict[str, str] | None = None) -> Scope:
    return scope_of(sidecar(namespace, labels=labels), world(text))


def seen(text: str, namespace: str = "default", labels: dict[str, str] | None = None) -> list[str]:
    return [one.hostname for one in scope(text, namespace, labels).services]


def test_everything_that_is_exported() -> None:
    assert seen(ALL) == ["a.test", "b.test"]
    assert seen(ALL, "other") == ["a.test", "b.test", "c.test"]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("'*/*'", ["a.test", "b.test"]),
        ("'./*'", ["a.test"]),
        ("other/*", ["b.test"]),
        ("default/b.test", []),
        ("'*/b.test'", ["b.test"]),
        ("'*/*.test'", ["a.test", "b.test"]),
        ("'~/*'", []),
        ("'./*', '*/b.test'", ["a.test", "b.test"]),
    ],
)
def test_what_a_sidecar_imports(hosts: str, expected: list[str]) -> None:
    assert seen(ALL + egress(hosts)) == expected


def test_where_its_routes_lead_is_imported_too() -> None:
    text = service("a.test") + service("c.test", "other") + ROUTE
    assert seen(text + egress("'./*'")) == ["a.test", "c.test"]


CHOICE = "workloadSelector: {labels: {app: a}}, "


@pytest.mark.parametrize(
    ("labels", "namespace", "name"),
    [
        ({"app": "a"}, "default", "selected"),
        ({"app": "b"}, "default", "own"),
        ({"app": "a"}, "other", "root"),
    ],
)
def test_which_sidecar(labels: dict[str, str], namespace: str, name: str) -> None:
    text = (
        egress("'*/*'", "own")
        + egress("'*/*'", "selected", more=CHOICE)
        + egress("'*/*'", "root", "istio-system")
    )
    chosen = scope(text, namespace, labels).sidecar
    assert chosen is not None
    assert chosen.name == name


def test_the_own_namespaces_service_before_anothers() -> None:
    text = service("same.test") + service("same.test", "other")
    assert [one.namespace for one in scope(text, "other").services] == ["other"]
    assert [one.namespace for one in scope(text, "third").services] == ["default"]
    listed = text + egress("other/same.test, './*'")
    assert [one.namespace for one in scope(listed).services] == ["other"]


def test_outbound_policy() -> None:
    assert scope("").outbound.mode is OutboundMode.ALLOW_ANY
    text = SIDECAR.replace("NAME", "s").replace("SPACE", "default")
    known = text.replace("SPEC", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
    assert scope(known).outbound.mode is OutboundMode.REGISTRY_ONLY


def test_the_listener_that_serves_a_port() -> None:
    text = SIDECAR.replace("NAME", "s").replace("SPACE", "default")
    both = (
        "egress: [{port: {number: 90, protocol: HTTP, name: h}, hosts: ['*/*']}, {hosts: ['*/*']}]"
    )
    found = scope(text.replace("SPEC", both))
    own, rest = found.listener_for(90), found.listener_for(80)
    assert own is not None
    assert rest is not None
    assert (own.port is not None, rest.port) == (True, None)


def test_shared_by_proxies_of_one_sidecar() -> None:
    where = world(ALL)
    assert scope_of(sidecar(ip="10.0.0.1"), where) is scope_of(sidecar(ip="10.0.0.2"), where)
    assert scope_of(sidecar("other"), where) is not scope_of(sidecar(), where)


def test_by_host_the_first() -> None:
    found = scope(ALL)
    assert found.by_host["a.test"] is found.services[0]
    assert set(found.by_host) == {"a.test", "b.test"}


@pytest.mark.parametrize(
    ("hosts", "imported"),
    [
        ("'*/*'", True),
        ("'./*'", True),
        ("other/*", False),
        ("'*/a.test'", True),
        ("'*/*.test'", True),
        ("'*/b.test'", False),
    ],
)
def test_routes_are_imported_by_their_hosts(hosts: str, *, imported: bool) -> None:
    (listener,) = scope(ROUTE + egress(hosts)).egress
    assert bool(listener.routings) is imported
