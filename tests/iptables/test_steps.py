# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from iptables.rules import Family, Rule
from iptables.steps import read, ruleset
from iptables.walk import Condition, Do, Fact
from tests.iptables.test_plan import WIDE


def rule(text: str) -> Rule:
    return Rule("nat", "X", tuple(text.split()))


def test_conditions_and_negations() -> None:
    read_ = read(rule("-o lo ! -d 127.0.0.1/32 -p tcp -m multiport ! --dports 53,15008 -m owner --uid-owner 7 -j ISTIO_IN_REDIRECT"))  # fmt: skip
    assert read_.conditions == (
        Condition(Fact.OUT, ("lo",)),
        Condition(Fact.DESTINATION, ("127.0.0.1/32",), negated=True),
        Condition(Fact.PROTOCOL, ("tcp",)),
        Condition(Fact.PORT, ("53", "15008"), negated=True),
        Condition(Fact.UID, ("7",)),
    )
    assert (read_.action, read_.value) == (Do.JUMP, "ISTIO_IN_REDIRECT")


def test_targets_with_their_values() -> None:
    found = {
        text: (read(rule(text)).action, read(rule(text)).value)
        for text in (
            "-p udp --dport 53 -j REDIRECT --to-port 15053",
            "-p tcp -j TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006",
            "-j MARK --set-mark 1337",
            "-p tcp -m connmark --mark 1337 -j CONNMARK --restore-mark",
        )
    }
    assert list(found.values()) == [
        (Do.REDIRECT, "15053"),
        (Do.TPROXY, "15006"),
        (Do.MARK, "1337"),
        (Do.NOTE, ""),
    ]


def test_inserted_rules_are_where_the_kernel_has_them() -> None:
    chain = ruleset(WIDE, Family.V4).chains[("mangle", "ISTIO_INBOUND")]
    assert [each.text for each in chain[:3]] == [
        "-p tcp -m mark --mark 1337 -j RETURN",
        "-p tcp -s 127.0.0.6/32 -i lo -j RETURN",
        "-p tcp -i lo -m mark ! --mark 1338 -j RETURN",
    ]
