# SPDX-License-Identifier: Apache-2.0
"""The kernel's way of going through chains, with small rulesets of our own."""

from __future__ import annotations

import pytest

from iptables.packet import Packet
from iptables.walk import Condition, Decision, Do, Fact, Ruleset, Step, decide

PACKET = Packet("tcp", "out", "10.0.0.1", 80, uid=5, interface="eth0")


def step(
    place: str, action: Do, value: str = "", *conditions: Condition
) -> tuple[tuple[str, str], Step]:
    table, chain = place.split()
    return (table, chain), Step(table, chain, conditions, action, value, place, "")


def decided(packet: Packet, *steps: tuple[tuple[str, str], Step]) -> Decision:
    chains: dict[tuple[str, str], list[Step]] = {}
    for place, each in steps:
        chains.setdefault(place, []).append(each)
    return decide(Ruleset(chains, ("r", "m", "n"), {"in": "pre", "out": "out"}), packet)


def test_a_chain_without_a_verdict_returns_to_where_it_was_called() -> None:
    decision = decided(
        PACKET,
        step("n out", Do.JUMP, "sub"),
        step("n sub", Do.RETURN),
        step("n out", Do.REDIRECT, "1"),
    )
    assert (decision.verdict, decision.port) == (Do.REDIRECT, "1")
    assert [each.chain for each in decision.passed] == ["out", "sub", "out"]


def test_accept_ends_its_table_only_and_drop_ends_all() -> None:
    accepted = decided(PACKET, step("m out", Do.ACCEPT), step("n out", Do.REDIRECT, "1"))
    assert accepted.verdict is Do.REDIRECT
    dropped = decided(PACKET, step("m out", Do.DROP), step("n out", Do.REDIRECT, "1"))
    assert dropped.verdict is Do.DROP


def test_a_mark_is_seen_by_later_rules_and_survives_lo() -> None:
    marked = Condition(Fact.MARK, ("0x7",))
    steps = (step("m out", Do.MARK, "7"), step("m pre", Do.TPROXY, "9", marked))
    assert decided(PACKET._replace(interface="lo"), *steps).verdict is Do.TPROXY
    assert decided(PACKET, *steps).verdict is Do.RETURN


def test_addresses_are_translated_once() -> None:
    back_in = (step("n pre", Do.REDIRECT, "1"),)
    assert decided(PACKET._replace(interface="lo"), *back_in).verdict is Do.RETURN


@pytest.mark.parametrize(
    ("fact", "value", "holds"),
    [
        (Fact.PROTOCOL, "udp", False),
        (Fact.FAMILY, "ipv4", True),
        (Fact.OUT, "eth+", True),
        (Fact.IN, "eth0", False),
        (Fact.DESTINATION, "10.9.9.9/8", True),
        (Fact.DESTINATION, "2001:db8::/32", False),
        (Fact.SOURCE, "10.0.0.0/8", False),
        (Fact.PORT, "79-81", True),
        (Fact.PORT, "79:80", True),
        (Fact.PORT, "http", False),
        (Fact.SOURCE_PORT, "40000", True),
        (Fact.UID, "5", True),
        (Fact.GID, "5", False),
        (Fact.MARK, "0", True),
        (Fact.STATE, "established", False),
        (Fact.STATE, "NEW", True),
        (Fact.CONNECTION_MARK, "1337", False),
    ],
)
def test_conditions(fact: Fact, value: str, holds: bool) -> None:
    for negated in (False, True):
        condition = Condition(
            fact, (value, "4294967294") if fact is Fact.UID else (value,), negated
        )
        decision = decided(PACKET, step("n out", Do.DROP, "", condition))
        assert (decision.verdict is Do.DROP) == (holds != negated)
