# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from iptables.config import CaptureConfig, Ranges


def test_defaults_are_the_peers() -> None:
    config = CaptureConfig()
    assert (config.proxy_port, config.inbound_capture_port, config.inbound_tunnel_port) == (
        "15001",
        "15006",
        "15008",
    )
    assert config.outbound.empty
    assert not config.inbound


def test_all_inbound_ports() -> None:
    assert CaptureConfig(inbound_ports=("*",)).all_inbound
    assert not CaptureConfig(inbound_ports=("80", "*")).all_inbound


def test_dns_is_active_for_a_family_with_servers_or_for_all() -> None:
    assert not CaptureConfig(dns=True).dns_active_v4
    assert CaptureConfig(dns=True, dns_all=True).dns_active_v6
    servers = CaptureConfig(dns=True, dns_servers_v4=("10.0.0.53",))
    assert servers.dns_active_v4
    assert not servers.dns_active_v6


def test_ranges() -> None:
    assert Ranges().empty
    assert not Ranges(everything=True).empty
    assert not Ranges(v6=("::1/128",)).empty
