# SPDX-License-Identifier: Apache-2.0
"""The connection manager and the order of its filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpFilter,
)

from tests.upstream.generate.made import plain
from tests.upstream.support import sidecar, world
from upstream.generate.http_connection import as_network_filter, http_filters, manager
from upstream.generate.view import View, view_of

SECURITY = [HttpFilter(name="rbac")]


def view(labels: Mapping[str, str] | None = None, *, istio: bool = False) -> View:
    proxy = replace(sidecar(labels=labels), mesh_id="m")
    return view_of(proxy, world(istio_filters=istio))


@pytest.mark.parametrize(
    ("istio", "inbound", "web", "names"),
    [
        (False, False, False, "grpc_stats fault cors router"),
        (False, True, False, "rbac grpc_stats fault cors router"),
        (False, False, True, "grpc_web grpc_stats fault cors router"),
        (True, False, False, "metadata_exchange grpc_stats alpn fault cors router"),
        (True, True, False, "metadata_exchange rbac grpc_stats fault cors router"),
    ],
)
def test_order_of_filters(names: str, *, istio: bool, inbound: bool, web: bool) -> None:
    security = SECURITY if inbound else ()
    made = http_filters(view(istio=istio), inbound=inbound, security=security, grpc_web=web)
    assert " ".join(one.name.rpartition(".")[2] for one in made) == names


def test_what_both_directions_have() -> None:
    made = plain(manager(view(), "outbound_x"))
    assert made["statPrefix"] == "outbound_x;"
    assert made["upgradeConfigs"] == [{"upgradeType": "websocket"}]
    assert (made["normalizePath"], made["streamIdleTimeout"]) == (True, "0s")
    assert (made["useRemoteAddress"], made["proxy100Continue"]) == (False, True)


def tags(made: dict[str, Any]) -> dict[str, str]:
    found = made["tracing"]["customTags"]
    return {one["tag"]: one["literal"]["value"] for one in found if "literal" in one}


def test_spans_say_where_they_come_from() -> None:
    made = plain(manager(view(), "x"))
    assert tags(made) == {
        "istio.canonical_revision": "latest",
        "istio.canonical_service": "unknown",
        "istio.cluster_id": "Kubernetes",
        "istio.mesh_id": "m",
        "istio.namespace": "default",
    }
    assert made["tracing"]["randomSampling"] == {"value": 1.0}
    labels = {
        "service.istio.io/canonical-name": "n",
        "service.istio.io/canonical-revision": "r",
    }
    named = tags(plain(manager(view(labels), "x")))
    assert (named["istio.canonical_service"], named["istio.canonical_revision"]) == ("n", "r")


def test_as_a_network_filter() -> None:
    made = as_network_filter(manager(view(), "x"))
    assert made.name == "envoy.filters.network.http_connection_manager"
