# SPDX-License-Identifier: Apache-2.0
"""Rules of the iptables kind as steps of a walk. Pure. Knows the options that ``plan`` uses, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptables import rules as r
from iptables.config import CaptureConfig
from iptables.plan import plan
from iptables.rules import Family, Rule, Table
from iptables.walk import Condition, Do, Fact, Ruleset, Step

_FACTS = {
    "-p": Fact.PROTOCOL,
    "-i": Fact.IN,
    "-o": Fact.OUT,
    "-s": Fact.SOURCE,
    "-d": Fact.DESTINATION,
    "--sport": Fact.SOURCE_PORT,
    "--dport": Fact.PORT,
    "--dports": Fact.PORT,
    "--uid-owner": Fact.UID,
    "--gid-owner": Fact.GID,
    "--mark": Fact.MARK,
    "--ctstate": Fact.STATE,
}
_ACTIONS = {
    "RETURN": Do.RETURN,
    "ACCEPT": Do.ACCEPT,
    "DROP": Do.DROP,
    "REDIRECT": Do.REDIRECT,
    "TPROXY": Do.TPROXY,
    "MARK": Do.MARK,
    "CONNMARK": Do.NOTE,
    "CT": Do.NOTE,
}
_VALUES = {Do.REDIRECT: ("--to-ports", "--to-port"), Do.TPROXY: ("--on-port",), Do.MARK: ("--set-mark",)}  # fmt: skip


def ruleset(config: CaptureConfig, family: Family) -> Ruleset:
    """What the kernel holds for one family once all rules are added and inserted."""
    return Ruleset(
        _ordered(plan(config).of(family)),
        tables=(Table.RAW, Table.MANGLE, Table.NAT),
        entries={"in": r.PREROUTING, "out": r.OUTPUT},
    )


def _ordered(rules: Sequence[Rule]) -> dict[tuple[str, str], list[Step]]:
    chains: dict[tuple[str, str], list[Step]] = {}
    for rule in rules:
        chain = chains.setdefault((rule.table, rule.chain), [])
        chain.insert(len(chain) if rule.position is None else rule.position - 1, read(rule))
    return chains


def read(rule: Rule) -> Step:
    """One rule."""
    at = rule.match.index("-j")
    target, options = rule.match[at + 1], rule.match[at + 2 :]
    action = _ACTIONS.get(target, Do.JUMP)
    value = target if action is Do.JUMP else _option(options, _VALUES.get(action, ()))
    conditions = tuple(_conditions(rule.match[:at]))
    return Step(rule.table, rule.chain, conditions, action, value, rule.text, rule.why)


def _option(options: Sequence[str], names: tuple[str, ...]) -> str:
    return next((options[options.index(name) + 1] for name in names if name in options), "")


def _conditions(words: Sequence[str]) -> Iterator[Condition]:
    rest = iter(words)
    module = ""
    negated = False
    for word in rest:
        if word == "!":
            negated = True
            continue
        value = next(rest)
        if word == "-m":
            module = value
            continue
        fact = Fact.CONNECTION_MARK if module == "connmark" else _FACTS[word]
        yield Condition(fact, tuple(value.split(",")), negated)
        negated = False
