# SPDX-License-Identifier: Apache-2.0
"""Which policies a workload has, and the filters that they become."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NETWORK_RBAC

from tests.upstream.generate.made import plain
from tests.upstream.support import sidecar, world
from upstream.generate.authz import http_authorization, policies_for, tcp_authorization
from upstream.generate.view import View, view_of

POLICY = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: NAME, namespace: SPACE, annotations: {NOTES}}
spec: {SPEC}
"""
RULE = "rules: [{to: [{operation: {ports: ['80']}}]}]"


def policy(name: str, spec: str = RULE, space: str = "default", notes: str = "") -> str:
    text = POLICY.replace("NAME", name).replace("SPACE", space)
    return text.replace("NOTES", notes).replace("SPEC", spec)


def view(*texts: str) -> View:
    return view_of(sidecar(labels={"app": "a"}), world("".join(texts)))


def filters(*texts: str) -> list[dict[str, Any]]:
    found = []
    for one in http_authorization(view(*texts)):
        rbac = RBAC()
        assert one.name == "envoy.filters.http.rbac"
        assert one.typed_config.Unpack(rbac)
        found.append(plain(rbac))
    return found


@pytest.mark.parametrize(
    ("text", "mine"),
    [
        (policy("x"), True),
        (policy("x", space="istio-system"), True),
        (policy("x", space="other"), False),
        (policy("x", f"selector: {{matchLabels: {{app: a}}}}, {RULE}"), True),
        (policy("x", f"selector: {{matchLabels: {{app: b}}}}, {RULE}"), False),
        (
            policy("x", f"targetRefs: [{{kind: Service, name: a}}], {RULE}"),
            False,
        ),
    ],
)
def test_whose_policy_it_is(text: str, *, mine: bool) -> None:
    assert bool(policies_for(view(text))) is mine


def test_the_roots_policies_come_first() -> None:
    found = policies_for(view(policy("a"), policy("z", space="istio-system")))
    assert [one.name for one in found] == ["z", "a"]


def test_log_then_deny_then_allow() -> None:
    found = filters(
        policy("allow"),
        policy("deny", f"action: DENY, {RULE}"),
        policy("audit", f"action: AUDIT, {RULE}"),
    )
    assert [one["rules"].get("action", "ALLOW") for one in found] == ["LOG", "DENY", "ALLOW"]
    assert [list(one["rules"]["policies"]) for one in found] == [
        [f"ns[default]-policy[{name}]-rule[0]"] for name in ("audit", "deny", "allow")
    ]


def test_no_policy_no_filter() -> None:
    assert filters() == []


def test_allowing_nothing_refuses_everything() -> None:
    (one,) = filters(policy("none", ""))
    (made,) = one["rules"]["policies"].values()
    assert made["permissions"] == [{"notRule": {"any": True}}]


def test_an_outside_authorizer_is_not_asked_so_everything_is_refused() -> None:
    (one,) = filters(policy("c", f"action: CUSTOM, provider: {{name: p}}, {RULE}"))
    assert one["rules"]["action"] == "DENY"
    (made,) = one["rules"]["policies"].values()
    assert made == {"permissions": [{"any": True}], "principals": [{"any": True}]}


@pytest.mark.parametrize(("action", "prefix"), [("ALLOW", "allow"), ("DENY", "deny")])
def test_a_dry_run_only_watches(action: str, prefix: str) -> None:
    (one,) = filters(policy("x", f"action: {action}, {RULE}", notes="istio.io/dry-run: 'true'"))
    assert "rules" not in one
    assert list(one["shadowRules"]["policies"]) == ["ns[default]-policy[x]-rule[0]"]
    assert one["shadowRulesStatPrefix"] == f"istio_dry_run_{prefix}_"


def test_on_tcp() -> None:
    http_only = "rules: [{to: [{operation: {paths: [/x]}}]}]"
    (one,) = tcp_authorization(view(policy("x", http_only)))
    rbac = NETWORK_RBAC()
    assert one.name == "envoy.filters.network.rbac"
    assert one.typed_config.Unpack(rbac)
    found = plain(rbac)
    assert found["statPrefix"] == "tcp."
    assert found["rules"] == {}
