# SPDX-License-Identifier: Apache-2.0
"""Which localities a proxy prefers."""

from __future__ import annotations

import pytest
from envoy.config.core.v3.base_pb2 import Locality as Place
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from google.protobuf.wrappers_pb2 import UInt32Value

from upstream.config import MeshConfig
from upstream.config.destination_rule import (
    Distribute,
    Failover,
    LoadBalancer,
    LocalitySetting,
    OutlierDetection,
    TrafficPolicy,
)
from upstream.generate.locality import prefer, setting_of, weighted_by_locality
from upstream.proxy import Locality

HERE = Locality.parse("r1/z1/s1")
PLACES = ("r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1")
OUTLIERS = OutlierDetection()
MESH = MeshConfig()


def policy(setting: LocalitySetting | None = None, *, outliers: bool = True) -> TrafficPolicy:
    balancer = LoadBalancer(locality_lb_setting=setting) if setting else None
    return TrafficPolicy(load_balancer=balancer, outlier_detection=OUTLIERS if outliers else None)


def groups(weights: dict[str, int] | None = None) -> list[LocalityLbEndpoints]:
    found = []
    for name in PLACES:
        there = Locality.parse(name)
        found.append(
            LocalityLbEndpoints(
                locality=Place(region=there.region, zone=there.zone, sub_zone=there.subzone),
                lb_endpoints=[LbEndpoint()],
                load_balancing_weight=UInt32Value(value=(weights or {}).get(name, 1)),
            )
        )
    return found


def priorities(one: TrafficPolicy, mesh: MeshConfig = MESH, here: Locality = HERE) -> list[int]:
    found = groups()
    prefer(found, one, mesh, here)
    return [group.priority for group in found]


def test_the_nearer_the_better_where_failures_are_noticed() -> None:
    assert priorities(policy()) == [0, 1, 2, 3, 3]
    assert priorities(policy(outliers=False)) == [0] * 5


def test_priorities_have_no_gaps() -> None:
    assert priorities(policy(), here=Locality.parse("r3/z1/s1")) == [1, 1, 1, 1, 0]


def test_failover_names_the_next_region() -> None:
    setting = LocalitySetting(failover=(Failover(from_="r1", to="r3"),))
    assert priorities(policy(setting)) == [0, 1, 2, 4, 3]


def test_off_and_nowhere() -> None:
    assert priorities(policy(LocalitySetting(enabled=False))) == [0] * 5
    assert priorities(policy(), here=Locality()) == [0] * 5


def test_the_rules_setting_before_the_meshs() -> None:
    mesh = MeshConfig(locality_lb_setting=LocalitySetting(enabled=False))
    assert setting_of(policy(), mesh) is None
    own = LocalitySetting(enabled=True)
    assert setting_of(policy(own), mesh) is own


def test_shares_are_divided_by_weight_and_the_rest_gets_nothing() -> None:
    shares = {"r1/z1/*": 70, "r2/*": 30}
    setting = LocalitySetting(distribute=(Distribute(from_="r1/*", to=shares),))
    found = groups({"r1/z1/s1": 3})
    prefer(found, policy(setting), MESH, HERE)
    kept = [(one.load_balancing_weight.value, len(one.lb_endpoints)) for one in found]
    assert kept == [(53, 1), (18, 1), (1, 0), (30, 1), (1, 0)]
    assert {one.priority for one in found} == {0}


def test_another_place_has_another_distribution() -> None:
    setting = LocalitySetting(distribute=(Distribute(from_="r9", to={"r1": 100}),))
    found = groups()
    prefer(found, policy(setting), MESH, HERE)
    assert found == groups()


@pytest.mark.parametrize(
    ("setting", "outliers", "weighted"),
    [
        (None, True, False),
        (LocalitySetting(distribute=(Distribute(from_="a", to={"b": 100}),)), False, True),
        (LocalitySetting(failover=(Failover(from_="a", to="b"),)), True, True),
        (LocalitySetting(failover=(Failover(from_="a", to="b"),)), False, False),
        (LocalitySetting(failover_priority=("x",)), True, True),
        (LocalitySetting(enabled=False), True, False),
    ],
)
def test_weights_count(setting: LocalitySetting | None, *, outliers: bool, weighted: bool) -> None:
    assert weighted_by_locality(policy(setting, outliers=outliers), MESH) is weighted


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("r1/z1/s1", 1),
        ("r1/z1/*", 2),
        ("r1/z1", 2),
        ("r1/*", 3),
        ("r1", 3),
        ("*", 5),
        ("r9/*", 0),
    ],
)
def test_patterns(pattern: str, kept: int) -> None:
    setting = LocalitySetting(distribute=(Distribute(from_="*", to={pattern: 100}),))
    found = groups()
    prefer(found, policy(setting), MESH, HERE)
    assert sum(bool(one.lb_endpoints) for one in found) == kept
