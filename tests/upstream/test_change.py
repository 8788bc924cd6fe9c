# SPDX-License-Identifier: Apache-2.0
"""Edits that only move endpoints, and those that only look like it."""

from __future__ import annotations

import pytest

from tests.upstream.support import world
from upstream.change import change
from upstream.config import Key

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default, labels: {x: LABEL}}
spec:
  hosts: [a.test, b.test]
  resolution: RESOLUTION
  ports: [{number: PORT, name: http, protocol: HTTP}]
  endpoints: [ENDPOINTS]
"""
SERVICE = Key("ServiceEntry", "default", "a")
MOVED = {Key("Endpoints", "default", "a.test"), Key("Endpoints", "default", "b.test")}
ONE = "{address: 10.0.0.1, serviceAccount: s}"
TWO = "{address: 10.0.0.2, serviceAccount: s, weight: 5, labels: {version: v2}}"


def text(endpoints: str, resolution: str = "STATIC", port: int = 80, label: str = "l") -> str:
    made = ENTRY.replace("ENDPOINTS", endpoints).replace("RESOLUTION", resolution)
    return made.replace("PORT", str(port)).replace("LABEL", label)


def test_endpoints_alone() -> None:
    found = change(world(text(ONE)), world(text(f"{ONE}, {TWO}")))
    assert found.keys == MOVED
    assert found.addresses == {"10.0.0.1", "10.0.0.2"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (text(ONE), text(TWO, port=81)),
        (text(ONE), text(TWO, label="other")),
        (text("{address: one.test}", "DNS"), text("{address: two.test}", "DNS")),
        (text(ONE), text("{address: 10.0.0.2, serviceAccount: other}")),
        (text(ONE), text("{address: 10.0.0.2}")),
        (
            text(ONE),
            text(
                f"{ONE}, {{address: 10.0.0.3, serviceAccount: s, labels: {{security.istio.io/tlsMode: disabled}}}}"
            ),
        ),
        (text(ONE), text("")),
        (text(""), text(ONE)),
        ("", text(ONE)),
        (text(ONE), ""),
    ],
)
def test_the_service_itself(before: str, after: str) -> None:
    found = change(world(before), world(after))
    assert set(found.keys) == {SERVICE}
    assert not found.addresses


def test_nothing() -> None:
    assert change(world(text(ONE)), world(text(ONE))).keys == frozenset()
