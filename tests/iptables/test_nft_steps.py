# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from iptables.nft_rules import NftRule
from iptables.nft_steps import read, ruleset
from iptables.walk import Condition, Do, Fact
from tests.iptables.test_plan import WIDE


def rule(text: str) -> NftRule:
    return NftRule("t", "c", text)


def test_conditions_and_negations() -> None:
    found = read(rule("oifname lo meta l4proto tcp ip daddr != 127.0.0.1/32 tcp dport != { 53, 15008 } skuid 7 counter jump x"))  # fmt: skip
    assert found.conditions == (
        Condition(Fact.OUT, ("lo",)),
        Condition(Fact.PROTOCOL, ("tcp",)),
        Condition(Fact.FAMILY, ("ipv4",)),
        Condition(Fact.DESTINATION, ("127.0.0.1/32",), negated=True),
        Condition(Fact.PROTOCOL, ("tcp",)),
        Condition(Fact.PORT, ("53", "15008"), negated=True),
        Condition(Fact.UID, ("7",)),
    )
    assert (found.action, found.value) == (Do.JUMP, "x")


@pytest.mark.parametrize(
    ("text", "action", "value"),
    [
        ("counter redirect to :15053", Do.REDIRECT, "15053"),
        ("tproxy ip6 to :15006 meta mark set 1337 counter accept", Do.TPROXY, "15006"),
        ("counter meta mark set 1337", Do.MARK, "1337"),
        ("ct mark 1337 counter meta mark set ct mark", Do.NOTE, "" ),
        ("mark 1337 counter ct mark set mark", Do.NOTE, ""),
        ('iifname "a b" counter return', Do.RETURN, ""),
    ],
)  # fmt: skip
def test_statements_with_their_values(text: str, action: Do, value: str) -> None:
    if '"' in text:
        text = text.replace("a b", "a@b")
    found = read(rule(text))
    assert (found.action, found.value) == (action, value)


def test_every_planned_rule_can_be_read() -> None:
    rules = ruleset(WIDE)
    assert sum(map(len, rules.chains.values())) > 60
    assert {table for table, _ in rules.chains} == set(rules.tables)


def test_a_rule_without_a_statement_is_a_bug() -> None:
    with pytest.raises(ValueError, match="BUG"):
        read(rule("tcp dport 80 counter"))
