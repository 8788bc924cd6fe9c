# SPDX-License-Identifier: Apache-2.0
"""Outbound and inbound listeners together; routers have none yet."""

from __future__ import annotations

import pytest

from tests.upstream.generate.made import listeners
from tests.upstream.support import sidecar, world
from upstream.proxy import Interception, ProxyType

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec: {hosts: [a.test], ports: [{number: 80, name: http, protocol: HTTP}]}
"""


@pytest.mark.parametrize(
    ("kind", "mode", "names"),
    [
        (
            ProxyType.SIDECAR,
            Interception.REDIRECT,
            ["0.0.0.0_80", "virtualOutbound", "virtualInbound"],
        ),
        (ProxyType.SIDECAR, Interception.NONE, ["127.0.0.1_80"]),
        (ProxyType.ROUTER, Interception.REDIRECT, []),
    ],
)
def test_listeners(kind: ProxyType, mode: Interception, names: list[str]) -> None:
    assert list(listeners(sidecar(kind=kind, interception=mode), world(TEXT))) == names
