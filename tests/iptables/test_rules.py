# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from iptables.rules import Family, Plan, Rule, Table


def test_a_jump_counts_only_at_the_end() -> None:
    assert Rule("nat", "OUTPUT", ("-j", "ISTIO_OUTPUT")).jump == "ISTIO_OUTPUT"
    assert not Rule("mangle", "ISTIO_DIVERT", ("-j", "MARK", "--set-mark", "1337")).jump


def test_families_differ() -> None:
    rule = Rule(Table.NAT, "OUTPUT", ("-o", "lo", "-j", "RETURN"))
    plan = Plan(v4=(rule,))
    assert plan.of(Family.V4) == (rule,)
    assert plan.of(Family.V6) == ()
    assert Family.V6.passthrough == "::6/128"
    assert rule.text == "-o lo -j RETURN"
