# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from iptables.config import CaptureConfig
from iptables.observed import UNFINISHED, Verdict, compare, killed, parse, removals
from iptables.plan import plan
from iptables.render import restore

RULES = plan(CaptureConfig(inbound_ports=("*",))).v4
SAVED = restore(RULES)


def test_only_our_declared_chains_and_chains_with_rules_count() -> None:
    text = """# Generated
*nat
:PREROUTING ACCEPT [0:0]
:ISTIO_OUTPUT - [0:0]
:KUBE_X - [0:0]
-A OUTPUT -p tcp -m comment --comment "two words" -j KUBE_X
COMMIT
*security
:ISTIO_X - [0:0]
COMMIT
*raw
:OUTPUT ACCEPT [0:0]
COMMIT
"""
    assert parse(text) == {
        "nat": {
            "ISTIO_OUTPUT": [],
            "OUTPUT": ['-A OUTPUT -p tcp -m comment --comment "two words" -j KUBE_X'],
        }
    }


def test_verdicts() -> None:
    assert compare(RULES, {}) == Verdict(residue=False, delta=True)
    assert compare(RULES, parse(SAVED)) == Verdict(residue=True, delta=False)
    assert compare((), {}) == Verdict(residue=False, delta=False)


def test_a_foreign_rule_counts_in_our_chains_only() -> None:
    foreign = "* nat\n-A {} -p udp -j ACCEPT\nCOMMIT\n"
    assert not compare(RULES, parse(SAVED + foreign.format("OUTPUT"))).delta
    assert compare(RULES, parse(SAVED + foreign.format("ISTIO_INBOUND"))).delta


def test_a_missing_or_an_unknown_chain_is_a_difference() -> None:
    assert compare(RULES, parse(SAVED.replace("-A OUTPUT -j ISTIO_OUTPUT\n", ""))).delta
    assert compare(RULES, parse(SAVED + "*mangle\n:ISTIO_OTHER - [0:0]\nCOMMIT\n")).delta


def test_the_mark_of_a_killed_run() -> None:
    assert killed(parse(f"*filter\n:{UNFINISHED} - [0:0]\nCOMMIT\n"))
    assert not killed(parse(SAVED))


def test_removals_leave_other_peoples_rules() -> None:
    saved = """*nat
:ISTIO_OUTPUT - [0:0]
:ISTIO_PRERT - [0:0]
-A OUTPUT -m comment --comment "go on" -j ISTIO_OUTPUT
-A OUTPUT -j ISTIO_PRERT
-A OUTPUT -j ACCEPT
-A ISTIO_OUTPUT -j RETURN
COMMIT
"""
    assert removals(parse(saved)) == (
        ("-t", "nat", "-D", "OUTPUT", "-m", "comment", "--comment", "go on", "-j", "ISTIO_OUTPUT"),
        ("-t", "nat", "-F", "ISTIO_OUTPUT"),
        ("-t", "nat", "-X", "ISTIO_OUTPUT"),
    )
