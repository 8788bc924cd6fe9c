# SPDX-License-Identifier: Apache-2.0
"""The order of rules is proved by the conformance cases; here: what they do not reach."""

from __future__ import annotations

from iptables.config import TPROXY, CaptureConfig, OwnerGroups, Ranges
from iptables.plan import guard_rules, plan
from iptables.rules import TABLES, Rule

WIDE = CaptureConfig(
    mode=TPROXY,
    inbound_ports=("*",),
    inbound_ports_exclude=("22",),
    outbound=Ranges(everything=True),
    outbound_exclude=Ranges(v4=("10.0.0.0/8",), v6=("2001:db8::/32",)),
    outbound_ports=("53",),
    outbound_ports_exclude=("443",),
    owner_groups=OwnerGroups(exclude=True, names=("7",)),
    exclude_interfaces=("eth9",),
    virtual_interfaces=("tap0",),
    drop_invalid=True,
    dns=True,
    dns_all=True,
    ipv6=True,
)


def texts(rules: tuple[Rule, ...], chain: str) -> list[str]:
    return [rule.text for rule in rules if rule.chain == chain]


def test_every_rule_says_why_and_has_a_known_table() -> None:
    both = plan(WIDE)
    assert all(rule.why for rule in (*both.v4, *both.v6))
    assert {rule.table for rule in both.v4} <= set(TABLES)


def test_families_have_the_same_rules_but_for_addresses() -> None:
    both = plan(WIDE)
    assert len(both.v4) == len(both.v6)
    assert [rule.chain for rule in both.v4] == [rule.chain for rule in both.v6]
    assert "10.0.0.0/8" not in str(both.v6)


def test_no_ipv6_rules_without_ipv6() -> None:
    assert plan(WIDE._replace(ipv6=False)).v6 == ()


def test_exclusions_come_before_what_captures() -> None:
    chain = texts(plan(WIDE).v4, "ISTIO_OUTPUT")
    assert chain.index("-p tcp --dport 443 -j RETURN") < chain.index("-j ISTIO_REDIRECT")
    assert chain.index("-d 10.0.0.0/8 -j RETURN") < chain.index(
        "-p tcp --dport 53 -j ISTIO_REDIRECT"
    )
    assert chain.index("-m owner --uid-owner 1337 -j RETURN") < chain.index("-j ISTIO_REDIRECT")


def test_guard_drops_all_and_is_inserted_first() -> None:
    assert len(guard_rules()) == 6
    assert {rule.position for rule in guard_rules()} == {1}
    assert all(rule.table == "filter" and rule.jump == "DROP" for rule in guard_rules())
