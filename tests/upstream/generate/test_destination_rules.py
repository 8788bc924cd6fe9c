# SPDX-License-Identifier: Apache-2.0
"""Whose DestinationRule holds, and what of it for a port and a subset."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.support import sidecar, world
from upstream.config.destination_rule import Balance
from upstream.generate.destination_rules import NOTHING, Rule, inbound_rule_for, rule_for
from upstream.registry import Registry, Service
from upstream.world import World

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: server}
spec:
  hosts: [a.server.svc.cluster.local]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: more, protocol: HTTP}]
"""
HOST = "a.server.svc.cluster.local"


def rule(name: str, namespace: str, spec: str) -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def service(where: World) -> Service:
    (found,) = Registry.of(where).by_host[HOST]
    return found


def chosen(text: str, namespace: str = "client", **more: Any) -> Rule | None:
    where = world(ENTRY + text)
    return rule_for(sidecar(namespace, **more), service(where), where)


FULL = f"{{host: {HOST}}}"
WILD = '{host: "*.svc.cluster.local"}'


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], None),
        ([("root", "istio-system", FULL)], "root"),
        ([("root", "istio-system", FULL), ("srv", "server", FULL)], "srv"),
        ([("srv", "server", FULL), ("cli", "client", FULL)], "cli"),
        ([("other", "elsewhere", FULL)], None),
        ([("cli", "client", WILD), ("srv", "server", FULL)], "cli"),
        ([("wild", "client", WILD), ("full", "client", FULL)], "full"),
        ([("short", "server", "{host: a}")], "short"),
        ([("short", "client", "{host: a}")], None),
        ([("srv", "server", f"{{host: {HOST}, exportTo: ['.']}}")], None),
        ([("srv", "server", f"{{host: {HOST}, exportTo: [client]}}")], "srv"),
        ([("cli", "client", f"{{host: {HOST}, exportTo: [server]}}")], "cli"),
    ],
)
def test_the_clients_namespace_then_the_services_then_the_roots(
    rules: list[tuple[str, str, str]], expected: str | None
) -> None:
    found = chosen("".join(rule(*one) for one in rules))
    assert (found.name if found else None) == expected


def test_in_the_root_namespace_only_private_rules_are_local() -> None:
    """A rule for everyone there is the mesh's default, which the service's own goes over."""
    public = rule("mesh", "istio-system", FULL) + rule("srv", "server", FULL)
    private = rule("mesh", "istio-system", f"{{host: {HOST}, exportTo: ['.']}}")
    found = chosen(public, "istio-system")
    assert found is not None
    assert found.name == "srv"
    found = chosen(private + rule("srv", "server", FULL), "istio-system")
    assert found is not None
    assert found.name == "mesh"


def test_selected_workloads_have_a_rule_of_their_own() -> None:
    text = rule("all", "client", FULL) + rule(
        "some", "client", f"{{host: {HOST}, workloadSelector: {{matchLabels: {{app: x}}}}}}"
    )
    mine, others = chosen(text, labels={"app": "x"}), chosen(text, labels={"app": "y"})
    assert mine is not None
    assert mine.name == "some"
    assert others is not None
    assert others.name == "all"


def test_selectors_do_not_count_for_traffic_that_comes_in() -> None:
    where = world(
        ENTRY
        + rule("s", "server", f"{{host: {HOST}, workloadSelector: {{matchLabels: {{app: x}}}}}}")
    )
    proxy = sidecar("server", labels={"app": "x"})
    assert rule_for(proxy, service(where), where) is not None
    assert inbound_rule_for(proxy, service(where), where) is None


def test_rules_of_one_host_become_one() -> None:
    text = rule("a", "client", f"{{host: {HOST}, subsets: [{{name: v1}}]}}") + rule(
        "b",
        "client",
        f"{{host: {HOST}, trafficPolicy: {{loadBalancer: {{simple: RANDOM}}}},"
        " subsets: [{name: v1, labels: {x: y}}, {name: v2}]}",
    )
    found = chosen(text)
    assert found is not None
    assert (found.name, [one.name for one in found.subsets]) == ("a", ["v1", "v2"])
    assert found.subsets[0].labels == {}
    assert found.policy is not None


POLICY = f"""
  host: {HOST}
  trafficPolicy:
    loadBalancer: {{simple: RANDOM}}
    outlierDetection: {{minHealthPercent: 1}}
    portLevelSettings:
    - {{port: {{number: 81}}, loadBalancer: {{simple: ROUND_ROBIN}}}}
  subsets:
  - {{name: plain}}
  - name: own
    trafficPolicy:
      loadBalancer: {{simple: LEAST_REQUEST}}
      portLevelSettings: [{{port: {{number: 80}}, outlierDetection: {{minHealthPercent: 2}}}}]
"""


@pytest.mark.parametrize(
    ("port", "subset", "balance", "health"),
    [
        (80, "", Balance.RANDOM, 1),
        (81, "", Balance.ROUND_ROBIN, None),
        (80, "plain", Balance.RANDOM, 1),
        (81, "plain", Balance.ROUND_ROBIN, None),
        (81, "own", Balance.LEAST_REQUEST, None),
        (80, "own", None, 2),
    ],
)
def test_a_port_replaces_a_subset_overrides(
    port: int, subset: str, balance: Balance | None, health: int | None
) -> None:
    where = world(ENTRY + rule("r", "client", POLICY))
    found = rule_for(sidecar("client"), service(where), where)
    service_port = service(where).port(port)
    assert found is not None
    assert service_port is not None
    policy = found.policy_for(service_port, found.subset(subset) if subset else None)
    assert (policy.load_balancer.simple if policy.load_balancer else None) == balance
    outlier = policy.outlier_detection
    assert (outlier.min_health_percent if outlier else None) == health


def test_a_rule_without_policy_says_nothing() -> None:
    where = world(ENTRY + rule("r", "client", FULL))
    found = rule_for(sidecar("client"), service(where), where)
    port = service(where).port(80)
    assert found is not None
    assert port is not None
    assert found.policy_for(port) == NOTHING
    assert found.config_path.endswith("/namespaces/client/destination-rule/r")
