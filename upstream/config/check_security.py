# SPDX-License-Identifier: Apache-2.0
"""What istiod refuses in a PeerAuthentication and an AuthorizationPolicy though every field has the right type. Pure.

Source: istio pkg/config/validation ValidateAuthorizationPolicy, ValidatePeerAuthentication; pkg/config/security;
spec/upstream.md 7.8, 8.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields

from upstream.config.problems import Problem, is_network, label_problems
from upstream.config.security import (
    Action,
    AuthorizationPolicy,
    Condition,
    Operation,
    PeerAuthentication,
    Rule,
    Source,
    TargetRef,
)

DRY_RUN = "istio.io/dry-run"
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
"""Go's strconv.ParseBool."""
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
TARGETS = (
    ("", "Service"),
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
)
_LITERAL = re.compile(r"[-a-zA-Z0-9._~%!$&'()+,;:@=]*")
"""A segment of a path without wildcards (RFC 3986 pchar)."""
_NESTED = re.compile(
    r"(request\.headers|request\.auth\.claims|experimental\.[^\[]+)(\[[^\[\]]+\])+"
)

Values = Callable[[str, Sequence[str]], Iterator[Problem]]


def check_peer_authentication(spec: PeerAuthentication) -> Iterator[Problem]:
    """What is wrong with mTLS modes."""
    labels = spec.selector.match_labels if spec.selector else {}
    yield from label_problems("selector.matchLabels", labels)
    ports = spec.port_level_mtls
    if ports is None:
        return
    if not ports:
        yield Problem("portLevelMtls", "is empty", "leave it out")
    elif not labels:
        hint = "select the workloads that have the port"
        yield Problem("portLevelMtls", "needs a selector", hint)
    for port in ports:
        if not port.isdigit() or not 1 <= int(port) <= 65535:
            yield Problem(f"portLevelMtls[{port}]", f"{port!r} is not a port", "1 to 65535")


def check_authorization_policy(spec: AuthorizationPolicy) -> Iterator[Problem]:
    """What is wrong with a policy."""
    if spec.selector:
        yield from label_problems("selector.matchLabels", spec.selector.match_labels)
    yield from _targets(spec)
    if spec.action is Action.CUSTOM and not (spec.provider and spec.provider.name):
        yield Problem("provider.name", "missing: a CUSTOM policy names its provider")
    if spec.action is not Action.CUSTOM and spec.provider:
        yield Problem("provider", f"is not for {spec.action}")
    if spec.action in (Action.DENY, Action.CUSTOM) and not spec.rules:
        hint = "use an empty rule, - {}, to match everything"
        yield Problem("rules", f"{spec.action} without rules never matches", hint)
    for i, rule in enumerate(spec.rules):
        yield from _rule(f"rules[{i}]", rule)
        if spec.action is Action.CUSTOM:
            yield from _undecided(f"rules[{i}]", rule)


def check_dry_run(spec: AuthorizationPolicy, annotations: Mapping[str, str]) -> Iterator[Problem]:
    """What is wrong with the annotation that only watches."""
    value = annotations.get(DRY_RUN)
    if value is None:
        return
    path = f"metadata.annotations[{DRY_RUN}]"
    if value not in TRUE | FALSE:
        yield Problem(path, f"{value!r} is neither true nor false")
    elif spec.action not in (Action.ALLOW, Action.DENY):
        yield Problem(path, f"is not for {spec.action}", "only ALLOW and DENY can be tried out")


def _targets(spec: AuthorizationPolicy) -> Iterator[Problem]:
    targets = [*spec.target_refs, *([spec.target_ref] if spec.target_ref else [])]
    path = "targetRefs" if spec.target_refs else "targetRef"
    if spec.target_ref and spec.target_refs:
        yield Problem(path, "cannot stand beside targetRef", "keep one of the two")
    if targets and spec.selector and spec.selector.match_labels:
        yield Problem(path, "cannot stand beside a selector", "keep one of the two")
    for target in targets:
        yield from _target(path, target)


def _target(path: str, target: TargetRef) -> Iterator[Problem]:
    if not target.name:
        yield Problem(f"{path}.name", "missing")
    if target.namespace:
        yield Problem(f"{path}.namespace", "cannot be set: targets are of the policy's namespace")
    if (target.group, target.kind) not in TARGETS:
        hint = ", ".join(f"{group or 'core'}/{kind}" for group, kind in TARGETS[1:])
        yield Problem(path, f"{target.group}/{target.kind} cannot be targeted", f"one of {hint}")


def _rule(path: str, rule: Rule) -> Iterator[Problem]:
    if rule.from_ == ():
        yield Problem(f"{path}.from", "is empty", "leave it out for everyone")
    if rule.to == ():
        yield Problem(f"{path}.to", "is empty", "leave it out for everything")
    for j, one in enumerate(rule.from_ or ()):
        where = f"{path}.from[{j}].source"
        if one.source is None:
            yield Problem(where, "missing")
        else:
            yield from _not_empty(where, one.source)
            yield from _source(where, one.source)
    for j, to in enumerate(rule.to or ()):
        where = f"{path}.to[{j}].operation"
        if to.operation is None:
            yield Problem(where, "missing")
        else:
            yield from _not_empty(where, to.operation)
            yield from _operation(where, to.operation)
    for j, condition in enumerate(rule.when):
        yield from _condition(f"{path}.when[{j}]", condition)


def _not_empty(path: str, part: Source | Operation) -> Iterator[Problem]:
    if not any(getattr(part, one.name) for one in fields(part)):
        yield Problem(path, "is empty", "give at least one field")


def _source(path: str, source: Source) -> Iterator[Problem]:
    groups: dict[str, tuple[Values, Sequence[str]]] = {
        "ipBlocks": (_blocks, source.ip_blocks),
        "notIpBlocks": (_blocks, source.not_ip_blocks),
        "remoteIpBlocks": (_blocks, source.remote_ip_blocks),
        "notRemoteIpBlocks": (_blocks, source.not_remote_ip_blocks),
        "principals": (_given, source.principals),
        "notPrincipals": (_given, source.not_principals),
        "requestPrincipals": (_given, source.request_principals),
        "notRequestPrincipals": (_given, source.not_request_principals),
        "namespaces": (_given, source.namespaces),
        "notNamespaces": (_given, source.not_namespaces),
        "trustDomains": (_given, source.trust_domains),
        "notTrustDomains": (_given, source.not_trust_domains),
        "serviceAccounts": (_accounts, source.service_accounts),
        "notServiceAccounts": (_accounts, source.not_service_accounts),
    }
    yield from _each(path, groups)
    if (source.service_accounts or source.not_service_accounts) and (
        source.principals or source.not_principals or source.namespaces or source.not_namespaces
    ):
        hint = "use them in separate sources"
        yield Problem(path, "serviceAccounts cannot stand beside principals or namespaces", hint)


def _operation(path: str, operation: Operation) -> Iterator[Problem]:
    groups: dict[str, tuple[Values, Sequence[str]]] = {
        "ports": (_ports, operation.ports),
        "notPorts": (_ports, operation.not_ports),
        "hosts": (_given, operation.hosts),
        "notHosts": (_given, operation.not_hosts),
        "methods": (_given, operation.methods),
        "notMethods": (_given, operation.not_methods),
        "paths": (_paths, operation.paths),
        "notPaths": (_paths, operation.not_paths),
    }
    yield from _each(path, groups)


def _each(path: str, groups: Mapping[str, tuple[Values, Sequence[str]]]) -> Iterator[Problem]:
    for name, (check, values) in groups.items():
        yield from check(f"{path}.{name}", values)


def _given(path: str, values: Sequence[str]) -> Iterator[Problem]:
    for i, value in enumerate(values):
        if not value:
            yield Problem(f"{path}[{i}]", "is empty")


def _blocks(path: str, values: Sequence[str]) -> Iterator[Problem]:
    for i, value in enumerate(values):
        if not is_network(value):
            yield Problem(f"{path}[{i}]", f"{value!r} is no IP address or CIDR")


def _ports(path: str, values: Sequence[str]) -> Iterator[Problem]:
    for i, value in enumerate(values):
        if not value.isdigit() or not 1 <= int(value) <= 65535:
            yield Problem(f"{path}[{i}]", f"{value!r} is not a port")


def _accounts(path: str, values: Sequence[str]) -> Iterator[Problem]:
    """``account`` or ``namespace/account``."""
    for i, value in enumerate(values):
        if not value:
            yield Problem(f"{path}[{i}]", "is empty")
        elif "*" in value:
            yield Problem(f"{path}[{i}]", f"{value!r} has a wildcard", "use principals for that")
        elif value.count("/") > 1 or not all(value.split("/")):
            yield Problem(f"{path}[{i}]", f"{value!r} is not namespace/account")
        elif len(value) > 320:
            yield Problem(f"{path}[{i}]", "is longer than 320 characters")


def _paths(path: str, values: Sequence[str]) -> Iterator[Problem]:
    """Plain paths, or templates with ``{*}`` for a segment and ``{**}`` for all that follow."""
    for i, value in enumerate(values):
        where = f"{path}[{i}]"
        if not value:
            yield Problem(where, "is empty")
        template = "{*}" in value or "{**}" in value
        ended = False
        for segment in value.strip("/").split("/"):
            if segment in ("{*}", "{**}"):
                if ended:
                    yield Problem(where, f"{value!r} goes on behind {{**}}", "let {**} be the last")
                ended = ended or segment == "{**}"
            elif "{" in segment or "}" in segment:
                hint = "{*} and {**} are whole segments"
                yield Problem(where, f"{value!r} has braces of another kind", hint)
            elif template and not _LITERAL.fullmatch(segment):
                hint = "beside {*} and {**} there are no wildcards"
                yield Problem(where, f"{value!r} has a segment {segment!r} that is no text", hint)


_KEYS: Mapping[str, Values] = {
    "source.ip": _blocks,
    "remote.ip": _blocks,
    "destination.ip": _blocks,
    "destination.port": _ports,
    "source.namespace": _given,
    "source.serviceAccount": _accounts,
    "source.principal": _given,
    "source.trustDomain": _given,
    "request.auth.principal": _given,
    "request.auth.audiences": _given,
    "request.auth.presenter": _given,
    "connection.sni": _given,
}


def _condition(path: str, condition: Condition) -> Iterator[Problem]:
    key = condition.key
    if not key:
        yield Problem(f"{path}.key", "missing")
    elif key not in _KEYS and not _NESTED.fullmatch(key):
        hint = f"request.headers[x], request.auth.claims[x], or one of {', '.join(sorted(_KEYS))}"
        yield Problem(f"{path}.key", f"{key!r} is not an attribute", hint)
    if not condition.values and not condition.not_values:
        yield Problem(path, "has neither values nor notValues")
    check = _KEYS.get(key, _given)
    yield from check(f"{path}.values", condition.values)
    yield from check(f"{path}.notValues", condition.not_values)


def _undecided(path: str, rule: Rule) -> Iterator[Problem]:
    """What an outside authorizer cannot be limited to, as it is asked before these are known."""
    for j, one in enumerate(rule.from_ or ()):
        for name in (
            "namespaces",
            "not_namespaces",
            "principals",
            "not_principals",
            "request_principals",
            "not_request_principals",
        ):
            if one.source and getattr(one.source, name):
                first, *rest = name.split("_")
                field = first + "".join(part.capitalize() for part in rest)
                yield Problem(f"{path}.from[{j}].source.{field}", "is not for CUSTOM")
    for j, condition in enumerate(rule.when):
        if condition.key in ("source.namespace", "source.principal") or condition.key.startswith(
            "request.auth."
        ):
            yield Problem(f"{path}.when[{j}].key", f"{condition.key} is not for CUSTOM")
