# SPDX-License-Identifier: Apache-2.0
"""The order of rules is proved by the conformance cases; here: what they do not reach."""

from __future__ import annotations

from iptables.config import CaptureConfig
from iptables.nft_plan import plan
from iptables.nft_rules import CHAINS, MAX_COMMENT
from iptables.plan import plan as iptables_plan
from tests.iptables.test_plan import WIDE


def texts(config: CaptureConfig, chain: str) -> list[str]:
    return [rule.text for rule in plan(config) if rule.chain == chain]


def test_every_rule_says_why_and_has_a_known_place() -> None:
    assert all(rule.why and len(rule.why.encode()) < MAX_COMMENT for rule in plan(WIDE))
    assert all(rule.chain in CHAINS[rule.table] for rule in plan(WIDE))


def test_both_backends_give_the_same_reasons() -> None:
    both = iptables_plan(WIDE)
    assert {rule.why for rule in (*both.v4, *both.v6)} == {rule.why for rule in plan(WIDE)}


def test_without_ipv6_no_rule_names_an_ipv6_address() -> None:
    rules = plan(WIDE._replace(ipv6=False))
    assert not [rule for rule in rules if "ip6" in rule.text]
    assert [rule for rule in plan(WIDE) if "ip6 daddr 2001:db8::/32" in rule.text]


def test_exclusions_come_before_what_captures() -> None:
    chain = texts(WIDE, "istio-output")
    captures = chain.index("counter jump istio-redirect")
    assert chain.index("tcp dport 443 counter return") < captures
    assert chain.index("ip daddr 10.0.0.0/8 counter return") < captures
    assert chain.index("skuid 1337 counter return") < captures


def test_no_jump_to_a_chain_that_is_not_made() -> None:
    """Only IPv6 servers, and IPv6 is not captured: nft would refuse a jump into nothing."""
    config = CaptureConfig(dns=True, dns_servers_v6=("2001:db8::53",))
    made = {(rule.table, rule.chain) for rule in plan(config)}
    jumps = {
        (rule.table, rule.text.split()[-1]) for rule in plan(config) if " jump " in f" {rule.text}"
    }
    assert jumps <= made


def test_unusual_interface_names_are_quoted() -> None:
    config = CaptureConfig(exclude_interfaces=("eth0@if3",), virtual_interfaces=("0tap",))
    assert texts(config, "prerouting") == [
        'iifname "eth0@if3" counter return',
        'iifname "0tap" counter return',
    ]
