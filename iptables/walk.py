# SPDX-License-Identifier: Apache-2.0
"""One packet's way through a ruleset, as the kernel goes it: table by table, chain by chain. Pure.

Both backends' rules are read into ``Step``s first; here nobody knows which backend it was. Only what decides about a
connection's first packet is modelled: established connections follow it, so their conditions never hold here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from iptables.packet import LOOPBACK, Packet


class Fact(Enum):
    """What a condition looks at."""

    FAMILY = "family"
    PROTOCOL = "protocol"
    IN = "interface in"
    OUT = "interface out"
    SOURCE = "source"
    DESTINATION = "destination"
    SOURCE_PORT = "source port"
    PORT = "port"
    UID = "uid"
    GID = "gid"
    MARK = "mark"
    STATE = "connection's state"
    CONNECTION_MARK = "connection's mark"


class Condition(NamedTuple):
    """Holds when the fact is one of the values; negated: when it is none."""

    fact: Fact
    values: tuple[str, ...]
    negated: bool = False


class Do(Enum):
    """What a matching rule does; the value of its action in brackets."""

    JUMP = "jump (chain)"
    RETURN = "return"
    ACCEPT = "accept"
    DROP = "drop"
    REDIRECT = "redirect (port)"
    TPROXY = "tproxy (port)"
    MARK = "mark (number)"
    NOTE = "counts, saves marks, sets zones: nothing that decides"


ENDINGS = (Do.DROP, Do.REDIRECT, Do.TPROXY)
"""After these nothing else decides about the packet; an accepted one goes on in the next table."""


class Step(NamedTuple):
    """A rule of either backend as the walk sees it."""

    table: str
    chain: str
    conditions: tuple[Condition, ...]
    action: Do
    value: str
    text: str
    """As its tool writes it."""
    why: str


class Ruleset(NamedTuple):
    """Chains in their final order; the tables in a packet's order, that of address translation last."""

    chains: Mapping[tuple[str, str], Sequence[Step]]
    tables: tuple[str, str, str]
    entries: Mapping[str, str]
    """Direction to the chain that the kernel enters by."""


class Decision(NamedTuple):
    """What happens: ``verdict`` is RETURN when nothing took the packet."""

    verdict: Do
    step: Step | None
    port: str = ""
    """Where it is redirected to."""
    passed: tuple[Step, ...] = ()
    """Rules that matched on the way, the deciding one included."""


def decide(rules: Ruleset, packet: Packet) -> Decision:
    """Table after table; the first that redirects, takes or drops the packet ends it."""
    walk = _Walk(rules, packet)
    verdict = walk.tables(rules.tables)
    if verdict is None and packet.direction == "out" and packet.through == LOOPBACK:
        # What leaves by lo comes in by lo, marks and all; addresses are translated once, on the way out.
        walk.packet = packet._replace(direction="in", interface=LOOPBACK)
        verdict = walk.tables(rules.tables[:2])
    passed = tuple(walk.passed)
    if verdict is None:
        return Decision(Do.RETURN, walk.returned, passed=passed)
    return Decision(verdict, passed[-1], passed[-1].value, passed)


class _Walk:
    """One packet under way; the mark is all that changes about it."""

    def __init__(self, rules: Ruleset, packet: Packet) -> None:
        self._rules = rules
        self.packet = packet
        self._mark = packet.mark
        self.passed: list[Step] = []
        self.returned: Step | None = None
        """The rule that let the packet go: the last such of address translation, else the first of any table."""

    def tables(self, tables: Sequence[str]) -> Do | None:
        """The verdict that ends the way; None when the packet just goes on."""
        for table in tables:
            verdict = self._chain(table, self._rules.entries[self.packet.direction])
            if verdict in ENDINGS:
                return verdict
        return None

    def _chain(self, table: str, name: str) -> Do | None:
        """The verdict within a chain; None when it returned."""
        for step in self._rules.chains.get((table, name), ()):
            if not all(map(self._holds, step.conditions)):
                continue
            self.passed.append(step)
            match step.action:
                case Do.NOTE:
                    continue
                case Do.MARK:
                    self._mark = _number(step.value)
                case Do.RETURN:
                    if table == self._rules.tables[-1] or self.returned is None:
                        self.returned = step
                    return None
                case Do.JUMP:
                    if (verdict := self._chain(table, step.value)) is not None:
                        return verdict
                case _:
                    return step.action
        return None

    def _holds(self, condition: Condition) -> bool:
        found = any(self._is(condition.fact, value) for value in condition.values)
        return found != condition.negated

    def _is(self, fact: Fact, value: str) -> bool:
        packet = self.packet
        match fact:
            case Fact.FAMILY:
                return packet.family == value
            case Fact.PROTOCOL:
                return packet.protocol == value
            case Fact.IN:
                return packet.direction == "in" and _same_interface(packet.through, value)
            case Fact.OUT:
                return packet.direction == "out" and _same_interface(packet.through, value)
            case Fact.SOURCE:
                return bool(packet.source) and _within(packet.source, value)
            case Fact.DESTINATION:
                return _within(packet.destination, value)
            case Fact.SOURCE_PORT:
                return _in_range(packet.source_port, value)
            case Fact.PORT:
                return _in_range(packet.port, value)
            case Fact.UID:
                return _in_range(packet.uid, value)
            case Fact.GID:
                return _in_range(packet.gid, value)
            case Fact.MARK:
                return self._mark == _number(value)
            case Fact.STATE:
                return value.upper() == "NEW"
            case Fact.CONNECTION_MARK:
                return _number(value) == 0


def _within(address: str, cidr: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_interface(cidr).network


def _in_range(number: int, text: str) -> bool:
    """``N``, ``N-M`` or ``N:M``; names are nobody's number here."""
    first, _, last = text.replace(":", "-").partition("-")
    return first.isdigit() and int(first) <= number <= int(last or first)


def _number(text: str) -> int:
    return int(text, 16 if text[:2] in ("0x", "0X") else 10)


def _same_interface(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern[-1] in "+*" else name == pattern
