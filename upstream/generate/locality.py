# SPDX-License-Identifier: Apache-2.0
"""Which localities a proxy prefers: distribution and failover. Pure. Source: spec/upstream.md 7.9, 21.4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from envoy.config.endpoint.v3 import endpoint_components_pb2

from upstream.config.destination_rule import Distribute, LocalitySetting, TrafficPolicy
from upstream.config.mesh import MeshConfig
from upstream.proxy import Locality

_Group: TypeAlias = endpoint_components_pb2.LocalityLbEndpoints


def setting_of(policy: TrafficPolicy, mesh: MeshConfig) -> LocalitySetting | None:
    """The setting in force: the rule's, else the mesh's; None when switched off."""
    own = policy.load_balancer.locality_lb_setting if policy.load_balancer else None
    setting = own or mesh.locality_lb_setting or LocalitySetting()
    return None if setting.enabled is False else setting


def weighted_by_locality(policy: TrafficPolicy, mesh: MeshConfig) -> bool:
    """Whether Envoy is to look at the localities' weights."""
    setting = setting_of(policy, mesh)
    if setting is None:
        return False
    failing_over = bool(setting.failover or setting.failover_priority)
    return bool(setting.distribute) or (failing_over and policy.outlier_detection is not None)


def prefer(groups: list[_Group], policy: TrafficPolicy, mesh: MeshConfig, here: Locality) -> None:
    """Set weights or priorities of ``groups`` in place, as seen from ``here``."""
    setting = setting_of(policy, mesh)
    if setting is None or here == Locality():
        return
    if setting.distribute:
        for entry in setting.distribute:
            if _fits(here, entry.from_):
                _distribute(groups, entry)
                return
        return
    if policy.outlier_detection is not None:
        _prioritize(groups, setting, here)


def _fits(locality: Locality, pattern: str) -> bool:
    """``region/zone/subzone`` with a ``*`` for the rest; a missing rest is anything."""
    parts = (locality.region, locality.zone, locality.subzone)
    for have, want in zip(parts, pattern.split("/"), strict=False):
        if want == "*":
            return True
        if have != want:
            return False
    return True


def _of(group: _Group) -> Locality:
    return Locality(
        region=group.locality.region, zone=group.locality.zone, subzone=group.locality.sub_zone
    )


def _distribute(groups: Sequence[_Group], entry: Distribute) -> None:
    """Each target's share is divided among its localities by their weight; the rest get nothing."""
    remaining = list(groups)
    for pattern, share in entry.to.items():
        chosen = [group for group in remaining if _fits(_of(group), pattern)]
        remaining = [group for group in remaining if group not in chosen]
        total = sum(group.load_balancing_weight.value for group in chosen)
        for group in chosen:
            weight = group.load_balancing_weight.value * share / total
            group.load_balancing_weight.value = math.ceil(weight)
    for group in remaining:
        del group.lb_endpoints[:]


def _prioritize(groups: Sequence[_Group], setting: LocalitySetting, here: Locality) -> None:
    ranks = [_rank(_of(group), setting, here) for group in groups]
    order = {rank: index for index, rank in enumerate(sorted(set(ranks)))}
    for group, rank in zip(groups, ranks, strict=True):
        group.priority = order[rank]


def _rank(there: Locality, setting: LocalitySetting, here: Locality) -> int:
    if there.region != here.region:
        targets = [entry.to for entry in setting.failover if entry.from_ == here.region]
        return 4 if targets and there.region != targets[0] else 3
    if there.zone != here.zone:
        return 2
    return 1 if there.subzone != here.subzone else 0
