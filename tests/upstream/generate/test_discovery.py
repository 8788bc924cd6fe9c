# SPDX-License-Identifier: Apache-2.0
"""Where addresses come from, by the service, the rule and the kind of proxy."""

from __future__ import annotations

import pytest

from tests.upstream.support import sidecar, world
from upstream.config.destination_rule import Balance, LoadBalancer, TrafficPolicy
from upstream.generate.discovery import discovery_of
from upstream.generate.view import view_of
from upstream.proxy import ProxyType
from upstream.registry import Discovery

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec: {hosts: [a.test], resolution: RESOLUTION, ports: [{number: 80, name: http}]}
"""
NOTHING = TrafficPolicy()
THROUGH = TrafficPolicy(load_balancer=LoadBalancer(simple=Balance.PASSTHROUGH))


@pytest.mark.parametrize(
    ("resolution", "policy", "kind", "expected"),
    [
        ("STATIC", NOTHING, ProxyType.SIDECAR, Discovery.EDS),
        ("DNS", NOTHING, ProxyType.ROUTER, Discovery.STRICT_DNS),
        ("NONE", NOTHING, ProxyType.SIDECAR, Discovery.PASSTHROUGH),
        ("NONE", NOTHING, ProxyType.ROUTER, Discovery.EDS),
        ("STATIC", THROUGH, ProxyType.SIDECAR, Discovery.PASSTHROUGH),
        ("STATIC", THROUGH, ProxyType.ROUTER, Discovery.EDS),
    ],
)
def test_discovery(
    resolution: str, policy: TrafficPolicy, kind: ProxyType, expected: Discovery
) -> None:
    view = view_of(sidecar(kind=kind), world(TEXT.replace("RESOLUTION", resolution)))
    (service,) = view.registry.services
    assert discovery_of(view, service, policy) is expected
