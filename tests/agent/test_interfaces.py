# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ipaddress
import socket

from agent.interfaces import usable_addresses


def test_this_machines_addresses_are_usable_and_none_is_loopback() -> None:
    found = usable_addresses()
    names = {name for _, name in socket.if_nameindex()}
    for interface, text in found:
        address = ipaddress.ip_address(text)
        assert interface in names
        assert not (address.is_loopback)
        assert not (address.is_link_local)
        assert not (address.is_multicast)
    versions = [ipaddress.ip_address(text).version for _, text in found]
    assert versions == sorted(versions), "IPv4 before IPv6"
