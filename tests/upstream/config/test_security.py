# SPDX-License-Identifier: Apache-2.0
"""Every part of a PeerAuthentication and an AuthorizationPolicy is read from its YAML name."""

from __future__ import annotations

from dataclasses import fields

from tests.upstream.config.said import spec_of
from upstream.config import Kind
from upstream.config.security import (
    Action,
    AuthorizationPolicy,
    Condition,
    Mtls,
    MtlsMode,
    Operation,
    PeerAuthentication,
    Source,
)
from upstream.config.shared import SecuritySelector


def test_peer_authentication() -> None:
    assert spec_of(
        Kind.PEER_AUTHENTICATION,
        "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {80: {mode: DISABLE}}}",
    ) == PeerAuthentication(
        selector=SecuritySelector(match_labels={"app": "a"}),
        mtls=Mtls(mode=MtlsMode.STRICT),
        port_level_mtls={"80": Mtls(mode=MtlsMode.DISABLE)},
    )


def test_everyone_is_not_nobody() -> None:
    open_to_all, rules = AuthorizationPolicy(), spec_of(Kind.AUTHORIZATION_POLICY, "{rules: [{}]}")
    assert open_to_all.action is Action.ALLOW
    assert rules.rules[0].from_ is None


def test_sources_operations_and_conditions() -> None:
    found = spec_of(
        Kind.AUTHORIZATION_POLICY,
        "{action: DENY, rules: [{from: [{source: {principals: [a], notIpBlocks: [10.0.0.1]}}],"
        " to: [{operation: {methods: [GET], notPaths: [/x]}}],"
        " when: [{key: source.ip, values: [10.0.0.1], notValues: [10.0.0.2]}]}]}",
    )
    (rule,) = found.rules
    assert found.action is Action.DENY
    assert rule.from_[0].source == Source(principals=("a",), not_ip_blocks=("10.0.0.1",))
    assert rule.to[0].operation == Operation(methods=("GET",), not_paths=("/x",))
    assert rule.when == (
        Condition(key="source.ip", values=("10.0.0.1",), not_values=("10.0.0.2",)),
    )


def test_each_list_has_its_opposite() -> None:
    for kind in (Source, Operation):
        names = {one.name for one in fields(kind)}
        assert {name for name in names if f"not_{name}" not in names} == {
            name for name in names if name.startswith("not_")
        }
