# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from iptables.nft_rules import CHAINS, HOOKS, NftTable, interface


def test_hooks_belong_to_chains_that_exist() -> None:
    assert all(chain in CHAINS[table] for table, chain in HOOKS)
    assert set(CHAINS) == set(NftTable)


def test_interfaces() -> None:
    assert [interface(name) for name in ("lo", "eth0.100", "eth*", "br-x_1")] == [
        "lo",
        "eth0.100",
        "eth*",
        "br-x_1",
    ]
    assert [interface(name) for name in ("0a", "a@b", "a;b")] == ['"0a"', '"a@b"', '"a;b"']
