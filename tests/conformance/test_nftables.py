# SPDX-License-Identifier: Apache-2.0
"""Native nftables: the peer's transaction line by line, and what the kernel holds after ours (root only)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from iptables.nft_observed import Found
from iptables.nft_plan import plan
from iptables.nft_render import ordered, transaction
from iptables.nft_rules import NftRule
from tests.conformance.runner import Case, cases
from tests.conformance.test_iptables import settings_of
from tests.support.netns import Netns, needs_netns

COMMENT = re.compile(r' comment "[^"]*"')
COUNTER = re.compile(r"counter packets \d+ bytes \d+")


def by_place(text: str) -> dict[tuple[str, ...], list[str]]:
    """Lines in order, per table and, for rules, per chain."""
    places: dict[tuple[str, ...], list[str]] = {}
    for line in filter(None, text.splitlines()):
        _, kind, _, table, *rest = line.split()
        places.setdefault((table, rest[0]) if kind == "rule" else (table,), []).append(line)
    return places


@pytest.mark.parametrize("comments", [True, False], ids=["commented", "bare"])
@cases("nftables/cases")
def test_transaction(case: Case, comments: bool) -> None:
    settings = settings_of(case)
    assert bool(settings.faults) == bool(case.data["expect"]["exit_code"])
    if settings.faults:
        return
    skipped = settings.run.skip_rule_apply
    text = "" if skipped else transaction(plan(settings.config), Found(), comments=comments)
    assert bool(COMMENT.search(text)) == (comments and not skipped)
    assert by_place(COMMENT.sub("", text)) == by_place(case.data["golden"]["transaction"])


def ruleset(netns: Netns) -> str:
    return COUNTER.sub("counter packets 0 bytes 0", netns.must("nft", "list", "ruleset"))


@needs_netns
@cases("nftables/cases")
def test_ruleset(case: Case, tmp_path: Path) -> None:
    """The kernel's own text; our rules say why, which is all that may differ."""
    host = case.data["host"]
    words = [sys.executable, "-m", "iptables.cli", *case.data["flags"]]
    with Netns(host["addresses"], host.get("resolv_conf_nameservers", []), tmp_path) as netns:
        done = netns.run(words, env=case.data["env"])
        assert done.returncode == case.data["expect"]["exit_code"], done.stdout
        assert COMMENT.sub("", ruleset(netns)) == case.data["golden"]["ruleset_after"]


@cases("nftables/builder")
def test_builder(case: Case) -> None:
    raws = case.data["rules"]
    rules = [
        NftRule(raw["table"], raw["chain"], " ".join(raw["params"]), position=raw.get("index"))
        for raw in raws
    ]
    lines = []
    for (table, chain), content in ordered(rules).items():
        lines += [f"add table inet {table}", f"add chain inet {table} {chain}"]
        lines += [f"add rule inet {table} {chain} {rule.text}" for rule in content]
    assert "".join(f"{line}\n" for line in lines) == case.data["expect"]["dump"]
