# SPDX-License-Identifier: Apache-2.0
"""``filter_metadata`` that says where a resource comes from. Pure. Source: spec/upstream.md 7.1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from envoy.config.core.v3 import base_pb2
from google.protobuf.struct_pb2 import Struct

from upstream.generate.destination_rules import Rule
from upstream.registry import Service

ISTIO = "istio"


def istio_metadata(values: Mapping[str, Any]) -> base_pb2.Metadata:
    """Metadata under the key that Istio's tools read."""
    struct = Struct()
    struct.update(values)
    return base_pb2.Metadata(filter_metadata={ISTIO: struct})


def config_metadata(path: str) -> base_pb2.Metadata:
    """Metadata that names the object a resource was made from."""
    return istio_metadata({"config": path})


def cluster_metadata(
    services: Iterable[Service],
    rule: Rule | None = None,
    subset: str = "",
    *,
    external: bool = False,
) -> base_pb2.Metadata:
    """The services behind a cluster, and the rule that shaped it."""
    values: dict[str, Any] = {
        "services": [
            {"host": one.hostname, "name": one.hostname, "namespace": one.namespace}
            for one in services
        ]
    }
    if rule:
        values["config"] = rule.config_path
    if subset:
        values["subset"] = subset
    if external:
        values["external"] = True
    return istio_metadata(values)
