# SPDX-License-Identifier: Apache-2.0
"""The endpoints that a proxy would ask for are those of its own EDS clusters."""

from __future__ import annotations

import pytest

from tests.upstream.generate.made import clusters
from tests.upstream.support import sidecar, world
from upstream.generate.eds_names import eds_names
from upstream.generate.view import view_of
from upstream.proxy import ProxyType

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 53, name: dns, protocol: UDP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b, namespace: default}
spec:
  hosts: [b.test]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: c, namespace: default}
spec:
  hosts: [c.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default}
spec:
  host: a.test
  subsets:
  - {name: v1}
  - {name: through, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}
"""


def test_in_the_order_of_the_clusters_without_udp_dns_and_passthrough() -> None:
    view = view_of(sidecar(), world(TEXT))
    assert eds_names(view) == ["outbound|80||a.test", "outbound|80|v1|a.test"]


@pytest.mark.parametrize("kind", [ProxyType.SIDECAR, ProxyType.ROUTER])
def test_exactly_the_eds_clusters(kind: ProxyType) -> None:
    proxy, where = sidecar(kind=kind), world(TEXT)
    found = [name for name, one in clusters(proxy, where).items() if one.type == one.EDS]
    assert eds_names(view_of(proxy, where)) == found
