# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

from iptables import netlink


def test_attributes_are_padded_and_read_back() -> None:
    data = netlink.attribute(1, b"abc") + netlink.attribute(2, b"wxyz")
    assert len(data) == 16
    assert netlink.attributes(data) == {1: b"abc", 2: b"wxyz"}


def test_truncated_input_ends_quietly() -> None:
    assert netlink.attributes(b"\x01\x00\x01\x00") == {}
    assert list(netlink.messages(struct.pack("=IHHII", 4, 1, 0, 0, 0))) == []


def test_a_routing_rule_says_mark_and_table() -> None:
    message = netlink.mark_rule(netlink.AF_INET, 1337, 70000, add=True)
    assert netlink.mark_and_table(message.body) == (1337, 70000)
    assert message.body[4] == 0
    assert netlink.mark_rule(netlink.AF_INET6, 1, 133, add=False).body[4] == 133


def test_an_address_message() -> None:
    message = netlink.loopback_address(bytes(15) + b"\x06", 128, add=True)
    assert message.body[0] == netlink.AF_INET6
    assert netlink.address_of(message.body) == bytes(15) + b"\x06"


def test_the_kernel_lists_its_addresses() -> None:
    assert b"\x7f\x00\x00\x01" in netlink.addresses()
    assert isinstance(netlink.rules(netlink.AF_INET), list)
