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
from functools import partial
from ipaddress import ip_network
from typing import TypeAlias

from envoy.config.core.v3 import address_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2 as route_pb2
from envoy.type.matcher.v3 import metadata_pb2, path_pb2, regex_pb2, string_pb2, value_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from upstream.config.security import Condition, Operation, Rule, Source
from upstream.generate.trust_domains import in_all_domains
from upstream.generate.uri_template import is_template, template_permission
from upstream.world import World

SPIFFE = "spiffe://"
JWT = "envoy.filters.http.jwt_authn"
Permission: TypeAlias = rbac_pb2.Permission
Principal: TypeAlias = rbac_pb2.Principal


Make: TypeAlias = Callable[[Sequence[str]], rbac_pb2.Permission | rbac_pb2.Principal]
"""Any of these values."""


class NotOnTcp(Exception):
    """The rule looks at something that plain TCP does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    """Values of one attribute, any of which may hold, and values none of which may."""

    make: Make
    values: Sequence[str]
    not_values: Sequence[str] = ()
    http: bool = False


def policy_of(
    rule: Rule, world: World, *, owner: str, tcp: bool, deny: bool
) -> rbac_pb2.Policy | None:
    """The rule as a policy of the namespace ``owner``; None when it can never be decided on TCP."""
    try:
        with_permission = [
            _condition(one, world, owner) for one in rule.when if _on_permission(one)
        ]
        with_principal = [
            _condition(one, world, owner) for one in rule.when if not _on_permission(one)
        ]
        permissions = [
            _permission([*_operation(to.operation), *with_permission], tcp=tcp, deny=deny)
            for to in rule.to or ()
            if to.operation
        ] or [_permission(with_permission, tcp=tcp, deny=deny)]
        principals = [
            _principal([*_source(one.source, world, owner), *with_principal], tcp=tcp, deny=deny)
            for one in rule.from_ or ()
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
            rules.append(term.make(term.values))
        if term.not_values:
            rules.append(Permission(not_rule=term.make(term.not_values)))
    return Permission(and_rules=Permission.Set(rules=rules or [Permission(any=True)]))


def _principal(terms: Sequence[_Term], *, tcp: bool, deny: bool) -> rbac_pb2.Principal:
    ids = []
    for term in _visible(terms, tcp=tcp, deny=deny):
        if term.values:
            ids.append(term.make(term.values))
        if term.not_values:
            ids.append(Principal(not_id=term.make(term.not_values)))
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


def _rules(make: Callable[[str], rbac_pb2.Permission]) -> Make:
    return lambda values: Permission(or_rules=Permission.Set(rules=map(make, values)))


def _ids(make: Callable[[str], rbac_pb2.Principal]) -> Make:
    return lambda values: Principal(or_ids=Principal.Set(ids=map(make, values)))


def _operation(given: Operation) -> list[_Term]:
    return [
        _Term(make=_rules(_host), values=given.hosts, not_values=given.not_hosts, http=True),
        _Term(make=_rules(_method), values=given.methods, not_values=given.not_methods, http=True),
        _Term(make=_rules(_path), values=given.paths, not_values=given.not_paths, http=True),
        _Term(make=_rules(_port), values=given.ports, not_values=given.not_ports),
    ]


def _source(given: Source, world: World, owner: str) -> list[_Term]:
    return [
        _principals(given.principals, given.not_principals, world),
        _Term(
            make=_ids(_request_principal),
            values=given.request_principals,
            not_values=given.not_request_principals,
            http=True,
        ),
        _Term(
            make=_ids(partial(_account, owner)),
            values=given.service_accounts,
            not_values=given.not_service_accounts,
        ),
        _Term(make=_ids(_namespace), values=given.namespaces, not_values=given.not_namespaces),
        _Term(
            make=_ids(_trust_domain), values=given.trust_domains, not_values=given.not_trust_domains
        ),
        _Term(
            make=_ids(_remote), values=given.remote_ip_blocks, not_values=given.not_remote_ip_blocks
        ),
        _Term(make=_ids(_direct), values=given.ip_blocks, not_values=given.not_ip_blocks),
    ]


def _principals(values: Sequence[str], not_values: Sequence[str], world: World) -> _Term:
    return _Term(
        make=_ids(_authenticated),
        values=in_all_domains(values, world.mesh),
        not_values=in_all_domains(not_values, world.mesh),
    )


def _condition(given: Condition, world: World, owner: str) -> _Term:
    key = given.key
    if key == "source.principal":
        return _principals(given.values, given.not_values, world)
    make, http = _attribute(key, owner)
    return _Term(make=make, values=given.values, not_values=given.not_values, http=http)


def _attribute(key: str, owner: str) -> tuple[Make, bool]:
    """How values of the attribute are compared, and whether only HTTP has it."""
    plain: dict[str, Make] = {
        "source.ip": _ids(_direct),
        "remote.ip": _ids(_remote),
        "source.namespace": _ids(_namespace),
        "source.trustDomain": _ids(_trust_domain),
        "source.serviceAccount": _ids(partial(_account, owner)),
        "destination.ip": _rules(_destination),
        "destination.port": _rules(_port),
        "connection.sni": _rules(_server_name),
    }
    if key in plain:
        return plain[key], False
    if key == "request.auth.principal":
        return _ids(_request_principal), True
    if key.startswith("request.headers["):
        name = key[len("request.headers[") : -1]
        return _ids(lambda value: Principal(header=_header(name, value))), True
    if key == "request.auth.audiences":
        return partial(_claim, ("aud",)), True
    if key == "request.auth.presenter":
        return partial(_claim, ("azp",)), True
    names = tuple(re.findall(r"\[([^\]]*)\]", key))
    if key.startswith("request.auth.claims"):
        return partial(_claim, names), True
    return partial(_experimental, key), False


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
            pattern = f"{prefix}.*{_quoted(value[1:])}"
            return string_pb2.StringMatcher(safe_regex=_regex(pattern))
        return string_pb2.StringMatcher(suffix=value[1:], ignore_case=ignore_case)
    if value.endswith("*"):
        return string_pb2.StringMatcher(prefix=prefix + value[:-1], ignore_case=ignore_case)
    return string_pb2.StringMatcher(exact=prefix + value, ignore_case=ignore_case)


def _quoted(text: str) -> str:
    """Go's regexp.QuoteMeta."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", text)


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
    pattern = _quoted(value).replace(r"\*", ".*")
    return _named(string_pb2.StringMatcher(safe_regex=_regex(f".*/ns/{pattern}/.*")))


def _trust_domain(value: str) -> rbac_pb2.Principal:
    if "*" not in value:
        return _named(string_pb2.StringMatcher(prefix=f"{SPIFFE}{value}/"))
    pattern = _quoted(value).replace(r"\*", "[^/]*")
    return _named(string_pb2.StringMatcher(safe_regex=_regex(f"{SPIFFE}{pattern}/.*")))


def _account(owner: str, value: str) -> rbac_pb2.Principal:
    """``namespace/account``, or an account in the policy's own namespace. Peers may put more into the identity."""
    namespace, _, account = value.rpartition("/")
    space = _quoted(namespace or owner)
    pattern = f"{SPIFFE}.+/ns/{space}/(.+/|)sa/{_quoted(account)}(/.+)?"
    return _named(string_pb2.StringMatcher(safe_regex=_regex(pattern)))


def _named(match: string_pb2.StringMatcher) -> rbac_pb2.Principal:
    return Principal(authenticated=Principal.Authenticated(principal_name=match))


def _metadata(path: Sequence[str], value: value_pb2.ValueMatcher) -> metadata_pb2.MetadataMatcher:
    segments = [metadata_pb2.MetadataMatcher.PathSegment(key=key) for key in path]
    return metadata_pb2.MetadataMatcher(filter=JWT, path=segments, value=value)


def _any_of(values: Sequence[value_pb2.ValueMatcher]) -> value_pb2.ValueMatcher:
    return value_pb2.ValueMatcher(or_match=value_pb2.OrMatcher(value_matchers=values))


def _texts(values: Sequence[str]) -> value_pb2.ValueMatcher:
    found = [value_pb2.ValueMatcher(string_match=string_matcher(value)) for value in values]
    return found[0] if len(found) == 1 else _any_of(found)


def _claim(names: Sequence[str], values: Sequence[str]) -> rbac_pb2.Principal:
    """A claim of the request's token: a text, or a list that holds it."""
    text = _texts(values)
    in_list = value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=text))
    return Principal(metadata=_metadata(("payload", *names), _any_of([in_list, text])))


def _request_principal(value: str) -> rbac_pb2.Principal:
    """``issuer/subject`` of the request's token; a wildcard at one end leaves the other open."""
    issuer, _, subject = value.partition("/") if value.startswith("*") else value.rpartition("/")
    if value == "*":
        issuer, subject = "*", "*"
    elif "/" not in value:
        issuer, subject = ("*", value) if value.startswith("*") else (value, "")
        subject = "*" if value.endswith("*") else subject
    ids = [
        Principal(metadata=_metadata(("payload", name), _texts([text])))
        for name, text in (("iss", issuer), ("sub", subject))
    ]
    return Principal(and_ids=Principal.Set(ids=ids))


def _experimental(key: str, values: Sequence[str]) -> rbac_pb2.Permission:
    """``experimental.envoy.filters.<filter>[<key>]``; a value in brackets is looked for in a list."""
    name, _, inner = key.removeprefix("experimental.").partition("[")
    found = []
    for value in values:
        matcher = _texts([value.strip("[]")])
        if value.startswith("[") and value.endswith("]"):
            matcher = value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=matcher))
        found.append(matcher)
    segment = metadata_pb2.MetadataMatcher.PathSegment(key=inner.rstrip("]"))
    value = found[0] if len(found) == 1 else _any_of(found)
    return Permission(
        metadata=metadata_pb2.MetadataMatcher(filter=name, path=[segment], value=value)
    )
