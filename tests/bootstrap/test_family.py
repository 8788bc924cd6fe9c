# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from bootstrap.family import V4, V6, family_of
from mesh.errors import BootstrapFailed


@pytest.mark.parametrize("addresses", [[], ["10.0.0.1"], ["10.0.0.1", "fd00::1"], ["nonsense"]])
def test_ipv4_unless_all_are_ipv6(addresses: list[str]) -> None:
    assert family_of(addresses, dual_stack=False) == V4


@pytest.mark.parametrize("dual_stack", [False, True])
def test_ipv6_alone(dual_stack: bool) -> None:
    assert family_of(["fd00::1", "fd00::2"], dual_stack=dual_stack) == V6


def test_dual_stack_follows_the_first_address() -> None:
    four = family_of(["10.0.0.1", "fd00::1"], dual_stack=True)
    six = family_of(["fd00::1", "10.0.0.1"], dual_stack=True)
    assert (four.wildcard, four.additional_wildcard, four.lookup) == ("0.0.0.0", "::", "ALL")
    assert (six.wildcard, six.additional_wildcard, six.lookup) == ("::", "0.0.0.0", "ALL")
    assert (six.loopback, six.additional_loopback) == ("::1", "127.0.0.1")


def test_dual_stack_needs_a_first_address_it_can_read() -> None:
    with pytest.raises(BootstrapFailed, match="instance_ips"):
        family_of(["x", "10.0.0.1", "fd00::1"], dual_stack=True)
