# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from iptables.binaries import (
    Binary,
    binary_order,
    explain_failure,
    has_rules,
    hint,
    identify,
    parse_version,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("iptables v1.8.7 (nf_tables)", (1, 8, 7)),
        ("iptables v1.4.21", (1, 4, 21)),
        ("iptables v1.8.9 (legacy)\n", (1, 8, 9)),
    ],
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_identify() -> None:
    assert identify("iptables", "iptables v1.8.4 (nf_tables)", "").nft
    assert identify("iptables", "", "unrecognized option --version") == Binary("iptables")
    with pytest.raises(ValueError, match="no version"):
        identify("iptables", "hello", "")


def test_only_legacy_ones_of_some_age_wait_for_the_lock() -> None:
    assert Binary("iptables-legacy", (1, 8, 7)).lock == ("--wait=30",)
    assert Binary("iptables-legacy", (1, 6, 1)).lock == ()
    assert Binary("iptables-nft", (1, 8, 7), nft=True).lock == ()


def test_order_and_rules() -> None:
    assert binary_order("ip6tables", "") == ("ip6tables-legacy", "ip6tables-nft", "ip6tables")
    assert binary_order("iptables", "nft") == ("iptables-nft",)
    assert has_rules("a\nb\nc\n")
    assert not has_rules("*nat\nCOMMIT\n")


def test_complaints_and_advice() -> None:
    assert (
        explain_failure(2, "iptables v1: bad argument") == "xtables parameter problem: bad argument"
    )
    assert explain_failure(9, "killed") == "killed"
    assert "NET_ADMIN" in hint("iptables: Permission denied (you must be root)")
    assert "module" in hint("can't initialize iptables table `nat'")
    assert "--reconcile" in hint("Chain already exists")
    assert hint("something else") == ""
