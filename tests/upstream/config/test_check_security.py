# SPDX-License-Identifier: Apache-2.0
"""PeerAuthentications and AuthorizationPolicies that are refused, and for which field."""

from __future__ import annotations

import pytest

from tests.upstream.config.said import faults
from upstream.config import Kind

FROM = "from: [{source: {principals: [a]}}]"


def source(text: str) -> str:
    return f"{{rules: [{{from: [{{source: {{{text}}}}}]}}]}}"


def operation(text: str) -> str:
    return f"{{rules: [{{to: [{{operation: {{{text}}}}}]}}]}}"


def when(text: str) -> str:
    return f"{{rules: [{{when: [{{{text}}}]}}]}}"


def custom(text: str) -> str:
    return f"{{action: CUSTOM, provider: {{name: p}}, rules: [{{{text}}}]}}"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{selector: {matchLabels: {'': a}}}", "selector.matchLabels"),
        ("{action: DENY}", "rules"),
        ("{action: CUSTOM, rules: [{}]}", "provider.name"),
        ("{provider: {name: p}}", "provider"),
        (custom(FROM), "rules[0].from[0].source.principals"),
        (custom("when: [{key: source.namespace, values: [a]}]"), "rules[0].when[0].key"),
        ("{rules: [{from: []}]}", "rules[0].from"),
        ("{rules: [{to: []}]}", "rules[0].to"),
        ("{rules: [{from: [{}]}]}", "rules[0].from[0].source"),
        (source(""), "rules[0].from[0].source"),
        (source("principals: ['']"), "rules[0].from[0].source.principals[0]"),
        (source("ipBlocks: [x]"), "rules[0].from[0].source.ipBlocks[0]"),
        (source("serviceAccounts: [a], namespaces: [b]"), "rules[0].from[0].source"),
        (source("serviceAccounts: [a/b/c]"), "rules[0].from[0].source.serviceAccounts[0]"),
        (source("serviceAccounts: ['a/*']"), "rules[0].from[0].source.serviceAccounts[0]"),
        (operation(""), "rules[0].to[0].operation"),
        (operation("ports: ['0']"), "rules[0].to[0].operation.ports[0]"),
        (operation("methods: ['']"), "rules[0].to[0].operation.methods[0]"),
        (operation("paths: ['/{**}/{*}']"), "rules[0].to[0].operation.paths[0]"),
        (operation("paths: ['/a{*}']"), "rules[0].to[0].operation.paths[0]"),
        (operation("paths: ['/{*}/x*']"), "rules[0].to[0].operation.paths[0]"),
        (operation("notPaths: ['/{x}']"), "rules[0].to[0].operation.notPaths[0]"),
        (when("values: [a]"), "rules[0].when[0].key"),
        (when("key: nosuch, values: [a]"), "rules[0].when[0].key"),
        (when("key: 'request.headers[]', values: [a]"), "rules[0].when[0].key"),
        (when("key: source.ip"), "rules[0].when[0]"),
        (when("key: source.ip, values: [x]"), "rules[0].when[0].values[0]"),
        (when("key: destination.port, notValues: [x]"), "rules[0].when[0].notValues[0]"),
        ("{targetRef: {kind: Gateway, name: g}}", "targetRef"),
        ("{targetRef: {group: gateway.networking.k8s.io, kind: Gateway}}", "targetRef.name"),
        ("{targetRefs: [{kind: Service, name: a, namespace: b}]}", "targetRefs.namespace"),
        ("{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]}", "targetRefs"),
    ],
)
def test_authorization_refused(spec: str, field: str) -> None:
    assert field in faults(Kind.AUTHORIZATION_POLICY, spec)


@pytest.mark.parametrize(
    "spec",
    [
        "{}",
        "{action: DENY, rules: [{}]}",
        "{action: AUDIT}",
        source("principals: ['*', 'cluster.local/ns/a/sa/b'], ipBlocks: [10.0.0.0/8, '::1']"),
        source("serviceAccounts: [a, b/c]"),
        operation("paths: ['/a/{*}/b/{**}', '/x*', '*y'], ports: ['80']"),
        when("key: 'request.auth.claims[a][b]', values: [c]"),
        when("key: 'experimental.envoy.filters.a.b[c]', notValues: [d]"),
        "{targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: a}]}",
        custom("to: [{operation: {paths: [/x]}}]"),
    ],
)
def test_authorization_taken(spec: str) -> None:
    assert faults(Kind.AUTHORIZATION_POLICY, spec) == {}


@pytest.mark.parametrize(
    ("value", "action", "good"),
    [
        ("true", "ALLOW", True),
        ("F", "DENY", True),
        ("maybe", "ALLOW", False),
        ("true", "AUDIT", False),
    ],
)
def test_dry_run(value: str, action: str, *, good: bool) -> None:
    annotations = f"{{istio.io/dry-run: '{value}'}}"
    found = faults(Kind.AUTHORIZATION_POLICY, f"{{action: {action}, rules: [{{}}]}}", annotations)
    assert (not found) is good
    assert set(found) <= {"metadata.annotations[istio.io/dry-run]"}


SELECTED = "selector: {matchLabels: {app: a}}"


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ("{mtls: {mode: STRICT}}", set()),
        (f"{{{SELECTED}, portLevelMtls: {{80: {{mode: DISABLE}}}}}}", set()),
        ("{portLevelMtls: {80: {mode: DISABLE}}}", {"portLevelMtls"}),
        (f"{{{SELECTED}, portLevelMtls: {{}}}}", {"portLevelMtls"}),
        (f"{{{SELECTED}, portLevelMtls: {{0: {{mode: DISABLE}}}}}}", {"portLevelMtls[0]"}),
        ("{selector: {matchLabels: {'a*': b}}}", {"selector.matchLabels[a*]"}),
    ],
)
def test_peer_authentication(spec: str, fields: set[str]) -> None:
    assert set(faults(Kind.PEER_AUTHENTICATION, spec)) == fields
