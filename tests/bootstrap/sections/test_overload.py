# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bootstrap import authored, inputs_for, validate

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def manager(**fields: Any) -> dict[str, Any]:
    found = json.loads(authored(inputs_for(**fields)))["overload_manager"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({}, 2147483647),
        ({"proxyMetadata": {"ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS": "x"}}, 2147483647),
        ({"runtimeValues": {"overload.global_downstream_max_connections": "-1"}}, 2147483647),
        ({"connectionSettings": {"globalDownstreamConnectionLimit": 7}}, 7),
    ],
)
def test_connection_limit(config: dict[str, Any], limit: int) -> None:
    monitor = manager(proxy_config=config)["resource_monitors"][0]
    assert int(monitor["typed_config"]["max_active_downstream_connections"]) == limit


def test_a_heap_is_watched_only_where_asked_for() -> None:
    assert [*manager()] == ["resource_monitors"]
    assert len(manager()["resource_monitors"]) == 1


def test_gentle_measures_come_first() -> None:
    found = manager(heap_limit=400 << 20)
    heap = found["resource_monitors"][1]
    assert heap["name"] == "envoy.resource_monitors.fixed_heap"
    assert int(heap["typed_config"]["max_heap_size_bytes"]) == 400 << 20
    shares = [each["triggers"][0]["threshold"]["value"] for each in found["actions"]]
    assert shares == sorted(shares)
    assert found["actions"][0]["name"] == "envoy.overload_actions.shrink_heap"
    assert {each["triggers"][0]["name"] for each in found["actions"]} == {heap["name"]}


@pytest.mark.envoy
def test_envoy_accepts_a_heap_limit(tmp_path: Path) -> None:
    validate(authored(inputs_for(heap_limit=400 << 20)), tmp_path)
