# SPDX-License-Identifier: Apache-2.0
"""Real Envoy takes whatever valid configuration makes of it: fixed meshes with everything, and random ones."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.upstream.accepted import complaint, refusal, static
from tests.upstream.random_config import proxies, worlds
from tests.upstream.support import sidecar, world
from upstream.proxy import Interception, Proxy, ProxyType
from upstream.world import World

pytestmark = pytest.mark.envoy

Case = tuple[Proxy, World]
MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  addresses: [10.9.0.1]
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 3306, name: tcp, protocol: TCP}
  - {number: 9000, name: any}
  endpoints: [{address: 10.1.0.1, serviceAccount: a, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec:
  hosts: [a]
  http:
  - match: [{uri: {regex: '/r[0-9]+'}, headers: {x: {regex: 'PATTERN'}}}]
    fault: {delay: {fixedDelay: 1s, percentage: {value: 10}}, abort: {httpStatus: 503}}
    route: [{destination: {host: a, subset: v1}}]
  - route: [{destination: {host: a}}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: p, namespace: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: z, namespace: default}
spec:
  rules:
  - from: [{source: {principals: ['*/sa/odd(name'], namespaces: ['odd[*']}}]
    to: [{operation: {paths: ['/a/{*}/b', '/c/{**}'], methods: [GET]}}]
"""


def case(yaml: str = MESH, kind: ProxyType = ProxyType.SIDECAR, **more: Interception) -> Case:
    text = yaml.replace("PATTERN", "v+")
    return sidecar(kind=kind, ip="10.1.0.1", **more), world(text)  # type: ignore[arg-type]  # only modes


def test_a_mesh_with_everything(tmp_path: Path) -> None:
    cases = {mode.value: case(interception=mode) for mode in Interception}
    assert complaint({**cases, "router": case(kind=ProxyType.ROUTER)}, tmp_path) == ""


def test_the_witness_names_one_bad_listener_among_good_ones(tmp_path: Path) -> None:
    config = static({"good": case(), "bad": case()})
    listeners = config["static_resources"]["listeners"]
    wrong = next(one for one in listeners if one["name"] == "bad/virtualInbound")
    wrong["filterChains"].append(wrong["filterChains"][-1])
    said = refusal(config, tmp_path)
    assert said.startswith("bad/virtualInbound: ")
    assert "matching rules" in said


OVERLAPPING = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: w, namespace: default}
spec: {hosts: ['*.w.test'], ports: [{number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec:
  hosts: ['*.w.test']
  tls:
  - match: [{sniHosts: [a.w.test, b.w.test]}]
    route: [{destination: {host: one.test}}]
  - match: [{sniHosts: [b.w.test, c.w.test]}, {sniHosts: [a.w.test], destinationSubnets: [10.0.0.0/8]}]
    route: [{destination: {host: two.test}}]
"""


def test_server_names_in_two_rules(tmp_path: Path) -> None:
    assert complaint({"overlapping": case(OVERLAPPING)}, tmp_path) == ""


def drawn(count: int, *, derandomize: bool) -> dict[str, Case]:
    """So many meshes, each seen by one proxy. All go to one Envoy: its start costs more than they do."""
    found: dict[str, Case] = {}

    @settings(
        max_examples=count,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(proxies, worlds)
    def collect(proxy: Proxy, where: World) -> None:
        found[str(len(found))] = (proxy, where)

    collect()
    return found


def check(cases: dict[str, Case], home: Path) -> None:
    said = complaint(cases, home)
    named = re.search(r"\b(\d+)/", said)
    assert said == "", (said, cases.get(named.group(1)) if named else None)


def test_random_meshes(tmp_path: Path) -> None:
    check(drawn(60, derandomize=True), tmp_path)


@pytest.mark.long
def test_many_random_meshes(tmp_path: Path) -> None:
    """New ones at each run at a desk; the same ones where a change is judged by them."""
    if os.environ.get("CI"):
        check(drawn(1000, derandomize=True), tmp_path)
        return
    for _ in range(4):
        check(drawn(500, derandomize=False), tmp_path)
