# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from agent.admin.capture import intended, told
from iptables.cli import read_settings
from iptables.config import CaptureConfig
from iptables.flags import read
from mesh.nodemeta import interception_mode

T = "traffic.sidecar.istio.io"


def settings(arguments: list[str]) -> CaptureConfig:
    """What the capture program makes of the injector's arguments."""
    return read_settings(read(arguments, {}), {}).config


INJECTED = ["-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020"]  # fmt: skip

OTHERS = ["-d", "15090,15021,15020", "-o", "3306", "-c", "net1"]


def test_without_annotations_it_is_what_the_injector_asks_for() -> None:
    asked = settings(INJECTED)
    ours = intended({}, {}, status_port=15020, addresses=["10.0.0.1"])
    assert ours == asked._replace(host_ip=ours.host_ip, ipv6=ours.ipv6)


def test_annotations() -> None:
    annotations = {
        f"{T}/includeInboundPorts": "8080,9090",
        f"{T}/excludeOutboundIPRanges": "10.1.0.0/16, 2001:db8::/32",
        f"{T}/excludeOutboundPorts": "3306",
        f"{T}/excludeInterfaces": "net1",
    }
    asked = settings(
        [*INJECTED[:-8], "-i", "*", "-x", "10.1.0.0/16,2001:db8::/32", "-b", "8080,9090", *OTHERS]
    )
    ours = intended({}, annotations, status_port=15020, addresses=["10.0.0.1"])
    assert ours == asked._replace(host_ip=ours.host_ip, ipv6=ours.ipv6)


@pytest.mark.parametrize(
    ("metadata", "mode"),
    [
        ({}, "REDIRECT"),
        ({"INTERCEPTION_MODE": "TPROXY"}, "TPROXY"),
        ({"INTERCEPTION_MODE": "none"}, "NONE"),
    ],
)
def test_mode(metadata: dict[str, Any], mode: str) -> None:
    assert interception_mode(metadata) == mode
    found = told(metadata, {}, status_port=15020, addresses=["10.0.0.1"])
    assert found["mode"] == mode
    assert bool(found["rules"]) is (mode != "NONE")


def families(metadata: dict[str, Any], *addresses: str) -> set[str]:
    rules = told(metadata, {}, status_port=15020, addresses=addresses)["rules"]
    assert isinstance(rules, list)
    return {each["family"] for each in rules}


def test_each_rule_has_its_reason_and_ipv6_comes_with_its_addresses() -> None:
    assert families({}, "10.0.0.1", "2001:db8::1") == {"ipv4"}
    assert families({}, "2001:db8::1", "10.0.0.1") == {"ipv4", "ipv6"}
    assert families({"DUAL_STACK": "true"}, "10.0.0.1", "2001:db8::1") == {"ipv4", "ipv6"}
    rules = told({}, {}, status_port=15020, addresses=["2001:db8::1"])["rules"]
    assert isinstance(rules, list)
    assert all(each["why"] and each["rule"] and each["chain"] for each in rules)


def test_what_is_not_known_here_is_said() -> None:
    found = told({"DNS_CAPTURE": "true"}, {}, status_port=15020, addresses=[])
    assert "resolv.conf" in str(found["notes"])
