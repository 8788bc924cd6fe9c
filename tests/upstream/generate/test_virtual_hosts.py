# SPDX-License-Identifier: Apache-2.0
"""Which names a virtual host answers to."""

from __future__ import annotations

import pytest

from tests.upstream.support import sidecar, world
from upstream.generate.view import view_of
from upstream.generate.virtual_hosts import Domains, domains_of, short_names, with_port

OWN = "demo.svc.cluster.local"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.demo.svc.cluster.local", ["a", "a.demo.svc", "a.demo"]),
        ("a.other.svc.cluster.local", ["a.other", "a.other.svc"]),
        ("a.b.test", []),
        ("demo.svc.cluster.local", []),
        ("*.demo.svc.cluster.local", []),
        ("x.local", ["x"]),
    ],
)
def test_short_names(host: str, expected: list[str]) -> None:
    assert short_names(host, OWN) == expected


def test_all_names_of_a_service() -> None:
    text = """
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {name: a, namespace: demo}
    spec:
      hosts: [a.demo.svc.cluster.local]
      addresses: [10.9.0.1, 'fd00::9']
      ports: [{number: 80, name: http}]
    """
    view = view_of(sidecar("demo"), world(text))
    names, short = domains_of(view.registry.services[0], view)
    host = "a.demo.svc.cluster.local"
    assert names == [host, f"{host}.", "a", "a.demo.svc", "a.demo", "10.9.0.1", "[fd00::9]"]
    assert short == ["a", "a.demo.svc", "a.demo"]


def test_a_name_has_one_host() -> None:
    domains = Domains(["real"])
    assert domains.take(["a", "b"]) == ["a", "b"]
    assert domains.take(["A", "c"]) == ["c"]
    assert domains.take(["real", "x"], short=["real"]) == ["x"]
    assert domains.take(["real"]) == ["real"]


@pytest.mark.parametrize(("port", "expected"), [(80, ["a", "a:80"]), (9080, ["a:9080"])])
def test_behind_an_explicit_proxy_any_port_is_told_apart(port: int, expected: list[str]) -> None:
    assert with_port(["a"], port) == expected
