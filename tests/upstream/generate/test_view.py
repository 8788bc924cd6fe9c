# SPDX-License-Identifier: Apache-2.0
"""What a subject looks at, and that what proxies share is what each would have had alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.upstream.random_config import proxies, worlds
from tests.upstream.support import sidecar, world
from upstream.generate import TYPES, generate
from upstream.generate.view import view_of
from upstream.proxy import Interception, Proxy, ProxyType
from upstream.world import World


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(worlds, st.lists(proxies, min_size=2, max_size=4))
def test_sharing_changes_nothing(shared: World, many: list[Proxy]) -> None:
    for type_url in TYPES:
        for proxy in many:
            alone = World(shared.sources, mesh=shared.mesh)
            assert generate(type_url, proxy, shared, None) == generate(type_url, proxy, alone, None)


@pytest.mark.parametrize(
    "other",
    [
        {"type": ProxyType.ROUTER},
        {"domain": "other.svc.cluster.local"},
        {"namespace": "other"},
        {"interception": Interception.TPROXY},
        {"cluster_id": "c"},
        {"mesh_id": "m"},
        {"labels": {"app": "a"}},
        {"metadata": {"UNPRIVILEGED_POD": "true"}},
    ],
)
def test_proxies_that_differ_share_nothing(other: dict[str, object]) -> None:
    where = world()
    one = sidecar()
    two = replace(one, **other)  # type: ignore[arg-type]  # one field each
    assert view_of(one, where).group != view_of(two, where).group


def test_proxies_that_differ_in_their_address_share() -> None:
    where = world()
    one, two = sidecar(ip="10.0.0.1"), sidecar(ip="10.0.0.2")
    assert view_of(one, where).group == view_of(two, where).group


@pytest.mark.parametrize(
    ("kind", "mode", "router", "captured"),
    [
        (ProxyType.SIDECAR, Interception.REDIRECT, False, True),
        (ProxyType.SIDECAR, Interception.TPROXY, False, True),
        (ProxyType.SIDECAR, Interception.NONE, False, False),
        (ProxyType.ROUTER, Interception.REDIRECT, True, True),
    ],
)
def test_kinds(kind: ProxyType, mode: Interception, *, router: bool, captured: bool) -> None:
    view = view_of(sidecar(kind=kind, interception=mode), world())
    assert (view.router, view.captured) == (router, captured)


def test_targets_are_found_by_address() -> None:
    text = """
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {name: a, namespace: default}
    spec:
      hosts: [a.test]
      resolution: STATIC
      ports: [{number: 80, name: http, targetPort: 8080}]
      endpoints: [{address: 10.0.0.1}]
    """
    (target,) = view_of(sidecar(ip="10.0.0.1"), world(text)).targets
    assert (target.service.hostname, target.port.number, target.target_port) == ("a.test", 80, 8080)
    assert view_of(sidecar(ip="10.0.0.2"), world(text)).targets == ()
