# SPDX-License-Identifier: Apache-2.0
"""Rules of an AuthorizationPolicy as Envoy's RBAC policies. Pure. Source: spec/upstream.md 7.8.

A rule's ``to`` becomes permissions, its ``from`` principals, each condition of ``when`` joins the side that can see it.
On plain TCP nothing of HTTP can be seen: an ALLOW rule that needs it is dropped, a DENY rule keeps the rest, so that
either way less is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TypeAlias

from envoy.config.core.v3 import address_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.type.matcher.v3 import metadata_pb2, path_pb2, regex_pb2, string_pb2, value_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from upstream.config.security import Condition, Operation, Rule, Source
from upstream.generate.uri_template import is_template, template_permission
from upstream.world import World

SPIFFE = "spiffe://"
JWT = "envoy.filters.http.jwt_authn"
Permission: TypeAlias = rbac_pb2.Permission
Principal: TypeAlias = rbac_pb2.Principal


class NotOnTcp(Exception):
    """The rule looks at something that plain TCP does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    """Values of one attribute, any of which may hold, and values none of which may."""

    make: Callable[[str], rbac_pb2.Permission | rbac_pb2.Principal]
    values: Sequence[str]
    not_values: Sequence[str] = ()
    http: bool = False


def policy_of(rule: Rule, world: World, *, tcp: bool, deny: bool) -> rbac_pb2.Policy | None:
    """The rule as a policy; None when it can never be decided on TCP."""
    try:
        with_permission = [_condition(one, world) for one in rule.when if _on_permission(one)]
        with_principal = [_condition(one, world) for one in rule.when if not _on_permission(one)]
        permissions = [
            _permission([*_operation(to.operation), *with_permission], tcp=tcp, deny=deny)
            for to in rule.to
            if to.operation
        ] or [_permission(with_permission, tcp=tcp, deny=deny)]
        principals = [
            _principal([*_source(one.source, world), *with_principal], tcp=tcp, deny=deny)
            for one in rule.from_
            if one.source
        ] or [_principal(with_principal, tcp=tcp, deny=deny)]
    except NotOnTcp:
        return None
    return rbac_pb2.Policy(permissions=permissions, principals=principals)


def nothing() -> rbac_pb2.Policy:
    """A policy that no request meets."""
    return rbac_pb2.Policy(
        permissions=[Permission(not_rule=Permission(any=True))],
        principals=[Principal(not_id=Principal(any=True))],
    )


def _permission(terms: Sequence[_Term], *, tcp: bool, deny: bool) -> rbac_pb2.Permission:
    rules = []
    for term in _visible(terms, tcp=tcp, deny=deny):
        if term.values:
            some = Permission.Set(rules=[term.make(value) for value in term.values])
            rules.append(Permission(or_rules=some))
        if term.not_values:
            none = Permission.Set(rules=[term.make(value) for value in term.not_values])
            rules.append(Permission(not_rule=Permission(or_rules=none)))
    return Permission(and_rules=Permission.Set(rules=rules or [Permission(any=True)]))


def _principal(terms: Sequence[_Term], *, tcp: bool, deny: bool) -> rbac_pb2.Principal:
    ids = []
    for term in _visible(terms, tcp=tcp, deny=deny):
        if term.values:
            some = Principal.Set(ids=[term.make(value) for value in term.values])
            ids.append(Principal(or_ids=some))
        if term.not_values:
            none = Principal.Set(ids=[term.make(value) for value in term.not_values])
            ids.append(Principal(not_id=Principal(or_ids=none)))
    return Principal(and_ids=Principal.Set(ids=ids or [Principal(any=True)]))


def _visible(terms: Sequence[_Term], *, tcp: bool, deny: bool) -> Iterator[_Term]:
    for term in terms:
        if not (term.values or term.not_values):
            continue
        if tcp and term.http:
            if deny:
                continue
            raise NotOnTcp
        yield term


def _operation(given: Operation) -> list[_Term]:
    return [
        _Term(make=_host, values=given.hosts, not_values=given.not_hosts, http=True),
        _Term(make=_method, values=given.methods, not_values=given.not_methods, http=True),
        _Term(make=_path, values=given.paths, not_values=given.not_paths, http=True),
        _Term(make=_port, values=given.ports, not_values=given.not_ports),
    ]


def _source(given: Source, world: World) -> list[_Term]:
    return [
        _principals(given.principals, given.not_principals, world),
        _Term(
            make=_request_principal,
            values=given.request_principals,
            not_values=given.not_request_principals,
            http=True,
        ),
        _Term(make=_account, values=given.service_accounts, not_values=given.not_service_accounts),
        _Term(make=_namespace, values=given.namespaces, not_values=given.not_namespaces),
        _Term(make=_remote, values=given.remote_ip_blocks, not_values=given.not_remote_ip_blocks),
        _Term(make=_direct, values=given.ip_blocks, not_values=given.not_ip_blocks),
    ]


def _principals(values: Sequence[str], not_values: Sequence[str], world: World) -> _Term:
    return _Term(
        make=_authenticated,
        values=_in_all_domains(values, world),
        not_values=_in_all_domains(not_values, world),
    )


def _in_all_domains(values: Sequence[str], world: World) -> list[str]:
    """A principal of our trust domain is also one of each of its aliases."""
    ours = (world.mesh.trust_domain, *world.mesh.trust_domain_aliases)
    found: dict[str, None] = {}
    for value in values:
        domain, slash, rest = value.partition("/")
        found[value] = None
        if slash and domain in (*ours, "cluster.local"):
            found |= dict.fromkeys(f"{one}/{rest}" for one in ours)
    return list(found)


def _condition(given: Condition, world: World) -> _Term:
    key = given.key
    if key == "source.principal":
        return _principals(given.values, given.not_values, world)
    make, http = _attribute(key)
    return _Term(make=make, values=given.values, not_values=given.not_values, http=http)


def _attribute(
    key: str,
) -> tuple[Callable[[str], rbac_pb2.Permission | rbac_pb2.Principal], bool]:
    """How values of the attribute are compared, and whether only HTTP has it."""
    plain: dict[str, Callable[[str], rbac_pb2.Permission | rbac_pb2.Principal]] = {
        "source.ip": _direct,
        "remote.ip": _remote,
        "source.namespace": _namespace,
        "source.serviceAccount": _account,
        "destination.ip": _destination,
        "destination.port": _port,
        "connection.sni": _server_name,
    }
    if key in plain:
        return plain[key], False
    if key == "request.auth.principal":
        return _request_principal, True
    if key.startswith("request.headers["):
        name = key[len("request.headers[") : -1]
        return lambda value: Principal(header=_header(name, value)), True
    if key == "request.auth.audiences":
        return lambda value: _claim(("aud",), value), True
    if key == "request.auth.presenter":
        return lambda value: _claim(("azp",), value), True
    names = tuple(re.findall(r"\[([^\]]*)\]", key))
    if key.startswith("request.auth.claims"):
        return lambda value: _claim(names, value), True
    return lambda value: _experimental(key, value), False


def _on_permission(given: Condition) -> bool:
    return given.key.startswith(("destination.", "connection.", "experimental."))


def string_matcher(
    value: str, prefix: str = "", *, ignore_case: bool = False
) -> string_pb2.StringMatcher:
    """``x`` exactly, ``x*`` and ``*x`` at one end, ``*`` anything but nothing."""
    if value == "*":
        return string_pb2.StringMatcher(safe_regex=_regex(".+"))
    if value.startswith("*"):
        if prefix:
            pattern = f"{re.escape(prefix)}.*{re.escape(value[1:])}"
            return string_pb2.StringMatcher(safe_regex=_regex(pattern))
        return string_pb2.StringMatcher(suffix=value[1:], ignore_case=ignore_case)
    if value.endswith("*"):
        return string_pb2.StringMatcher(prefix=prefix + value[:-1], ignore_case=ignore_case)
    return string_pb2.StringMatcher(exact=prefix + value, ignore_case=ignore_case)


def _regex(pattern: str) -> regex_pb2.RegexMatcher:
    return regex_pb2.RegexMatcher(regex=pattern)


def _header(name: str, value: str, *, ignore_case: bool = False) -> route_pb2.HeaderMatcher:
    if value == "*":
        return route_pb2.HeaderMatcher(name=name, present_match=True)
    match = string_matcher(value, ignore_case=ignore_case)
    return route_pb2.HeaderMatcher(name=name, string_match=match)


def _host(value: str) -> rbac_pb2.Permission:
    return Permission(header=_header(":authority", value, ignore_case=True))


def _method(value: str) -> rbac_pb2.Permission:
    return Permission(header=_header(":method", value))


def _path(value: str) -> rbac_pb2.Permission:
    if is_template(value):
        return template_permission(value)
    return Permission(url_path=path_pb2.PathMatcher(path=string_matcher(value)))


def _port(value: str) -> rbac_pb2.Permission:
    return Permission(destination_port=int(value))


def _server_name(value: str) -> rbac_pb2.Permission:
    return Permission(requested_server_name=string_matcher(value))


def _destination(value: str) -> rbac_pb2.Permission:
    return Permission(destination_ip=_cidr(value))


def _direct(value: str) -> rbac_pb2.Principal:
    return Principal(direct_remote_ip=_cidr(value))


def _remote(value: str) -> rbac_pb2.Principal:
    return Principal(remote_ip=_cidr(value))


def _cidr(value: str) -> address_pb2.CidrRange:
    network = ip_network(value, strict=False)
    return address_pb2.CidrRange(
        address_prefix=value.partition("/")[0],
        prefix_len=UInt32Value(value=network.prefixlen),
    )


def _authenticated(value: str) -> rbac_pb2.Principal:
    return _named(string_matcher(value, SPIFFE))


def _namespace(value: str) -> rbac_pb2.Principal:
    pattern = value.replace("*", ".*")
    return _named(string_pb2.StringMatcher(safe_regex=_regex(f".*/ns/{pattern}/.*")))


def _account(value: str) -> rbac_pb2.Principal:
    """``namespace/account``; the check has seen to a namespace."""
    namespace, _, account = value.rpartition("/")
    pattern = f"{SPIFFE}.+/ns/{namespace or '[^/]+'}/sa/{account}"
    return _named(string_pb2.StringMatcher(safe_regex=_regex(pattern)))


def _named(match: string_pb2.StringMatcher) -> rbac_pb2.Principal:
    return Principal(authenticated=Principal.Authenticated(principal_name=match))


def _metadata(path: Sequence[str], value: value_pb2.ValueMatcher) -> metadata_pb2.MetadataMatcher:
    segments = [metadata_pb2.MetadataMatcher.PathSegment(key=key) for key in path]
    return metadata_pb2.MetadataMatcher(filter=JWT, path=segments, value=value)


def _claim(names: Sequence[str], value: str) -> rbac_pb2.Principal:
    """A claim of the request's token: a list that holds the value, as istiod has it."""
    text = value_pb2.ValueMatcher(string_match=string_matcher(value))
    found = value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=text))
    return Principal(metadata=_metadata(("payload", *names), found))


def _request_principal(value: str) -> rbac_pb2.Principal:
    """``issuer/subject`` of the request's token; either may be a wildcard."""
    if value == "*":
        parts = [("iss", "*"), ("sub", "*")]
    else:
        issuer, _, subject = value.rpartition("/")
        parts = [("iss", issuer or "*"), ("sub", subject)]
    ids = [
        Principal(
            metadata=_metadata(
                ("payload", name), value_pb2.ValueMatcher(string_match=string_matcher(text))
            )
        )
        for name, text in parts
    ]
    return Principal(and_ids=Principal.Set(ids=ids))


def _experimental(key: str, value: str) -> rbac_pb2.Permission:
    """``experimental.envoy.filters.<filter>[<key>]``; a value in brackets is looked for in a list."""
    name, _, inner = key.removeprefix("experimental.").partition("[")
    in_list = value.startswith("[") and value.endswith("]")
    matcher = value_pb2.ValueMatcher(string_match=string_matcher(value.strip("[]")))
    if in_list:
        matcher = value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=matcher))
    segment = metadata_pb2.MetadataMatcher.PathSegment(key=inner.rstrip("]"))
    found = metadata_pb2.MetadataMatcher(filter=name, path=[segment], value=matcher)
    return Permission(metadata=found)
