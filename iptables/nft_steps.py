# SPDX-License-Identifier: Apache-2.0
"""Rules of the nft kind as steps of a walk. Pure. Knows the words that ``nft_plan`` uses, and no others."""

from __future__ import annotations

from iptables import nft_rules as n
from iptables.config import CaptureConfig
from iptables.nft_plan import plan
from iptables.nft_render import ordered
from iptables.nft_rules import NftRule, NftTable
from iptables.rules import Family
from iptables.walk import Condition, Do, Fact, Ruleset, Step

_FAMILIES = {"ip": Family.V4, "ip6": Family.V6}
_FACTS = {
    ("meta", "l4proto"): Fact.PROTOCOL,
    ("iifname",): Fact.IN,
    ("oifname",): Fact.OUT,
    ("saddr",): Fact.SOURCE,
    ("daddr",): Fact.DESTINATION,
    ("sport",): Fact.SOURCE_PORT,
    ("dport",): Fact.PORT,
    ("meta", "skuid"): Fact.UID,
    ("meta", "skgid"): Fact.GID,
    ("skuid",): Fact.UID,
    ("skgid",): Fact.GID,
    ("mark",): Fact.MARK,
    ("ct", "mark"): Fact.CONNECTION_MARK,
    ("ct", "state"): Fact.STATE,
}
_STATEMENTS = {
    ("ct", "mark", "set", "mark"): Do.NOTE,
    ("ct", "zone", "set"): Do.NOTE,
    ("meta", "mark", "set", "ct", "mark"): Do.NOTE,
    ("meta", "mark", "set"): Do.MARK,
    ("tproxy", "ip", "to"): Do.TPROXY,
    ("tproxy", "ip6", "to"): Do.TPROXY,
    ("redirect", "to"): Do.REDIRECT,
    ("jump",): Do.JUMP,
    ("return",): Do.RETURN,
    ("accept",): Do.ACCEPT,
    ("drop",): Do.DROP,
}
"""Of a rule with several the first decides: what follows ``tproxy`` belongs to it."""


def ruleset(config: CaptureConfig) -> Ruleset:
    """What the kernel holds, of both families, once all rules are added and inserted."""
    chains = {place: list(map(read, rules)) for place, rules in ordered(plan(config)).items()}
    return Ruleset(
        chains,
        tables=(NftTable.RAW, NftTable.MANGLE, NftTable.NAT),
        entries={"in": n.PREROUTING, "out": n.OUTPUT},
    )


def read(rule: NftRule) -> Step:
    """One rule: conditions up to its first statement."""
    words = rule.text.split()
    conditions: list[Condition] = []
    while words:
        if words[0] == "counter":
            words = words[1:]
            continue
        if statement := next((each for each in _STATEMENTS if _begins(words, each)), None):
            action = _STATEMENTS[statement]
            value = " ".join(words[len(statement) : len(statement) + 1]).removeprefix(":")
            return Step(rule.table, rule.chain, tuple(conditions), action, value, rule.text, rule.why)  # fmt: skip
        found, words = _condition(words)
        conditions += found
    raise ValueError(f"BUG: a rule without a statement: {rule.text}")


def _condition(words: list[str]) -> tuple[list[Condition], list[str]]:
    """The conditions at the front, and the words behind them. A header's name is a condition itself."""
    if words[0] in _FAMILIES:
        return [Condition(Fact.FAMILY, (_FAMILIES[words[0]],))], words[1:]
    if words[0] in ("tcp", "udp"):
        return [Condition(Fact.PROTOCOL, (words[0],))], words[1:]
    name = next(each for each in _FACTS if _begins(words, each))
    rest = words[len(name) :]
    negated = rest[0] == "!="
    values, rest = _values(rest[1:] if negated else rest)
    return [Condition(_FACTS[name], values, negated)], rest


def _values(words: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """One value, a list without spaces, or a set in braces."""
    if words[0] != "{":
        return tuple(words[0].strip('"').split(",")), words[1:]
    end = words.index("}")
    return tuple(word.rstrip(",") for word in words[1:end]), words[end + 1 :]


def _begins(words: list[str], start: tuple[str, ...]) -> bool:
    return tuple(words[: len(start)]) == start
