# SPDX-License-Identifier: Apache-2.0
"""Rules as one transaction for ``nft -f``: it takes effect whole or not at all. Pure. Source: spec/agent.md 10.8.

On a kernel without tables of ours the text is the peer's. Where an earlier run left tables or chains that are not
wanted any more, lines before it take those away in the same transaction (the peer lets them stand).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from iptables.nft_observed import Found
from iptables.nft_rules import CHAINS, HOOKS, MAX_COMMENT, NftRule, NftTable


def transaction(rules: Sequence[NftRule], found: Found, *, comments: bool) -> str:
    """Lines that bring our tables to these rules, whatever of them is there."""
    return _text(line for table in NftTable for line in _table(table, rules, found, comments))


def removal(tables: Iterable[str] = NftTable) -> str:
    """Lines that leave none of these tables; whether they are there does not matter."""
    return _text(line for table in tables for line in _gone(table))


def _table(
    table: NftTable, rules: Sequence[NftRule], found: Found, comments: bool
) -> Iterator[str]:
    own = [rule for rule in rules if rule.table == table]
    wanted = [chain for chain in CHAINS[table] if any(rule.chain == chain for rule in own)]
    if set(found.ours.get(table, ())) - set(wanted) or (table in found.ours and not own):
        yield from _gone(table)
    if not own:
        return
    yield f"add table inet {table}"
    yield f"flush table inet {table}"
    for chain in wanted:
        hook = HOOKS.get((table, chain))
        yield f"add chain inet {table} {chain}" + (f" {{ {hook} ; }}" if hook else "")
    yield from _rule_lines(table, own, comments)


def _rule_lines(table: str, rules: Sequence[NftRule], comments: bool) -> Iterator[str]:
    """Nft knows no index behind the last rule, so an insert there is an addition."""
    lengths: dict[str, int] = {}
    for rule in rules:
        length = lengths.get(rule.chain, 0)
        lengths[rule.chain] = length + 1
        inserted = rule.position is not None and rule.position < length
        place = f" index {rule.position}" if inserted else ""
        comment = f' comment "{shortened(rule.why)}"' if comments and rule.why else ""
        verb = "insert" if inserted else "add"
        yield f"{verb} rule inet {table} {rule.chain}{place} {rule.text}{comment}"


def ordered(rules: Iterable[NftRule]) -> dict[tuple[str, str], list[NftRule]]:
    """Each chain as the kernel has it once all rules are added and inserted."""
    chains: dict[tuple[str, str], list[NftRule]] = {}
    for rule in rules:
        chain = chains.setdefault((rule.table, rule.chain), [])
        chain.insert(len(chain) if rule.position is None else rule.position, rule)
    return chains


def shortened(why: str) -> str:
    """As much of it as the kernel keeps. Double quotes cannot be written."""
    text = why.replace('"', "'")
    raw = text.encode()
    return (
        text if len(raw) < MAX_COMMENT else raw[: MAX_COMMENT - 4].decode(errors="ignore") + "..."
    )


def _gone(table: str) -> Iterator[str]:
    yield f"add table inet {table}"
    yield f"delete table inet {table}"


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
