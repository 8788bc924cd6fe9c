# SPDX-License-Identifier: Apache-2.0
"""Which addresses are taken for inbound, from Envoy's own answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.envoy.inbound import inbound_addresses

POD = {"INSTANCE_IPS": "10.0.0.7,fd00::7"}
PORTS = [
    {"containerPort": 8080, "protocol": "TCP"},
    {"containerPort": 53, "protocol": "UDP"},
    {"containerPort": 9090},
    {"containerPort": 15090, "protocol": "TCP"},
]


def listeners(*each: tuple[str, str, int]) -> str:
    statuses = [
        {
            "name": name,
            "local_address": {"socket_address": {"address": host, "port_value": port}},
        }
        for name, host, port in each
    ]
    return json.dumps({"listener_statuses": statuses})


def ask(text: str, **metadata: Any) -> list[tuple[str, int]]:
    return inbound_addresses(text, {**POD, **metadata}, (15021, 15090))


def test_listeners_on_the_pods_own_addresses_are_inbound() -> None:
    text = listeners(
        ("a", "10.0.0.7", 8080),
        ("b", "0.0.0.0", 80),
        ("c", "10.96.0.1", 443),
        ("d", "fd00::7", 8080),
        ("e", "10.0.0.7", 15021),
    )
    assert ask(text) == [("10.0.0.7", 8080), ("fd00::7", 8080)]


def test_behind_capture_the_containers_tcp_ports_lead_to_the_virtual_listener() -> None:
    text = listeners(("virtualInbound", "0.0.0.0", 15006), ("virtualOutbound", "0.0.0.0", 15001))
    assert ask(text, POD_PORTS=PORTS) == [("10.0.0.7", 8080), ("10.0.0.7", 9090)]
    assert ask(text) == []


def test_without_the_virtual_listener_the_ports_are_the_applications_own() -> None:
    assert ask(listeners(("b", "0.0.0.0", 80)), POD_PORTS=PORTS) == []


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", '{"listener_statuses": [1]}'])
def test_an_answer_of_another_kind_means_nowhere(text: str) -> None:
    assert ask(text) == []


def test_no_more_than_a_few_are_tried() -> None:
    assert len(ask(listeners(*[(str(n), "10.0.0.7", 1000 + n) for n in range(50)]))) == 4


def test_an_envoy_that_does_not_answer_is_no_error() -> None:
    import asyncio

    from agent.envoy.admin import EnvoyAdmin
    from agent.envoy.inbound import EnvoyInbound
    from agent.envoy.options import AdminOptions

    inbound = EnvoyInbound(EnvoyAdmin(AdminOptions(port=1)), POD, ())
    assert asyncio.run(inbound.addresses()) == []
