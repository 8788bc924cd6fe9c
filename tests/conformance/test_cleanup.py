# SPDX-License-Identifier: Apache-2.0
"""Undoing: commands in order, the algebra of rules, and whole stories in a network namespace (root only)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from iptables import apply, observed
from iptables.backend import Paper
from iptables.render import checks, restore, undo
from tests.conformance.runner import Case, cases
from tests.conformance.test_iptables import rules_of, settings_of
from tests.conformance.test_nftables import COMMENT, ruleset
from tests.support.netns import Netns, needs_netns


@cases("cleanup/commands")
def test_commands(case: Case) -> None:
    settings = settings_of(case)
    assert settings.run.dry_run
    assert settings.run.cleanup_only
    paper = Paper(show=lambda line: None)
    apply.Capture(paper, settings.config, settings.run).program()
    for family, program in (("ipv4", "iptables "), ("ipv6", "ip6tables ")):
        assert [line for line in paper.lines if line.startswith(program)] == case.data["golden"][
            family
        ]


def joined(commands: tuple[tuple[str, ...], ...]) -> list[str]:
    return [" ".join(words) for words in commands]


@cases("cleanup/rule_algebra")
def test_rule_algebra(case: Case) -> None:
    rules, expect = rules_of(case), case.data["expect"]
    for kind, wanted in expect.items():
        match kind:
            case "cleanup_commands":
                assert joined(undo(rules)) == wanted
            case "check_commands":
                assert joined(checks(rules)) == wanted
            case "state":
                tables = {table: chains for table, chains in wanted.items() if chains}
                assert observed.parse(restore(rules)) == tables
            case _:
                pytest.fail(f"no such function: {kind}")


@needs_netns
@cases("cleanup/scenarios")
def test_scenarios(case: Case, tmp_path: Path) -> None:
    host = case.data["host"]
    states: list[dict[str, Any]] = []
    with Netns(host["addresses"], host.get("resolv_conf_nameservers", []), tmp_path) as netns:
        for step in case.data["steps"]:
            code = run_step(netns, step)
            states.append(state_of(netns))
            check(step["expect"], code, states)


@needs_netns
@cases("cleanup/nft_scenarios")
def test_nft_scenarios(case: Case, tmp_path: Path) -> None:
    """Our rules say why; without that and the counters the kernel's text is the peer's."""
    host = case.data["host"]
    rulesets: list[str] = []
    with Netns(host["addresses"], host.get("resolv_conf_nameservers", []), tmp_path) as netns:
        for step in case.data["steps"]:
            code = run_step(netns, step)
            rulesets.append(COMMENT.sub("", ruleset(netns)))
            check_nft(step["expect"], code, rulesets)


def check_nft(expect: dict[str, Any], code: int, rulesets: list[str]) -> None:
    now = rulesets[-1]
    if "exit_ok" in expect:
        assert (code == 0) == expect["exit_ok"]
    if "ruleset" in expect:
        assert now == expect["ruleset"]
    if "ruleset_equals_after_step" in expect:
        assert now == rulesets[expect["ruleset_equals_after_step"] - 1]
    if "ruleset_differs_from_step" in expect:
        assert now != rulesets[expect["ruleset_differs_from_step"] - 1]
    assert not set(expect) - {"exit_ok", "ruleset", "ruleset_equals_after_step", "ruleset_differs_from_step"}  # fmt: skip


def run_step(netns: Netns, step: dict[str, Any]) -> int:
    words = [sys.executable, "-m", "iptables.cli", *step["agent"]] if "agent" in step else nft_variant(step["command"])  # fmt: skip
    return netns.run(words, env=step.get("env", {})).returncode


def nft_variant(words: list[str]) -> list[str]:
    """The suite's scenarios are about the nft variant of the tools, whatever the host's default."""
    return [shutil.which(f"{words[0]}-nft") or words[0], *words[1:]]


def state_of(netns: Netns) -> dict[str, Any]:
    found = {}
    for family, program in (("ipv4", "iptables-nft-save"), ("ipv6", "ip6tables-nft-save")):
        tables: dict[str, dict[str, list[str]]] = {}
        chains: dict[str, list[str]] = {}
        for line in netns.run([program]).stdout.splitlines():
            if line.startswith("*"):
                chains = tables.setdefault(line[1:], {})
            elif line.startswith("-A"):
                chains.setdefault(line.split()[1], []).append(line)
            elif line.startswith(":ISTIO"):
                chains.setdefault(line[1:].split()[0], [])
        found[family] = {table: content for table, content in tables.items() if content}
    return {family: tables for family, tables in found.items() if tables}


def without_empty_chains(state: dict[str, Any]) -> dict[str, Any]:
    return {
        family: {
            table: {chain: rules for chain, rules in chains.items() if rules}
            for table, chains in tables.items()
        }
        for family, tables in state.items()
    }


def check(expect: dict[str, Any], code: int, states: list[dict[str, Any]]) -> None:
    now = states[-1]
    if "exit_ok" in expect:
        assert (code == 0) == expect["exit_ok"]
    if "istio_chains_or_jumps" in expect:
        assert ("ISTIO_" in str(now)) == expect["istio_chains_or_jumps"]
    if "state" in expect:
        assert without_empty_chains(now) == expect["state"]
    if "state_equals_after_step" in expect:
        assert now == states[expect["state_equals_after_step"] - 1]
    if "state_differs_from_step" in expect:
        assert now != states[expect["state_differs_from_step"] - 1]
    assert not set(expect) - {"exit_ok", "istio_chains_or_jumps", "state", "state_equals_after_step", "state_differs_from_step"}  # fmt: skip
