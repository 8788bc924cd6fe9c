# SPDX-License-Identifier: Apache-2.0
"""Rules of the peer for the same flags, per family, table and chain, as the suite's README compares them."""

from __future__ import annotations

from typing import Any

import pytest

from iptables.binaries import binary_order, parse_version
from iptables.flags import read
from iptables.plan import plan
from iptables.render import commands, restore
from iptables.rules import Rule
from iptables.settings import (
    HostFacts,
    Settings,
    build,
    items,
    loopback_fault,
    owner_groups_fault,
)
from tests.conformance.runner import Case, cases

USERS = {"root": "0"}


def settings_of(case: Case) -> Settings:
    data = case.data
    env = data["env"]
    facts = HostFacts(
        addresses=tuple(address.split("/")[0] for address in data["host"]["addresses"]),
        nameservers=tuple(data["host"].get("resolv_conf_nameservers", [])),
        envoy_uid=USERS.get(env.get("ENVOY_USER", "istio-proxy")),
    )
    return build(read(data["flags"], env), env, facts)


def by_place(text: str) -> dict[str, tuple[list[str], dict[str, list[str]]]]:
    """Per table: the new chains, and the rules of each chain in order."""
    tables: dict[str, tuple[list[str], dict[str, list[str]]]] = {}
    table: tuple[list[str], dict[str, list[str]]] = ([], {})
    for line in (" ".join(line.split()) for line in text.splitlines()):
        if line.startswith("* "):
            table = tables.setdefault(line[2:], ([], {}))
        elif line.startswith("-N "):
            table[0].append(line)
        elif line != "COMMIT":
            table[1].setdefault(line.split()[1], []).append(line)
    return tables


@cases("iptables/cases")
def test_rules(case: Case) -> None:
    settings = settings_of(case)
    expect = case.data["expect"]
    assert bool(settings.faults) == bool(expect["exit_code"])
    if settings.faults:
        assert len(settings.faults) == 1
        assert expect["error_line"] in str(settings.faults[0])
        return
    rules = plan(settings.config)
    skipped = settings.run.skip_rule_apply
    golden = case.data["golden"]
    assert by_place("" if skipped else restore(rules.v4)) == by_place(golden["ipv4"])
    assert by_place("" if skipped else restore(rules.v6)) == by_place(golden["ipv6"])


def rules_of(case: Case) -> list[Rule]:
    return [
        Rule(raw["table"], raw["chain"], tuple(raw["params"]), position=raw.get("position"))
        for raw in case.data["rules"]
    ]


@cases("iptables/builder")
def test_builder(case: Case) -> None:
    rules = rules_of(case)
    lines = "".join(f"{' '.join(words)}\n" for words in commands(rules))
    assert lines == case.data["expect"]["commands"]
    assert restore(rules) == case.data["expect"]["restore"]


@cases("iptables/units")
def test_units(case: Case) -> None:
    given, expect = case.data["input"], case.data["expect"]
    match case.data["kind"]:
        case "owner_groups":
            assert (not owner_groups_fault(given["include"])) == expect["valid"]
        case "ipv4_loopback_cidr":
            assert (not loopback_fault(given["cidr"])) == expect["valid"]
        case "force_iptables_binary":
            check_force_binary(given["value"], expect)
        case "host_address":
            flags = ["--dual-stack"] if given["dual_stack"] else []
            settings = build(read(flags, {}), {}, HostFacts(tuple(given["addresses"])))
            assert settings.config.ipv6 == expect["ipv6"]
        case "separate_cidrs":
            check_ranges(given["cidrs"], expect)
        case "iptables_version":
            assert ".".join(map(str, parse_version(given["text"]))) == expect["version"]
        case "pick_binary":
            check_binary(given, expect)
        case kind:
            pytest.fail(f"no such function: {kind}")


def check_force_binary(value: str, expect: dict[str, Any]) -> None:
    words = read([f"--force-iptables-binary={value}"], {})
    faults = build(words, {}, HostFacts(("192.0.2.1",))).faults
    assert (not faults) == expect["valid"]
    assert all(expect["error_text"] in str(fault) for fault in faults)


def check_ranges(text: str, expect: dict[str, Any]) -> None:
    words = read([f"--istio-service-cidr={text}"], {})
    ranges = build(words, {}, HostFacts(("192.0.2.1",))).config.outbound
    assert items(text)
    assert ranges.everything == expect["wildcard"]
    assert (list(ranges.v4), list(ranges.v6)) == (expect["ipv4"], expect["ipv6"])


def check_binary(given: dict[str, Any], expect: dict[str, Any]) -> None:
    """Of the names that would be tried, the first that is there; none is an error."""
    order = binary_order("iptables", given["force"])
    found = [name for name in order if name in given["available"]]
    assert (not found) == expect["error"]
    assert not found or found[0] == expect["binary"]
