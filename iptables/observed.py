# SPDX-License-Identifier: Apache-2.0
"""What the kernel holds, read from ``iptables-save``, against what is wanted. Pure. Source: spec/agent.md 10.4.

Rules are compared by presence and number, never by text: the kernel prints them in its own words. Whether each one
is present only the tool can say (``-C``), so ``compare`` answers for what numbers can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from iptables.render import Command, chains, operation
from iptables.rules import OUR_CHAINS, OUR_PREFIX, TABLES, Rule

State = Mapping[str, Mapping[str, Sequence[str]]]
"""Table to chain to rules as text; only chains that have rules, and ours."""

UNFINISHED = "ISTIO_UNFINISHED"
"""An empty chain of the filter table that stands while rules are being set: where it is found, a run was killed."""


class Verdict(NamedTuple):
    """``residue``: something is there already; ``delta``: it is not what is wanted."""

    residue: bool
    delta: bool


def parse(text: str) -> State:
    """The tables that capture uses, from ``iptables-save`` or from restore input."""
    state: dict[str, dict[str, list[str]]] = {}
    table: dict[str, list[str]] | None = None
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("*"):
            name = line[1:].strip()
            table = state.setdefault(name, {}) if name in TABLES else None
        elif table is None:
            continue
        elif line.startswith((f":{OUR_PREFIX}", f"-N {OUR_PREFIX}")):
            table.setdefault(line.removeprefix("-N ").removeprefix(":").split()[0], [])
        elif line.startswith(("-A ", "-I ")):
            table.setdefault(line.split()[1], []).append(line)
    return {name: content for name, content in state.items() if content}


def state_of(rules: Sequence[Rule]) -> State:
    """What the rules would add to an empty kernel."""
    state: dict[str, dict[str, list[str]]] = {}
    for rule in rules:
        if rule.table in TABLES:
            chain = state.setdefault(rule.table, {}).setdefault(rule.chain, [])
            chain.append(" ".join(operation(rule)))
    return state


def compare(wanted: Sequence[Rule], found: State) -> Verdict:
    """As far as numbers tell; with no delta the tool is still to be asked for each rule."""
    expected = state_of(wanted)
    if not found:
        return Verdict(residue=False, delta=bool(expected))
    delta = any(
        chain not in found.get(table, {})
        or (_ours(chain) and len(found[table][chain]) != len(lines))
        for table, content in expected.items()
        for chain, lines in content.items()
    )
    return Verdict(residue=True, delta=delta or bool(_unexpected(wanted, found)))


def _unexpected(wanted: Sequence[Rule], found: State) -> list[tuple[str, str]]:
    """Chains of ours that nobody asked for."""
    known = {
        (table, chain)
        for table in TABLES
        for chain in chains(rule for rule in wanted if rule.table == table)
    }
    return [place for place in own_chains(found) if place not in known]


def own_chains(found: State) -> list[tuple[str, str]]:
    """Chains of ours, with their table."""
    return [(table, chain) for table, content in found.items() for chain in content if _ours(chain)]


def _ours(chain: str) -> bool:
    return chain.startswith(f"{OUR_PREFIX}_")


def killed(found: State) -> bool:
    """Whether an earlier run was ended while it set rules."""
    return UNFINISHED in found.get("filter", {})


def removals(found: State) -> tuple[Command, ...]:
    """Commands that take out the chains that capture makes and every jump to one, whatever settings made them.

    Chains of other programs of the mesh that only share the prefix stay.
    """
    places = [place for place in own_chains(found) if place[1] in OUR_CHAINS]
    result: list[Command] = []
    for table, content in found.items():
        result += [
            ("-t", table, "-D", *_words(line)[1:])
            for chain, lines in content.items()
            for line in lines
            if chain not in OUR_CHAINS and line.split()[-1] in OUR_CHAINS
        ]
    result += [("-t", table, "-F", chain) for table, chain in places]
    result += [("-t", table, "-X", chain) for table, chain in places]
    return tuple(result)


def _words(line: str) -> list[str]:
    """A saved rule as arguments; iptables-save quotes what has spaces (comments)."""
    words: list[str] = []
    quoted: list[str] | None = None
    for word in line.split(" "):
        if quoted is not None:
            quoted.append(word)
        elif word.startswith('"'):
            quoted = [word]
        else:
            words.append(word)
        if quoted is not None and word.endswith('"') and (len(quoted) > 1 or len(word) > 1):
            words.append(" ".join(quoted)[1:-1])
            quoted = None
    return words
