# SPDX-License-Identifier: Apache-2.0
"""Where Envoy terminates the workload's TLS, from its own list of listeners. ``inbound_addresses`` is pure.

A listener on the pod's own address is inbound. Behind capture there is one virtual listener, reached through the
pod's address and the ports that its containers name: what the proxy's user sends there is redirected to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.envoy.admin import EnvoyAdmin
from mesh.errors import EnvoyFailed

LISTENERS = "/listeners?format=json"
TIMEOUT = 2.0
VIRTUAL = "virtualInbound"
MOST = 4
"""Addresses that are tried at all."""


class EnvoyInbound:
    """Asks the admin port each time: listeners come and go."""

    def __init__(
        self, admin: EnvoyAdmin, metadata: Mapping[str, Any], own_ports: Sequence[int]
    ) -> None:
        self._admin = admin
        self._metadata = metadata
        self._own_ports = own_ports

    async def addresses(self) -> list[tuple[str, int]]:
        """Empty while Envoy does not answer."""
        try:
            text = await self._admin.get(LISTENERS, timeout=TIMEOUT)
        except EnvoyFailed:
            return []
        return inbound_addresses(text, self._metadata, self._own_ports)


def inbound_addresses(
    listeners: str, metadata: Mapping[str, Any], own_ports: Sequence[int]
) -> list[tuple[str, int]]:
    """Host and port of inbound listeners. ``own_ports``: the agent's and Envoy's own, never the workload's."""
    found = list(dict.fromkeys(_candidates(_statuses(listeners), metadata)))
    return [each for each in found if each[1] not in own_ports][:MOST]


def _candidates(
    statuses: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any]
) -> Iterator[tuple[str, int]]:
    addresses = _instance_ips(metadata)
    for status in statuses:
        socket = (status.get("local_address") or {}).get("socket_address") or {}
        if socket.get("address") in addresses:
            yield str(socket["address"]), int(socket.get("port_value", 0))
    if addresses and any(status.get("name") == VIRTUAL for status in statuses):
        for port in metadata.get("POD_PORTS") or ():
            if port.get("protocol", "TCP") == "TCP":
                yield addresses[0], int(port.get("containerPort", 0))


def _statuses(text: str) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(text).get("listener_statuses") or []
    except (ValueError, AttributeError):
        return []
    return [each for each in found if isinstance(each, Mapping)]


def _instance_ips(metadata: Mapping[str, Any]) -> list[str]:
    value = metadata.get("INSTANCE_IPS") or ()
    return value.split(",") if isinstance(value, str) else [str(each) for each in value]
