# SPDX-License-Identifier: Apache-2.0
"""AuthorizationPolicies of a workload as RBAC filters: AUDIT, then DENY, then ALLOW. Pure.

Source: spec/upstream.md 7.8, 17.2.

A CUSTOM policy needs an external authorizer, which is not served yet: its workload refuses everything instead, as
istiod does when the provider is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2

from upstream.config.objects import Kind, Object
from upstream.config.security import Action, AuthorizationPolicy
from upstream.generate.authz_rules import nothing, policy_of
from upstream.generate.resource import packed
from upstream.generate.view import View

HTTP_RBAC = "envoy.filters.http.rbac"
NETWORK_RBAC = "envoy.filters.network.rbac"
DRY_RUN = "istio.io/dry-run"
TCP_PREFIX = "tcp."
_ALLOW_SHADOW = "istio_dry_run_allow_"
_DENY_SHADOW = "istio_dry_run_deny_"
_ACTIONS = {
    Action.CUSTOM: rbac_pb2.RBAC.DENY,
    Action.AUDIT: rbac_pb2.RBAC.LOG,
    Action.DENY: rbac_pb2.RBAC.DENY,
    Action.ALLOW: rbac_pb2.RBAC.ALLOW,
}
Policies = list[Object[AuthorizationPolicy]]


def http_authorization(view: View) -> list[hcm_pb2.HttpFilter]:
    """Filters for HTTP chains."""
    return [
        hcm_pb2.HttpFilter(
            name=HTTP_RBAC,
            typed_config=packed(
                http_rbac_pb2.RBAC(
                    rules=rules, shadow_rules=shadow, shadow_rules_stat_prefix=prefix
                )
            ),
        )
        for rules, shadow, prefix in _filters(view, tcp=False)
    ]


def tcp_authorization(view: View) -> list[listener_components_pb2.Filter]:
    """Filters for TCP chains."""
    return [
        listener_components_pb2.Filter(
            name=NETWORK_RBAC,
            typed_config=packed(
                network_rbac_pb2.RBAC(
                    rules=rules,
                    shadow_rules=shadow,
                    shadow_rules_stat_prefix=prefix,
                    stat_prefix=TCP_PREFIX,
                )
            ),
        )
        for rules, shadow, prefix in _filters(view, tcp=True)
    ]


def policies_for(view: View) -> Policies:
    """Those of the root namespace, then the workload's own, that select it."""
    proxy, root = view.proxy, view.world.mesh.root_namespace
    everything: tuple[Object[AuthorizationPolicy], ...] = view.world.objects(
        Kind.AUTHORIZATION_POLICY
    )
    spaces = dict.fromkeys((root, proxy.namespace))
    return [
        one
        for space in spaces
        for one in everything
        if one.namespace == space and _selects(one.spec, proxy.labels.items())
    ]


def _selects(spec: AuthorizationPolicy, labels: Iterable[tuple[str, str]]) -> bool:
    """By labels; a policy that targets objects by name is for gateways and waypoints."""
    if spec.target_ref or spec.target_refs:
        return False
    wanted = spec.selector.match_labels if spec.selector else {}
    return wanted.items() <= set(labels)


def _filters(
    view: View, *, tcp: bool
) -> Iterator[tuple[rbac_pb2.RBAC | None, rbac_pb2.RBAC | None, str]]:
    """Rules, shadow rules and the shadow's prefix, for each action that has policies."""
    everything = policies_for(view)
    for action in (Action.CUSTOM, Action.AUDIT, Action.DENY, Action.ALLOW):
        mine = [one for one in everything if one.spec.action is action]
        live = [one for one in mine if not _dry(one)]
        dry = [one for one in mine if _dry(one)]
        if not mine:
            continue
        rules = _rules(view, action, live, tcp=tcp) if live else None
        shadow = _rules(view, action, dry, tcp=tcp) if dry else None
        denied = shadow is not None and action is Action.DENY
        yield rules, shadow, _DENY_SHADOW if denied else _ALLOW_SHADOW


def _dry(one: Object[AuthorizationPolicy]) -> bool:
    return one.annotations.get(DRY_RUN, "").lower() in ("true", "1", "t")


def _rules(view: View, action: Action, policies: Policies, *, tcp: bool) -> rbac_pb2.RBAC:
    out = rbac_pb2.RBAC(action=_ACTIONS[action])
    for one in policies:
        prefix = f"ns[{one.namespace}]-policy[{one.name}]"
        if action is Action.CUSTOM:
            out.policies[f"{prefix}-deny-due-to-bad-CUSTOM-action"].CopyFrom(_everything())
            continue
        if action is Action.ALLOW and not one.spec.rules:
            out.policies[f"{prefix}-rule[0]"].CopyFrom(nothing())
        for index, rule in enumerate(one.spec.rules):
            made = policy_of(
                rule, view.world, owner=one.namespace, tcp=tcp, deny=action is not Action.ALLOW
            )
            if made is not None:
                out.policies[f"{prefix}-rule[{index}]"].CopyFrom(made)
    return out


def _everything() -> rbac_pb2.Policy:
    return rbac_pb2.Policy(
        permissions=[rbac_pb2.Permission(any=True)], principals=[rbac_pb2.Principal(any=True)]
    )
