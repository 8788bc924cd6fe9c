# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap.inputs import Sockets
from mesh.errors import BootstrapFailed
from tests.support.bootstrap import authored, inputs_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def clusters(**fields: Any) -> dict[str, Any]:
    data = json.loads(authored(inputs_for(**fields)))
    return {cluster["name"]: cluster for cluster in data["static_resources"]["clusters"]}


def address(cluster: dict[str, Any]) -> dict[str, Any]:
    group = cluster["load_assignment"]["endpoints"][0]
    return dict(group["lb_endpoints"][0]["endpoint"]["address"])


def test_ports_and_sockets() -> None:
    found = clusters(
        proxy_config={"proxyAdminPort": 1500, "statusPort": 1502},
        sockets=Sockets(xds="/p/XDS", workload="/s/socket"),
    )
    assert address(found["prometheus_stats"])["socket_address"]["port_value"] == 1500
    assert address(found["agent"])["socket_address"]["port_value"] == 1502
    assert address(found["xds-grpc"]) == {"pipe": {"path": "/p/XDS"}}
    assert address(found["sds-grpc"]) == {"pipe": {"path": "/s/socket"}}
    assert {cluster["alt_stat_name"] for cluster in found.values()} == {f"{n};" for n in found}


def test_the_files_cluster_stands_before_the_agents() -> None:
    names = list(clusters(metadata={"file-credential": "true"}))
    assert names == ["prometheus_stats", "agent", "sds-grpc", "sds-files-grpc", "xds-grpc"]


def test_local_cluster_is_found_over_ads() -> None:
    local = clusters(metadata={"ENABLE_SELF_DISCOVERY": "true"})["local_cluster"]
    assert local["type"] == "EDS"
    assert local["eds_cluster_config"]["eds_config"]["ads"] == {}
    assert local["common_lb_config"]["zone_aware_lb_config"]["min_cluster_size"] == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"no_such_field": 1}'])
def test_broken_load_stats_name_their_variable(text: str) -> None:
    with pytest.raises(BootstrapFailed) as caught:
        clusters(metadata={"LOAD_STATS_CONFIG_JSON": text})
    assert caught.value.field == "ISTIO_META_LOAD_STATS_CONFIG_JSON"
