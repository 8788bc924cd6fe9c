# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from iptables.nft_observed import Found
from iptables.nft_render import ordered, removal, shortened, transaction
from iptables.nft_rules import MAX_COMMENT, NftRule, NftTable

RULES = (
    NftRule(NftTable.NAT, "output", "counter jump istio-output", 'so that "all" is seen'),
    NftRule(NftTable.NAT, "istio-output", "tcp dport 1 counter return"),
    NftRule(NftTable.NAT, "istio-output", "tcp dport 2 counter return", position=0),
    NftRule(NftTable.NAT, "output", "tcp dport 3 counter return", position=5),
)


def test_on_a_clean_kernel() -> None:
    assert transaction(RULES, Found(), comments=True).splitlines() == [
        "add table inet istio-proxy-nat",
        "flush table inet istio-proxy-nat",
        "add chain inet istio-proxy-nat output { type nat hook output priority -100 ; }",
        "add chain inet istio-proxy-nat istio-output",
        "add rule inet istio-proxy-nat output counter jump istio-output comment \"so that 'all' is seen\"",
        "add rule inet istio-proxy-nat istio-output tcp dport 1 counter return",
        "insert rule inet istio-proxy-nat istio-output index 0 tcp dport 2 counter return",
        "add rule inet istio-proxy-nat output tcp dport 3 counter return",
    ]


def test_what_an_earlier_run_left_goes_first() -> None:
    found = Found({"istio-proxy-nat": ("output", "istio-drop"), "istio-proxy-raw": ()})
    lines = transaction(RULES, found, comments=False).splitlines()
    assert lines[:3] == [
        "add table inet istio-proxy-nat",
        "delete table inet istio-proxy-nat",
        "add table inet istio-proxy-nat",
    ]
    assert lines[-2:] == ["add table inet istio-proxy-raw", "delete table inet istio-proxy-raw"]


def test_the_same_tables_are_only_flushed() -> None:
    found = Found({"istio-proxy-nat": ("output", "istio-output")})
    assert transaction(RULES, found, comments=False) == transaction(RULES, Found(), comments=False)


def test_removal_needs_nothing_to_be_there() -> None:
    lines = removal().splitlines()
    assert lines[:2] == ["add table inet istio-proxy-nat", "delete table inet istio-proxy-nat"]
    assert len(lines) == 2 * len(NftTable)


def test_order_after_insertions() -> None:
    chains = ordered(RULES)
    assert [rule.text[10] for rule in chains[(NftTable.NAT, "istio-output")]] == ["2", "1"]
    assert chains[(NftTable.NAT, "output")][-1].position == 5


def test_long_reasons_are_shortened_to_whole_characters() -> None:
    text = shortened("ü" * 100)
    assert text.endswith("ü...")
    assert len(text.encode()) < MAX_COMMENT
    assert shortened("short") == "short"
