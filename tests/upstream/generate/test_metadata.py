# SPDX-License-Identifier: Apache-2.0
"""Where a resource says that it comes from."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from tests.upstream.support import sidecar, world
from upstream.generate.destination_rules import rule_for
from upstream.generate.metadata import cluster_metadata, config_metadata
from upstream.registry import Registry

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: demo}
spec: {hosts: [a.test, b.test], ports: [{number: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: demo}
spec: {host: a.test}
"""
RULE = "/apis/networking.istio.io/v1/namespaces/demo/destination-rule/r"


def shown(made: Any) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(made)["filterMetadata"]["istio"]
    return found


def test_an_objects_path() -> None:
    assert shown(config_metadata("/apis/x")) == {"config": "/apis/x"}


def test_services_rule_and_subset() -> None:
    where = world(TEXT)
    one, two = Registry.of(where).services
    assert shown(cluster_metadata([one, two])) == {
        "services": [
            {"host": host, "name": host, "namespace": "demo"} for host in ("a.test", "b.test")
        ]
    }
    rule = rule_for(sidecar("demo"), one, where)
    made = shown(cluster_metadata([one], rule, "v1", external=True))
    assert (made["config"], made["subset"], made["external"]) == (RULE, "v1", True)
