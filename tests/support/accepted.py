# SPDX-License-Identifier: Apache-2.0
"""Responses as Envoy acknowledged them: named clusters, in either variant."""

from __future__ import annotations

from agent.xds.kept import Accepted
from tests.support.fakeads import FakeAds
from wire import types
from wire.scan import Variant


def delta(*names: str, removed: tuple[str, ...] = (), version: str = "1") -> Accepted:
    ads = FakeAds(version=version)
    ads.put(types.CLUSTER, *names)
    message = ads.delta(types.CLUSTER)
    message.removed_resources.extend(removed)
    return Accepted(types.CLUSTER, Variant.DELTA, message.SerializeToString())


def sotw(*names: str) -> Accepted:
    ads = FakeAds()
    ads.put(types.CLUSTER, *names)
    return Accepted(types.CLUSTER, Variant.SOTW, ads.sotw(types.CLUSTER).SerializeToString())
