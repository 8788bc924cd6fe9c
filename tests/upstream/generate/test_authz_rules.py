# SPDX-License-Identifier: Apache-2.0
"""Rules as RBAC policies: how values are compared, and what plain TCP cannot see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.generate.made import plain
from tests.upstream.support import world
from upstream.config.security import Condition, From, Operation, Rule, Source, To
from upstream.generate.authz_rules import nothing, policy_of, string_matcher

ANY = {"andRules": {"rules": [{"any": True}]}}
ANYONE = {"andIds": {"ids": [{"any": True}]}}


def made(rule: Rule, *, tcp: bool = False, deny: bool = False) -> dict[str, Any] | None:
    found = policy_of(rule, world(), owner="demo", tcp=tcp, deny=deny)
    return None if found is None else plain(found)


def ids(source: Source) -> list[dict[str, Any]]:
    found = made(Rule(from_=(From(source=source),)))
    assert found is not None
    assert found["permissions"] == [ANY]
    listed: list[dict[str, Any]] = found["principals"][0]["andIds"]["ids"]
    return listed


def rules(operation: Operation) -> list[dict[str, Any]]:
    found = made(Rule(to=(To(operation=operation),)))
    assert found is not None
    assert found["principals"] == [ANYONE]
    listed: list[dict[str, Any]] = found["permissions"][0]["andRules"]["rules"]
    return listed


def named(match: dict[str, Any]) -> dict[str, Any]:
    return {"authenticated": {"principalName": match}}


def any_id(*found: dict[str, Any]) -> dict[str, Any]:
    return {"orIds": {"ids": list(found)}}


def any_rule(*found: dict[str, Any]) -> dict[str, Any]:
    return {"orRules": {"rules": list(found)}}


@pytest.mark.parametrize(
    ("value", "prefix", "expected"),
    [
        ("x", "", {"exact": "x"}),
        ("x*", "", {"prefix": "x"}),
        ("*x", "", {"suffix": "x"}),
        ("*", "", {"safeRegex": {"regex": ".+"}}),
        ("x", "p:", {"exact": "p:x"}),
        ("x*", "p:", {"prefix": "p:x"}),
        ("*-x.y(", "p:", {"safeRegex": {"regex": r"p:.*-x\.y\("}}),
        ("*", "p:", {"safeRegex": {"regex": ".+"}}),
    ],
)
def test_wildcards(value: str, prefix: str, expected: dict[str, Any]) -> None:
    assert plain(string_matcher(value, prefix)) == expected


def test_an_empty_rule_is_everything() -> None:
    assert made(Rule()) == {"permissions": [ANY], "principals": [ANYONE]}


def test_nothing_at_all() -> None:
    assert plain(nothing()) == {
        "permissions": [{"notRule": {"any": True}}],
        "principals": [{"notId": {"any": True}}],
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            Source(principals=("cluster.local/ns/a/sa/b",)),
            [any_id(named({"exact": "spiffe://cluster.local/ns/a/sa/b"}))],
        ),
        (
            Source(not_principals=("x",)),
            [{"notId": any_id(named({"exact": "spiffe://x"}))}],
        ),
        (
            Source(namespaces=("a", "b-*")),
            [
                any_id(
                    named({"safeRegex": {"regex": ".*/ns/a/.*"}}),
                    named({"safeRegex": {"regex": ".*/ns/b-.*/.*"}}),
                )
            ],
        ),
        (
            Source(service_accounts=("sa", "other/sa")),
            [
                any_id(
                    named({"safeRegex": {"regex": "spiffe://.+/ns/demo/(.+/|)sa/sa(/.+)?"}}),
                    named({"safeRegex": {"regex": "spiffe://.+/ns/other/(.+/|)sa/sa(/.+)?"}}),
                )
            ],
        ),
        (
            Source(trust_domains=("td", "*.td")),
            [
                any_id(
                    named({"prefix": "spiffe://td/"}),
                    named({"safeRegex": {"regex": r"spiffe://[^/]*\.td/.*"}}),
                )
            ],
        ),
        (
            Source(ip_blocks=("10.0.0.0/8",), remote_ip_blocks=("10.1.2.3",)),
            [
                any_id({"remoteIp": {"addressPrefix": "10.1.2.3", "prefixLen": 32}}),
                any_id({"directRemoteIp": {"addressPrefix": "10.0.0.0", "prefixLen": 8}}),
            ],
        ),
    ],
)
def test_sources(source: Source, expected: list[dict[str, Any]]) -> None:
    assert ids(source) == expected


def header(name: str, match: dict[str, Any]) -> dict[str, Any]:
    return {"header": {"name": name, "stringMatch": match}}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (
            Operation(hosts=("A.test",)),
            [any_rule(header(":authority", {"exact": "A.test", "ignoreCase": True}))],
        ),
        (Operation(methods=("GET",)), [any_rule(header(":method", {"exact": "GET"}))]),
        (
            Operation(paths=("/a*",), ports=("80",)),
            [
                any_rule({"urlPath": {"path": {"prefix": "/a"}}}),
                any_rule({"destinationPort": 80}),
            ],
        ),
        (
            Operation(not_paths=("/a",)),
            [{"notRule": any_rule({"urlPath": {"path": {"exact": "/a"}}})}],
        ),
    ],
)
def test_operations(operation: Operation, expected: list[dict[str, Any]]) -> None:
    assert rules(operation) == expected


def when(key: str, *values: str) -> dict[str, Any]:
    found = made(Rule(when=(Condition(key=key, values=values),)))
    assert found is not None
    return found


def payload(*keys: str) -> dict[str, Any]:
    path = [{"key": key} for key in ("payload", *keys)]
    return {"filter": "envoy.filters.http.jwt_authn", "path": path}


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        ("request.auth.audiences", ("aud",)),
        ("request.auth.presenter", ("azp",)),
        ("request.auth.claims[a][b]", ("a", "b")),
    ],
)
def test_a_claim_is_a_text_or_in_a_list(key: str, keys: tuple[str, ...]) -> None:
    (one,) = when(key, "x")["principals"][0]["andIds"]["ids"]
    text = {"stringMatch": {"exact": "x"}}
    value = {"orMatch": {"valueMatchers": [{"listMatch": {"oneOf": text}}, text]}}
    assert one == {"metadata": {**payload(*keys), "value": value}}


@pytest.mark.parametrize(
    ("value", "issuer", "subject"),
    [
        ("https://iss/sub", {"exact": "https://iss"}, {"exact": "sub"}),
        ("https://iss/*", {"exact": "https://iss"}, {"safeRegex": {"regex": ".+"}}),
        ("*/sub", {"safeRegex": {"regex": ".+"}}, {"exact": "sub"}),
        ("iss", {"exact": "iss"}, {"exact": ""}),
        ("iss*", {"prefix": "iss"}, {"safeRegex": {"regex": ".+"}}),
        ("*sub", {"safeRegex": {"regex": ".+"}}, {"suffix": "sub"}),
        ("*", {"safeRegex": {"regex": ".+"}}, {"safeRegex": {"regex": ".+"}}),
    ],
)
def test_a_requests_principal(value: str, issuer: dict[str, Any], subject: dict[str, Any]) -> None:
    (found,) = when("request.auth.principal", value)["principals"][0]["andIds"]["ids"]
    assert found["orIds"]["ids"][0]["andIds"]["ids"] == [
        {"metadata": {**payload("iss"), "value": {"stringMatch": issuer}}},
        {"metadata": {**payload("sub"), "value": {"stringMatch": subject}}},
    ]


def test_conditions_on_the_connection_are_permissions() -> None:
    found = when("connection.sni", "a.test")
    assert found["principals"] == [ANYONE]
    rule = any_rule({"requestedServerName": {"exact": "a.test"}})
    assert found["permissions"][0]["andRules"]["rules"] == [rule]
    assert when("request.headers[x]", "*")["principals"][0]["andIds"]["ids"] == [
        any_id({"header": {"name": "x", "presentMatch": True}})
    ]


def test_metadata_of_other_filters() -> None:
    found = when("experimental.envoy.filters.a.b[c]", "x", "[y]")
    (one,) = found["permissions"][0]["andRules"]["rules"]
    assert one["metadata"]["filter"] == "envoy.filters.a.b"
    assert one["metadata"]["value"]["orMatch"]["valueMatchers"] == [
        {"stringMatch": {"exact": "x"}},
        {"listMatch": {"oneOf": {"stringMatch": {"exact": "y"}}}},
    ]


HTTP = Rule(
    from_=(From(source=Source(namespaces=("a",))),),
    to=(To(operation=Operation(paths=("/x",), ports=("80",))),),
)


def test_tcp_never_allows_what_it_cannot_see() -> None:
    assert made(HTTP, tcp=True) is None


def test_tcp_denies_more_rather_than_less() -> None:
    found = made(HTTP, tcp=True, deny=True)
    assert found is not None
    assert found["permissions"] == [{"andRules": {"rules": [any_rule({"destinationPort": 80})]}}]


@pytest.mark.parametrize(
    "operation",
    [
        Operation(hosts=("a",)),
        Operation(methods=("GET",)),
        Operation(paths=("/x",)),
        Operation(not_methods=("GET",)),
    ],
)
def test_what_only_http_has(operation: Operation) -> None:
    rule = Rule(to=(To(operation=operation),))
    assert made(rule, tcp=True) is None
    assert made(rule, tcp=True, deny=True) == {"permissions": [ANY], "principals": [ANYONE]}


def test_the_connections_ports_are_seen_on_tcp_too() -> None:
    rule = Rule(to=(To(operation=Operation(ports=("80",))),))
    assert made(rule, tcp=True) == made(rule)
