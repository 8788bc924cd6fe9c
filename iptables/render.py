# SPDX-License-Identifier: Apache-2.0
"""Rules as text for the tools: restore input, single commands, checks, undoing. Pure. Source: spec/agent.md 10.3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from iptables.rules import BUILT_IN, Rule

Command = tuple[str, ...]
"""Arguments for iptables or ip6tables, without the program's name."""


def restore(rules: Sequence[Rule]) -> str:
    """Input for ``iptables-restore --noflush``: tables by name, new chains first. Empty for no rules."""
    lines: list[str] = []
    for table in sorted({rule.table for rule in rules}):
        own = [rule for rule in rules if rule.table == table]
        lines.append(f"* {table}")
        lines += [f"-N {chain}" for chain in chains(own)]
        lines += [" ".join(operation(rule)) for rule in own]
        lines.append("COMMIT")
    return "".join(f"{line}\n" for line in lines)


def chains(rules: Iterable[Rule]) -> tuple[str, ...]:
    """Chains to create in one table: those that have rules in order of appearance, then those only jumped to."""
    rules = tuple(rules)
    names = dict.fromkeys(rule.chain for rule in rules)
    names |= dict.fromkeys(rule.jump for rule in rules if rule.jump)
    return tuple(name for name in names if name not in BUILT_IN)


def operation(rule: Rule) -> Command:
    """The rule as it is added."""
    if rule.position is None:
        return ("-A", rule.chain, *rule.match)
    return ("-I", rule.chain, str(rule.position), *rule.match)


def commands(rules: Iterable[Rule]) -> tuple[Command, ...]:
    """Single commands that add the rules; a chain is created when it first has a rule."""
    known: set[tuple[str, str]] = set()
    result: list[Command] = []
    for rule in rules:
        place = (rule.table, rule.chain)
        if rule.chain not in BUILT_IN and place not in known:
            result.append(("-t", rule.table, "-N", rule.chain))
        known.add(place)
        result.append(("-t", rule.table, *operation(rule)))
    return tuple(result)


def checks(rules: Iterable[Rule]) -> tuple[Command, ...]:
    """Commands that succeed exactly when the rules are there."""
    return tuple(("-t", rule.table, "-C", rule.chain, *rule.match) for rule in rules)


def undo(rules: Sequence[Rule]) -> tuple[Command, ...]:
    """Commands that take the rules out again, last first; each may fail when there is nothing to take out.

    Rules inside our chains go with the chain, but jumps are deleted one by one, else their targets
    could not be deleted.
    """
    return (*deletions(rules), *_chain_removals(rules))


def deletions(rules: Sequence[Rule]) -> tuple[Command, ...]:
    """Single rules to delete before chains can go."""
    return tuple(
        ("-t", rule.table, "-D", rule.chain, *rule.match)
        for rule in reversed(rules)
        if not rule.chain.startswith("ISTIO_") or rule.jump.startswith("ISTIO_")
    )


def _chain_removals(rules: Sequence[Rule]) -> Iterator[Command]:
    places = dict.fromkeys((rule.table, rule.chain) for rule in reversed(rules))
    for table, chain in places:
        if chain not in BUILT_IN:
            yield ("-t", table, "-F", chain)
            yield ("-t", table, "-X", chain)
