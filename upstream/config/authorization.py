# SPDX-License-Identifier: Apache-2.0
"""What istiod refuses in an AuthorizationPolicy. Pure. Source: istio pkg/config/validation, spec/upstream.md 7.8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from upstream.config.problems import Problem, is_network
from upstream.config.security import Action, AuthorizationPolicy, Condition, Operation, Source

PLAIN_KEYS = frozenset(
    [
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.serviceAccount",
        "source.principal",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
        "connection.sni",
    ]
)
NESTED_KEYS = ("request.headers[", "request.auth.claims[", "experimental.envoy.filters.")


def check_authorization_policy(spec: AuthorizationPolicy) -> Iterator[Problem]:
    """What is wrong with a policy."""
    if spec.action is Action.CUSTOM and not (spec.provider and spec.provider.name):
        yield Problem("provider.name", "missing: a CUSTOM policy names its provider")
    if spec.action is not Action.CUSTOM and spec.provider:
        yield Problem("provider", f"is not for {spec.action}")
    if spec.action in (Action.DENY, Action.CUSTOM, Action.AUDIT) and not spec.rules:
        hint = "use an empty rule, - {}, to match everything"
        yield Problem("rules", f"{spec.action} without rules never matches", hint)
    for i, rule in enumerate(spec.rules):
        for j, one in enumerate(rule.from_):
            path = f"rules[{i}].from[{j}].source"
            if one.source is None:
                yield Problem(path, "missing")
            else:
                yield from _not_empty(path, one.source)
                yield from _source(path, one.source)
        for j, to in enumerate(rule.to):
            path = f"rules[{i}].to[{j}].operation"
            if to.operation is None:
                yield Problem(path, "missing")
            else:
                yield from _not_empty(path, to.operation)
                yield from _operation(path, to.operation)
        for j, condition in enumerate(rule.when):
            yield from _condition(f"rules[{i}].when[{j}]", condition)


def _not_empty(path: str, part: Source | Operation) -> Iterator[Problem]:
    if not any(getattr(part, one.name) for one in fields(part)):
        yield Problem(path, "is empty", "give at least one field")


def _source(path: str, source: Source) -> Iterator[Problem]:
    blocks = {
        "ipBlocks": source.ip_blocks,
        "notIpBlocks": source.not_ip_blocks,
        "remoteIpBlocks": source.remote_ip_blocks,
        "notRemoteIpBlocks": source.not_remote_ip_blocks,
    }
    for name, values in blocks.items():
        for i, value in enumerate(values):
            if not is_network(value):
                yield Problem(f"{path}.{name}[{i}]", f"{value!r} is no IP address or CIDR")
    if (source.service_accounts or source.not_service_accounts) and (
        source.principals or source.not_principals or source.namespaces or source.not_namespaces
    ):
        hint = "use them in separate sources"
        yield Problem(path, "serviceAccounts cannot stand beside principals or namespaces", hint)


def _operation(path: str, operation: Operation) -> Iterator[Problem]:
    for name, values in (("ports", operation.ports), ("notPorts", operation.not_ports)):
        for i, value in enumerate(values):
            if not value.isdigit() or not 1 <= int(value) <= 65535:
                yield Problem(f"{path}.{name}[{i}]", f"{value!r} is not a port")


def _condition(path: str, condition: Condition) -> Iterator[Problem]:
    key = condition.key
    if not key:
        yield Problem(f"{path}.key", "missing")
    elif key not in PLAIN_KEYS and not key.startswith(NESTED_KEYS):
        yield Problem(f"{path}.key", f"{key!r} is not an attribute", "such as request.headers[x]")
    if not condition.values and not condition.not_values:
        yield Problem(path, "has neither values nor notValues")
